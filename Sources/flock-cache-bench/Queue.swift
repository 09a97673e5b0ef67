import CFloor
import FlockCache
import Glibc
import SystemCalls

/// How a lock is shared out among processes that all want it.
struct Queue {
    private let directory: String
    private let seconds: Int
    /// Which part to run; nil for all.
    private let only: String?

    init(_ directory: String, seconds: Int, only: String?) {
        self.only = only
        self.directory = directory
        self.seconds = seconds
    }

    func run() throws {
        let parts: [(String, () throws -> Void)] = [
            ("arrivals", arrivals), ("even", even), ("many", manyWriters),
            ("mixed", readersAndWriters), ("overlapping", overlappingReaders),
            ("slot", keysOfOneSlotOfTheBoard), ("deaths", deaths),
        ]
        for (name, run) in parts where only == nil || only == name { try run() }
    }

    /// Who comes first is served first.
    private func arrivals() throws {
        for (count, apart) in [(64, 0), (64, 1000), (64, 20_000), (1000, 0)] {
            print("\(count) ask for a lock or a lease that is held, \(apart) µs apart")
            for kind in [Contest.Kind.ours, .lease, .flock] {
                let order = try Arrivals(directory: directory, count: count, apart: apart).run(kind)
                print(
                    "  \(kind): swapped \(order.swapped.hundredths) % of the pairs, "
                        + "all served in \(order.milliseconds.hundredths) ms")
                guard kind != .flock else { continue }
                let bound = apart == 0 ? 1.0 : 0.001
                judge("swapped", order.swapped < bound, "\(bound) %")
            }
        }
    }

    private func manyWriters() throws {
        print("64 processes, 0.1 ms hold, \(seconds) s")
        let many = [Locker](repeating: Locker(hold: 100), count: 64)
        for kind in [Contest.Kind.ours, .flock] {
            report(try contest("many", many, kind), of: kind)
        }
    }

    private func even() throws {
        print("8 processes, 2 ms hold, \(seconds) s")
        let eight = [Locker](repeating: Locker(hold: 2000), count: 8)
        report(try contest("even-flock", eight, .flock), of: .flock)
        let even = try contest("even", eight)
        report(even)
        let counts = even.map { Double($0.count) }
        let ratio = (counts.max() ?? 0) / max(1, counts.min() ?? 0)
        let mean = Double(even.reduce(0) { $0 + $1.waited }) / counts.reduce(0, +)
        let worst = Double(even.map { $0.worst }.max() ?? 0)
        judge("most to least served \(ratio.hundredths)", ratio < 1.6, "under 1.6")
        judge("worst wait to mean \((worst / mean).hundredths)", worst < 10 * mean, "under 10")
    }

    private func readersAndWriters() throws {
        print("5 readers and 2 writers, 0.2 ms hold and think, \(seconds) s")
        let readers = [Locker](repeating: Locker(isShared: true, hold: 200, think: 200), count: 5)
        let mixed = readers + [Locker](repeating: Locker(hold: 200, think: 200), count: 2)
        report(try contest("mixed-flock", mixed, .flock), of: .flock)
        let ours = try contest("mixed", mixed)
        report(ours)
        print(
            "  the same, waking one waiter at a time; newcomers sleep where somebody waits, by a time"
        )
        let theirs = try contest("timed", mixed, .timed)
        report(theirs)
        print("  the same, by a count, which the killed would spoil")
        report(try contest("counted", mixed, .counted))
        print("  the same, newcomers overtaking: writers starve")
        report(try contest("greedy", mixed, .greedy))
        let gain =
            Double(ours.reduce(0) { $0 + $1.count }) / Double(theirs.reduce(0) { $0 + $1.count })
        let longest = Double(ours.map { $0.worst }.max() ?? 0)
        judge("longest wait \(longest.microseconds) µs", longest < 40e6, "40 ms")
        judge("throughput, times waking one \(gain.hundredths)", gain >= 3, "at least 3")
    }

    private func overlappingReaders() throws {
        print("one writer, and 8 readers that overlap all the time")
        let overlapping = [Locker](repeating: Locker(isShared: true, hold: 10_000), count: 8)
        let writer = Locker(hold: 100, think: 20_000)
        let served = try contest("writer", overlapping + [writer])
        report(served)
        let slowest = Double(served.last?.worst ?? 0)
        judge("the writer's longest wait \(slowest.microseconds) µs", slowest < 100e6, "100 ms")
    }

