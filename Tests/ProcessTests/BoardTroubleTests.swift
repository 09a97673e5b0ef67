import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What can be wrong with a board: waits come to the same.
struct BoardTrouble: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// Brings it about, in a store that has a board; `random` is for those that want some.
    let make: @Sendable (_ board: String, _ random: inout Seeded) -> Void
    /// Whether whoever waits puts a right one there.
    var isMended = true

    static let all = [
        BoardTrouble(testDescription: "none", make: { _, _ in }),
        BoardTrouble(testDescription: "absent", make: { board, _ in unlink(board) }),
        BoardTrouble(testDescription: "empty", make: { board, _ in write([], to: board) }),
        BoardTrouble(
            testDescription: "cut",
            make: { board, _ in write((contents(of: board) ?? []).prefix(5000), to: board) }),
        BoardTrouble(
            testDescription: "random",
            make: { board, random in
                overwrite(
                    board,
                    (0..<BoardLayout.byteCount).map { _ in .random(in: 0...255, using: &random) })
            }),
        BoardTrouble(
            testDescription: "random behind the header",
            make: { board, random in
                overwrite(
                    board, at: 64,
                    (64..<BoardLayout.byteCount).map { _ in .random(in: 0...255, using: &random) })
            }),
        BoardTrouble(
            testDescription: "stamps far ahead",
            make: { board, _ in
                overwrite(
                    board, at: 64,
                    (64..<BoardLayout.byteCount).map {
                        $0 % 16 == 15 ? 0x7f : $0 % 16 > 7 ? 0xff : 0
                    }
                )
            }),
        BoardTrouble(
            testDescription: "of an older layout",
            make: { board, _ in overwrite(board, Array("flock-cache board 2 1 2 ".utf8)) }),
        BoardTrouble(
            testDescription: "of a newer layout",
            make: { board, _ in overwrite(board, Array("flock-cache board 4 1 2 ".utf8)) },
            isMended: false),
        BoardTrouble(
            testDescription: "a copy with holes",
            make: { board, _ in
                _ = run("cp", ["-a", "--sparse=always", board, board + ".copy"], environment: [:])
                rename(board + ".copy", board)
            }),
        BoardTrouble(
            testDescription: "with holes under its own header",
            make: { board, _ in
                let header = (contents(of: board) ?? []).prefix(64)
                truncate(board, 0)
                truncate(board, off_t(BoardLayout.byteCount))
                overwrite(board, Array(header))
            }),
        BoardTrouble(
            testDescription: "a directory",
            make: { board, _ in
                unlink(board)
                mkdir(board, 0o700)
            }, isMended: false),
        BoardTrouble(
            testDescription: "a FIFO",
            make: { board, _ in
                unlink(board)
                mkfifo(board, 0o600)
            }),
        BoardTrouble(
            testDescription: "a symbolic link",
            make: { board, _ in
                rename(board, board + "-elsewhere")
                symlink(board + "-elsewhere", board)
            }, isMended: false),
        BoardTrouble(
            testDescription: "a symbolic link to nothing",
            make: { board, _ in
                unlink(board)
                symlink(board + "-nowhere", board)
            }, isMended: false),
        // Root reads it all the same.
        BoardTrouble(
            testDescription: "unreadable", make: { board, _ in chmod(board, 0) }, isMended: isRoot),
    ]
}

/// Writes into a file as it is.
func overwrite(_ path: String, at offset: Int = 0, _ bytes: [UInt8]) {
    let file = open(path, O_RDWR)
    defer { close(file) }
    guard pwrite(file, bytes, bytes.count, off_t(offset)) == bytes.count else {
        fatalError("cannot write \(path): errno \(errno)")
    }
}

