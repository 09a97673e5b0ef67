import CFloor
import FlockCache
import Glibc
import SystemCalls

/// How long it takes from finalize to a waiter of another process having the value, beside a bare futex
/// and the same reading of a file.
///
/// With more waiters than processors most of it is the others' turn: what counts then is the ratio.
struct Waking {
    static let role = "be-waiter"
    let directory: String
    let rounds: Int

    init(_ directory: String, rounds: Int) {
        self.directory = directory
        self.rounds = rounds
    }

    func run() throws {
        print("from finalize to the waiter having the value, \(rounds) rounds")
        for waiters in [1, 8, 64] {
            let rounds = max(10, waiters == 64 ? rounds / 2 : rounds)
            try run(waiters, rounds)
        }
        print("  bounds: median 100 µs, p99 2 ms")
    }

    private func run(_ waiters: Int, _ rounds: Int) throws {
        let meeting = try Meeting(directory, waiters)
        let path = directory + "/store-\(waiters)"
        let store = try Store(at: path)
        let file = directory + "/value"
        write(file)
        let processes = try (0..<waiters).map { index in
            try startRole(
                Self.role,
                ["\(index)", "\(waiters)", "\(rounds)", directory, path, file])
        }
        var ours: [Int64] = []
        var first: [Int64] = []
        var bare: [Int64] = []
        for round in 1...rounds {
            guard case .won(let claim) = try store.claim(Self.key(round)) else {
                fatalError("the key is taken")
            }
            meeting.begin(2 * round - 1)
            meeting.waitUntilAllSleep(processes, 2 * round - 1)
            let start = cfloor_now()
            try claim.finalize("the value".utf8)
            let times = meeting.times(2 * round - 1).map { $0 - start }
            ours += times
            first.append(times.min() ?? 0)

            meeting.begin(2 * round)
            meeting.waitUntilAllSleep(processes, 2 * round)
            let bareStart = cfloor_now()
            meeting.wakeBare()
            bare += meeting.times(2 * round).map { $0 - bareStart }
        }
        for process in processes { _ = try process.wait() }
        let (a, b) = (quantile(ours, 0.5), quantile(bare, 0.5))
        print(
            "  \("\(waiters)".padded(3)) median \(a.microseconds) p99 \(quantile(ours, 0.99).microseconds)"
                + " first \(quantile(first, 0.5).microseconds) µs   futex and read: median "
                + "\(b.microseconds) p99 \(quantile(bare, 0.99).microseconds) µs   ratio "
                + "\((a / b * 100).rounded() / 100)")
    }

    private static func key(_ round: Int) -> Store.Key { Store.Key("key-\(round)") }

    private func write(_ path: String) {
        guard let file = fopen(path, "w") else { fatalError("cannot write \(path)") }
        fputs(String(repeating: "x", count: 400), file)
        fclose(file)
    }

    /// One of those who wait: a bare futex in the even rounds.
    static func beWaiter(_ words: [String]) throws {
        guard words.count == 6, let index = Int(words[0]), let waiters = Int(words[1]),
            let rounds = Int(words[2])
        else { fatalError("\(words)") }
        let meeting = try Meeting(words[3], waiters)
        var configuration = Store.Configuration()
        let current = Turn()
        configuration.onWait = { _, _ in meeting.announce(index, current.number) }
        let store = try Store(at: words[4], configuration: configuration)
        for round in 1...rounds {
            var turn = 2 * round - 1
            current.number = turn
            meeting.waitForBeginning(turn)
            guard case .ready = try store.claim(key(round), wait: .forever) else {
                fatalError("no value")
            }
            meeting.finish(index, turn, cfloor_now())
            turn = 2 * round
            meeting.waitForBeginning(turn)
            meeting.waitBare(index, turn)
            var bytes = [UInt8](repeating: 0, count: 1024)
            let file = open(words[5], O_RDONLY | O_CLOEXEC)
            guard read(file, &bytes, bytes.count) == 400 else { fatalError("no file") }
            close(file)
            meeting.finish(index, turn, cfloor_now())
        }
    }
}

/// The turn that a waiter is in; its one thread also begins the wait that tells of it.
private final class Turn: @unchecked Sendable {
    var number = 0
}

/// Where the processes of a measurement meet: turns that one begins and all finish.
final class Meeting: Sendable {
    private let memory: SharedMemory
    private let waiters: Int

    /// Makes it, or joins it where a process is one of those who wait.
    init(_ directory: String, _ waiters: Int) throws {
        self.waiters = waiters
        let size = 128 * (waiters + 2)
        let name = FileName(Array("meeting-\(waiters)".utf8))
        let place = try Directory.open(path: FileName(Array(directory.utf8)))
        if try place.status(of: name) == nil {
            try place.open(name, .createNew(mode: 0o600)).truncate(to: size)
        }
        guard let memory = SharedMemory(try place.open(name, .readWrite), count: size) else {
            fatalError("cannot map the meeting in \(directory)")
        }
        self.memory = memory
    }

    private func slot(_ index: Int) -> Int { 128 * (index + 2) }

    func begin(_ turn: Int) {
        memory.setTime(BootTime(nanoseconds: Int64(turn)), at: 8)
        memory.wake(.max, at: 0, bits: .max)
    }

    func waitForBeginning(_ turn: Int) {
        while true {
            let seen = memory.word(at: 0)
            if memory.time(at: 8).nanoseconds >= turn { return }
            memory.wait(
                at: 0, while: seen, bits: .max, until: BootTime.now.advanced(by: .seconds(1)))
        }
    }

    func announce(_ index: Int, _ turn: Int) {
        memory.setTime(BootTime(nanoseconds: Int64(turn)), at: slot(index))
    }

    func finish(_ index: Int, _ turn: Int, _ time: Int64) {
        memory.setTime(BootTime(nanoseconds: time), at: slot(index) + 8)
        memory.setTime(BootTime(nanoseconds: Int64(turn)), at: slot(index) + 16)
    }

    /// Returns when each has announced itself and then been seen asleep.
    func waitUntilAllSleep(_ processes: [ChildProcess], _ turn: Int) {
        for (index, process) in processes.enumerated() {
            while memory.time(at: slot(index)).nanoseconds < turn { usleep(200) }
            while !isAsleep(process.id) { usleep(200) }
        }
        // Once more for all: a look at the key wakes a waiter for a moment.
        while !processes.allSatisfy({ isAsleep($0.id) }) { usleep(200) }
    }

    private func isAsleep(_ process: Int32) -> Bool {
        guard let stat = Process.contents(of: FileName(Array("/proc/\(process)/stat".utf8))),
            let end = stat.lastIndex(of: UInt8(ascii: ")"))
        else { fatalError("a waiter has ended") }
        return stat[end + 2] == UInt8(ascii: "S")
    }

    func times(_ turn: Int) -> [Int64] {
        (0..<waiters).map { index in
            while memory.time(at: slot(index) + 16).nanoseconds < turn { usleep(100) }
            return memory.time(at: slot(index) + 8).nanoseconds
        }
    }

    func waitBare(_ index: Int, _ turn: Int) {
        let seen = memory.word(at: 128)
        announce(index, turn)
        while memory.word(at: 128) == seen {
            memory.wait(
                at: 128, while: seen, bits: .max, until: BootTime.now.advanced(by: .seconds(5)))
        }
    }

    func wakeBare() { memory.wake(.max, at: 128, bits: .max) }
}
