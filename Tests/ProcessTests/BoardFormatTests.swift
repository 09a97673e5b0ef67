import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The board is as `docs/reference/file-format.md` says: a program written from that page wakes, and is woken.
@Suite(.ownThreads, .enabled(if: isInstalled("python3"), "needs python3"))
struct BoardFormatTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private static let program: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/FileFormat/flock_cache_format.py"
    }()

    private func start(_ arguments: String...) -> Child {
        Child("python3", [Self.program, path] + arguments)
    }

    /// A store with a board.
    private func makeStore() throws -> Store {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("other", [UInt8]()).isWon)
        _ = try #require(store.session.forWriting().board.forWaiting())
        return store
    }

    @Test func itHasTheSizeAndHeaderThatAreStated() throws {
        _ = try makeStore()
        var status = stat()
        #expect(stat(path + "/board", &status) == 0)
        #expect(status.st_size == 675_840 && status.st_blocks * 512 >= 675_840)
        let header = "flock-cache board 3 \(status.st_dev) \(status.st_ino)"
        let padding = [UInt8](repeating: 32, count: 63 - header.utf8.count)
        let expected = Array(header.utf8) + padding + [10]
        #expect(contents(of: path + "/board")?.prefix(64).elementsEqual(expected) == true)
        let offsets = [
            Board.Word.anything, .keys(0), .mutex(0), .keys(255), .mutex(255), .slot(0),
            .slot(4095),
        ].map(\.offset)
        #expect(offsets == [64, 4096, 4112, 20416, 20432, 20480, 675_680])
        #expect(try EntryName("hello").wakeBits == 1 << 29)
    }

    /// Keys whose names are encoded, too: the bit is that of the key.
    @Test(arguments: ["key", "a key/with.%pending.pending", ".hidden"])
    func aProgramWakesWhoWaits(_ text: String) throws {
        let (store, key) = (try makeStore(), Store.Key(text))
        let kept = try store.win(key)
        let waiter = store.claimInThread(key)
        #expect(waiter.waitForSleep())
        // Nothing has changed, so the waiter only looks, at once, and sleeps on.
        var called = 0
        for _ in 0..<10 {
            let before = waiter.count
            let outcome = start("--wake", text).outcome()
            #expect(outcome.code == 0 && outcome.text.hasPrefix("called "), "\(outcome)")
            called += outcome.text == "called 1\n" ? 1 : 0
            #expect(waitUntil { waiter.count > before })
        }
        // It may also have been looking just then.
        #expect(called > 5)
        try kept?.finalize("value".utf8)
        #expect(try waiter.result() == .ready(Array("value".utf8)))
    }

    @Test func aProgramSeesThatNobodyWaits() throws {
        let store = try makeStore()
        #expect(start("--wake", "key").outcome().text == "nobody\n")
        withExtendedLifetime(store) {}
    }

    @Test(arguments: [true, false])
    func aProgramThatWaitsIsWoken(byFinalizing: Bool) throws {
        let store = try makeStore()
        var inVain = 0
        for round in 0..<5 {
            let key = Store.Key("key-\(round)")
            let kept = try store.win(key)
            let program = start("--await", "\(key)")
            #expect(program.line() == "waiting")
            if byFinalizing { try kept?.finalize("value".utf8) } else { try kept?.abandon() }
            let words = (program.line() ?? "").split(separator: " ")
            #expect(words.first == (byFinalizing ? "ready" : "absent"))
            #expect(program.outcome().code == 0)
            inVain += words.last.flatMap { Int($0) } ?? 1
        }
        // Woken, and not by its next look.
        #expect(inVain <= 2)
    }
}
