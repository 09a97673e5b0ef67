import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Locks are as `docs/reference/file-format.md` says: a program of 20 lines, written from that page, excludes
/// and is excluded; and no more system calls are made than are needed.
@Suite(.ownThreads) struct LockFormatTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private static let program = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/FileFormat/flock_cache_lock.py"
    }()

    private func start(_ key: String, _ command: String...) -> Child {
        Child(
            "python3", [Self.program, path, key] + command, environment: ["PATH": "/usr/bin:/bin"])
    }

    @Test(.enabled(if: isInstalled("python3")), arguments: ["key", "sha256:ab12/ä %"])
    func aProgramExcludesAndIsExcluded(_ text: String) throws {
        let (store, key) = (try Store(at: path), Store.Key(text))
        try store.lock([key]).release()
        // It has it.
        let program = start(text, "sh", "-c", "echo inside; read line")
        #expect(program.line() == "inside")
        #expect(try store.tryLock([key]) == nil)
        #expect(try store.tryLock([key], .shared) == nil)
        #expect(
            storeError { try store.lock([key], wait: .upTo(.milliseconds(20))).release() }?.code
                == .timedOut)
        program.tell("")
        try store.lock([key], wait: .upTo(.seconds(30))).release()
        #expect(program.outcome().code == 0)
        // We have it.
        let held = try store.lock([key])
        let excluded = start(text, "echo", "inside")
        let table = try store.session.forWriting().locks.open()
        let name = try LockName(key)
        let file = try table.open(for: name)
        #expect(
            waitUntil {
                (try? file.byteOfOthers(at: name.queue.start, count: TicketOrder.count)) != nil
            })
        held.release()
        #expect(excluded.line() == "inside")
        #expect(excluded.outcome().code == 0)
    }

    @Test(.enabled(if: isInstalled("python3")))
    func twentyLinesAreEnough() throws {
        let text = String(decoding: try #require(contents(of: Self.program)), as: UTF8.self)
        #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count <= 30)
    }

    @Test func placesAreThoseThatAreStated() throws {
        // FNV-1a 64 of "hello" is a430d84680aabd0b.
        let name = try LockName("hello")
        #expect(name.hash == 0xa430_d846_80aa_bd0b)
        #expect(name.table == 0x0b && name.byte == 0x290_c361_1a02_aaf4)
        #expect(name.queue.start == 0x690c_3611_0000_0000)
        #expect(name.slot(0) == name.byte % 4096 && name.slot(4096) == name.slot(0))
    }

    /// What the board says of a holder is as stated.
    @Test func aNoteIsAsStated() throws {
        let name = try LockName("hello")
        let program = LockNote.Program(
            id: 77, processNamespace: 0x1_0000_0005, command: Array("make".utf8))
        let note = LockNote(name, .slot(3), program, since: BootTime(nanoseconds: 123_456))
        #expect(note.words[1] == name.hash && note.words[2] == 123_456)
        #expect(note.words[3] == 77 | 5 << 32)
        #expect(note.words[4] == 5 | 5 << 32)
        #expect(note.words[5] == 0x6f_6c6c_6568 && note.words[14] == 0x656b_616d)
        var check: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 1..<16 { check = (check ^ note.words[index]) &* 0x100_0000_01b3 }
        #expect(note.words[0] == check | 1)
        let read = try #require(LockNote(note.words))
        #expect(read.key == "hello" && read.kind == .slot(3) && read.command == Array("make".utf8))
        #expect(read.processID == 77 && read.since == BootTime(nanoseconds: 123_456))
        var broken = note.words
        broken[9] ^= 1
        #expect(LockNote(broken) == nil)
        #expect(LockNote(InlineArray(repeating: 0)) == nil)
    }

    @Test(arguments: [1, 71, 72, 73, 4096])
    func aLongKeyIsCut(_ count: Int) throws {
        let key = Store.Key(pattern(count))
        let program = LockNote.Program(id: 1, processNamespace: 0, command: [])
        let note = LockNote(try LockName(key), .exclusive, program, since: BootTime.now)
        let read = try #require(LockNote(note.words))
        #expect(read.key == (count <= 72 ? key : nil))
        #expect(read.keyStart.bytes.starts(with: key.bytes.prefix(72)))
    }

    /// Lock, look at the file, unlock: nothing else, where nobody else wants the lock.
    @Test(.enabled(if: isInstalled("strace")))
    func aLockTakesThreeSystemCalls() throws {
        let log = directory("trace")
        let peer = PeerProcess(path, wrapper: ["strace", "-o", log])
        #expect(peer.ask("lock x 1000 key") == "held -" && peer.ask("drop-lock") == "done")
        // The second time everything is open.
        #expect(peer.ask("claim marker").hasPrefix("won "))
        #expect(peer.ask("lock x 1000 key") == "held -" && peer.ask("drop-lock") == "done")
        peer.exit()
        let text = String(decoding: try #require(contents(of: log)), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let start = try #require(lines.lastIndex { $0.contains("read(0, \"lock x 1000 key") })
        let end = try #require(lines.lastIndex { $0.contains("read(0, \"drop-lock") })
        func calls(_ lines: some Collection<Substring>) -> [String] {
            lines.map { String($0.prefix { $0 != "(" }) }.filter {
                !["write", "read"].contains($0)
            }
        }
        #expect(calls(lines[start..<end]) == ["fcntl", "newfstatat"])
        #expect(calls(lines[end...].prefix(3)) == ["fcntl"])
    }
}