@Suite(.ownThreads) struct BoardTroubleTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }
    private var board: String { path + "/board" }

    /// A store with a board, which nobody has open.
    private func makeBoard() throws {
        let store = try Store(at: path)
        let kept = try store.win("first")
        let waiter = store.claimInThread("first")
        #expect(waiter.waitForSleep())
        try kept?.abandon()
        #expect(try waiter.result().isWon)
        #expect(size(of: board) == BoardLayout.byteCount)
    }

    /// Whether the board is there as it should be.
    private func isRight() throws -> Bool {
        try Store(at: path).session.forWriting().board.forWaking() != nil
    }

    /// Finalizing, abandoning and removing by another process, and a time-out, with threads waiting.
    private func useIt(_ what: String) throws {
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        for round in 0..<3 {
            let key = "\(what)-\(round)"
            #expect(peer.ask("claim \(key)").hasPrefix("won "))
            let waiters = (0..<3).map { _ in store.claimInThread(Store.Key(key)) }
            let reader = store.waitInThread(Store.Key(key))
            for waiter in waiters { #expect(waiter.waitForSleep()) }
            #expect(reader.waitForSleep())
            switch round {
            case 0: #expect(peer.ask("finalize value") == "done")
            case 1: #expect(peer.ask("abandon") == "done")
            default: peer.kill()
            }
            let told = try waiters.map { try $0.result() }
            let expected = Array((round == 0 ? "value" : "waiter").utf8)
            #expect(told.count(where: \.isWon) == min(round, 1), "\(told)")
            #expect(told.allSatisfy { $0.isWon || $0 == .ready(expected) }, "\(told)")
            let read = try reader.result()
            #expect(read == .ready(expected) || round > 0 && read == .absent, "\(read)")
        }
        let kept = try store.win("held")
        #expect(try store.claimInThread("held", wait: .milliseconds(20)).result() == .pending)
        try kept?.abandon()
        #expect(StoreFiles(path).pending == 0)
    }

    @Test(arguments: BoardTrouble.all)
    func waitsComeToTheSame(_ trouble: BoardTrouble) throws {
        try makeBoard()
        var random = Seeded("board: \(trouble.testDescription)")
        trouble.make(board, &random)
        let isNewer = trouble.testDescription == "of a newer layout"
        let before = isNewer ? contents(of: board) : nil
        try useIt("key")
        #expect(try isRight() == trouble.isMended)
        let isSame = contents(of: board) == before
        if isNewer { #expect(isSame) }
        #expect(leftovers(in: path) == [])
    }

    /// While threads sleep on it and another process has it mapped too.
    @Test(arguments: BoardTrouble.all)
    func waitsUnderWayComeToTheSame(_ trouble: BoardTrouble) throws {
        // Whoever cuts a file that others have mapped ends them.
        guard
            !["empty", "cut", "with holes under its own header"].contains(trouble.testDescription)
        else { return }
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        #expect(peer.ask("claim key").hasPrefix("won "))
        let waiters = (0..<3).map { _ in store.claimInThread("key") }
        for waiter in waiters { #expect(waiter.waitForSleep()) }
        var random = Seeded("board under way: \(trouble.testDescription)")
        trouble.make(board, &random)
        #expect(peer.ask("finalize value") == "done")
        for waiter in waiters { #expect(try waiter.result() == .ready(Array("value".utf8))) }
        try useIt("then")
    }

    /// Deleted all the time, while processes wait and finalize.
    @Test func aBoardMayBeDeletedAllTheTime() throws {
        let store = try Store(at: path)
        let peer = PeerProcess(path)
        let isOver = Counter()
        let (board, deletions) = (board, Counter())
        let deleter = WaitingThread { _ in
            while isOver.value == 0 {
                if unlink(board) == 0 { deletions.add(1) }
                usleep(100)
            }
        }
        for round in 0..<(wantsLongTests ? 200 : 20) {
            #expect(peer.ask("claim key-\(round)").hasPrefix("won "))
            let waiters = (0..<4).map { _ in store.claimInThread(Store.Key("key-\(round)")) }
            for waiter in waiters { #expect(waiter.waitForSleep()) }
            #expect(peer.ask("finalize value") == "done")
            for waiter in waiters { #expect(try waiter.result() == .ready(Array("value".utf8))) }
        }
        isOver.add(1)
        try deleter.result()
        print("deleted \(deletions.value) boards")
        #expect(deletions.value > 0)
    }

    /// Made at once by many, it is one board.
    @Test func manyProcessesMakeOneBoard() throws {
        let peers = (0..<10).map { _ in PeerProcess(path) }
        let place = directory("place")
        mkdir(place, 0o700)
        for round in 0..<10 {
            let gate = Gate(place + "/gate")
            unlink(board)
            for peer in peers { peer.process.tell("value \(place) key-\(round)") }
            let lines = peers.compactMap { $0.process.id }.count
            #expect(lines == 10)
            #expect(waitUntil { size(of: board) == BoardLayout.byteCount })
            unlink(gate.path)
            gate.open()
            for peer in peers {
                var line = peer.process.line()
                if line == "waiting" { line = peer.process.line() }
                #expect(line?.hasPrefix("value of-") == true)
            }
            #expect(names(in: path).filter { $0.hasPrefix(".") } == [])
            #expect(try isRight())
        }
    }

    // MARK: Permissions

    @Test(arguments: [0o700, 0o750, 0o770] as [UInt32])
    func theBoardHasTheStoresPermissions(mode: UInt32) throws {
        var marker = Marker()
        marker.mode = mode
        _ = try Store(at: path).session.make(marker)
        try makeBoard()
        var status = stat()
        #expect(stat(board, &status) == 0)
        #expect(status.st_mode & 0o777 == mode & 0o666)
    }

    /// Who may only read the store waits without a board.
    @Test(.enabled(if: isRoot && isInstalled("setpriv"), "needs root and setpriv"))
    func whoMayOnlyReadWaitsAndIsServed() throws {
        var marker = Marker()
        marker.mode = 0o750
        chmod(directory.path, 0o755)
        let store = try Store(at: path)
        _ = try store.session.make(marker)
        let kept = try store.win("key")
        let place = directory("place")
        mkdir(place, 0o700)
        // A group of which nobody else is.
        _ = run("chgrp", ["-R", "54321", path])
        let reader = PeerProcess(
            path, wrapper: ["setpriv", "--reuid", "65534", "--regid", "54321", "--clear-groups"])
        reader.process.tell("value \(place) key")
        #expect(reader.process.line() == "waiting")
        try kept?.finalize("value".utf8)
        #expect(reader.process.line()?.hasPrefix("value value ") == true)
    }
}
