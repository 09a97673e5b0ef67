import CFloor
import FlockCache
import Glibc
import SystemCalls

/// In which order a lock is got, compared with that in which it was asked for.
struct Order {
    /// One that asked at a time and got it at another, in nanoseconds.
    struct Visit {
        let asked, got: Int64
        let isShared: Bool
    }

    private let visits: [Visit]

    init(_ visits: [Visit]) { self.visits = visits.sorted { $0.got < $1.got } }

    /// Of those who waited at the same time, and of whom one wanted the lock for itself alone, how many pairs got it
    /// the other way around; in percent.
    var swapped: Double {
        var (pairs, swaps) = (0, 0)
        for (index, later) in visits.enumerated() {
            // Those who got it before, the last first, as long as they were there when this one came.
            for earlier in visits[..<index].reversed() {
                if earlier.got < later.asked { break }
                if earlier.isShared && later.isShared { continue }
                pairs += 1
                // Within two microseconds nobody can say who came first.
                if later.asked + 2000 < earlier.asked { swaps += 1 }
            }
        }
        return pairs == 0 ? 0 : 100 * Double(swaps) / Double(pairs)
    }

    /// From when the first got it to when the last did, in milliseconds.
    var milliseconds: Double {
        Double((visits.last?.got ?? 0) - (visits.first?.got ?? 0)) / 1e6
    }

    /// Writes what one process saw.
    static func write(_ visits: [Visit], to path: String) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        let words: [Int64] = visits.flatMap { [$0.asked, $0.got, $0.isShared ? 1 : 0] }
        words.withUnsafeBytes { bytes in
            guard Glibc.write(file, bytes.baseAddress, bytes.count) == bytes.count else {
                fatalError("cannot write \(path)")
            }
        }
        close(file)
    }

    static func read(_ path: String) throws -> [Visit] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let count = Int(lseek(file, 0, SEEK_END)) / 8
        var words = [Int64](repeating: 0, count: count)
        let got = words.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, 0) }
        guard got == 8 * count else { fatalError("cannot read \(path)") }
        return stride(from: 0, to: count, by: 3).map {
            Visit(asked: words[$0], got: words[$0 + 1], isShared: words[$0 + 2] == 1)
        }
    }
}

/// Many processes that ask for one lock, each once, while another holds it.
struct Arrivals {
    static let role = "be-arriver"

    let directory: String
    let count: Int
    /// Between two, in microseconds.
    let apart: Int

    func run(_ kind: Contest.Kind) throws -> Order {
        let name = "arrivals-\(kind)-\(count)-\(apart)"
        let memory = try Contest.memory(directory, name)
        let lock = Contest.Lock(directory, "arrivals", kind)
        try lock.take(shared: false)
        let processes = try (0..<count).map { index in
            try startRole(
                Self.role, [directory, name, "\(index)", "\(index * apart)", kind.rawValue])
        }
        while memory.word(at: 0) < count { usleep(1000) }
        memory.setTime(BootTime(nanoseconds: cfloor_now() + 1_000_000), at: 8)
        memory.wake(.max, at: 24, bits: .max)
        while memory.word(at: 4) < count { usleep(1000) }
        // All have asked, or are about to.
        usleep(50_000)
        lock.giveBack()
        for process in processes { _ = try process.wait() }
        return Order(
            try (0..<count).flatMap { try Order.read("\(directory)/\(name)-\($0)") })
    }

    static func beArriver(_ words: [String]) throws {
        guard words.count == 5, let delay = Int64(words[3]),
            let kind = Contest.Kind(rawValue: words[4])
        else { fatalError("\(words)") }
        let memory = try Contest.memory(words[0], words[1])
        let lock = Contest.Lock(words[0], "arrivals", kind)
        // Everything is open before it counts.
        try lock.warm()
        memory.add(1, at: 0)
        while memory.time(at: 8).nanoseconds == 0 {
            // Without a look in between: a thousand that look again and again leave nothing of the machine.
            memory.wait(
                at: 24, while: 0, bits: .max, until: BootTime.now.advanced(by: .seconds(60)))
        }
        let start = memory.time(at: 8).nanoseconds + delay * 1000
        while cfloor_now() < start {
            usleep(UInt32(max(1, min(500, (start - cfloor_now()) / 1000))))
        }
        memory.add(1, at: 4)
        let asked = cfloor_now()
        try lock.take(shared: false)
        let got = cfloor_now()
        lock.giveBack()
        Order.write(
            [Order.Visit(asked: asked, got: got, isShared: false)],
            to: "\(words[0])/\(words[1])-\(words[2])")
    }
}