    private func keysOfOneSlotOfTheBoard() throws {
        print("two keys of one slot of the board, 4 processes each, 0.2 ms hold")
        let (one, other) = Self.keysOfOneSlot()
        let single = [Locker](repeating: Locker(hold: 200, key: one), count: 4)
        let alone = try contest("slot-alone", single)
        report(alone)
        let both = try contest(
            "slot-shared", single + [Locker](repeating: Locker(hold: 200, key: other), count: 4))
        report(both)
        let first = Double(both.prefix(4).reduce(0) { $0 + $1.count })
        // Eight processes have half the machine each.
        let apart = try contest(
            "slots-apart",
            single + [Locker](repeating: Locker(hold: 200, key: "elsewhere"), count: 4))
        report(apart)
        let slowing = Double(apart.prefix(4).reduce(0) { $0 + $1.count }) / first
        judge("slower than beside another slot \(slowing.hundredths)", slowing < 2, "under 2")
    }

    /// One holds the lock and is killed, 64 wait; and waiters are killed while the others go on.
    private func deaths() throws {
        print("a holder is killed, and 64 wait: until the next one has the lock")
        let waiters = [Locker](repeating: Locker(hold: 500, key: "orphan"), count: 64)
        let contest = Contest(directory, "deaths", waiters, .ours, seconds: 4 * seconds)
        _ = try contest.run {
            for _ in 0..<15 * seconds {
                _ = try startRole(Contest.victim, [directory, "deaths", "orphan"]).wait()
            }
        }
        let delays = try contest.delays()
        let (middle, late) = (quantile(delays, 0.5), quantile(delays, 0.99))
        print("  \(delays.count) deaths, median \(middle.microseconds) µs")
        judge("p99 \(late.microseconds) µs", late < 100e6, "100 ms")

        print("waiters are killed at random, 8 others go on")
        let steady = [Locker](repeating: Locker(hold: 500, key: "orphan"), count: 8)
        let others = try Contest(directory, "killed", steady, .ours, seconds: seconds).run {
            for _ in 0..<20 * seconds {
                let victim = try startRole(Contest.waiter, [directory + "/store", "orphan"])
                usleep(UInt32.random(in: 3_000...40_000))
                try victim.signal(SIGKILL)
                _ = try victim.wait()
            }
        }
        report(others)
        let worst = Double(others.map { $0.worst }.max() ?? 0)
        judge("the longest wait \(worst.microseconds) µs", worst < 100e6, "100 ms")
    }

    /// Two keys whose waiters share a word.
    private static func keysOfOneSlot() -> (Store.Key, Store.Key) {
        func slot(_ key: Store.Key) -> UInt64 {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in key.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            return hash >> 6 & 4095
        }
        let one: Store.Key = "slot"
        for number in 0... {
            let other = Store.Key("slot-\(number)")
            if slot(other) == slot(one) { return (one, other) }
        }
        fatalError()
    }

    /// What each got, having said how many pairs were served the other way around.
    private func contest(
        _ name: String, _ lockers: [Locker], _ kind: Contest.Kind = .ours
    ) throws -> [Served] {
        let contest = Contest(directory, "\(name)-\(kind)", lockers, kind, seconds: seconds)
        let served = try contest.run()
        let isOneKey = lockers.allSatisfy { $0.key == lockers[0].key }
        if isOneKey && (kind == .ours || kind == .flock) {
            print("  \(kind): swapped \(try contest.order().swapped.hundredths) % of the pairs")
        }
        return served
    }

    private func report(_ served: [Served], of kind: Contest.Kind = .ours) {
        let count = served.reduce(0) { $0 + $1.count }
        let worst = Double(served.map { $0.worst }.max() ?? 0)
        let mean = Double(served.reduce(0) { $0 + $1.waited }) / Double(max(1, count))
        print(
            "  \(kind): \(count / seconds) a second, \(served.map { $0.count }); "
                + "wait: mean \(mean.microseconds), worst \(worst.microseconds) µs")
    }

    private func judge(_ what: String, _ holds: Bool, _ bound: String) {
        print("  \(what)  (bound: \(bound))\(holds ? "" : "  NOT MET")")
    }
}

extension Double {
    var hundredths: Double { (self * 100).rounded() / 100 }
}
