import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What it costs to renew a lease, beside the same system calls in C; and what many cost.
struct Leases {
    private let directory: String
    private let seconds: Int

    init(_ directory: String, seconds: Int) {
        self.directory = directory
        self.seconds = seconds
    }

    func run() throws {
        print("renew a lease, medians; beside the same system calls in C")
        let store = try Store(at: directory + "/store")
        let lease = try store.acquireLease("key", timeToLive: .seconds(3600))
        let root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        mkdir(directory + "/floor", 0o700)
        let locks = open(directory + "/locks", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let file = open(directory + "/floor/key", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        ftruncate(file, 1024)
        let bytes = [CChar](repeating: 120, count: 512)
        var times = Times()
        for _ in 0..<20_000 {
            var start = cfloor_now()
            try lease.renew()
            times.add(ours: cfloor_now() - start)
            start = cfloor_now()
            guard cfloor_renew(locks, root, "floor", "key", bytes) == 0 else {
                fatalError("the floor")
            }
            times.add(theirs: cfloor_now() - start)
        }
        times.report("renew", beside: "C")
        print("  bound: 2 times C")
        try lease.release()
        try many(store)
    }

    /// A thousand leases, each renewed every second: those that are due a hundred times a second, and each
    /// when it is due, which wakes an idle processor each time.
    private func many(_ store: Store) throws {
        let count = 1000
        let leases = try (0..<count).map { index in
            Box(try store.acquireLease(Store.Key("lease-\(index)"), timeToLive: .seconds(3600)))
        }
        for group in [10, 1] {
            let before = Idle.processorTime()
            let begin = cfloor_now()
            for tick in 0..<seconds * count / group {
                let due = begin + Int64(tick * group) * 1_000_000
                let left = due - cfloor_now()
                if left > 0 { usleep(UInt32(left / 1000)) }
                let first = tick * group % count
                for box in leases[first..<first + group] { try box.lease.renew() }
            }
            let used = Double(Idle.processorTime() - before) / Double(seconds) / 10_000
            print(
                "\(count) leases renewed every second, \(group) at a time: \(used.hundredths) % of a core "
                    + "(bound 5 %)")
        }
    }

    private final class Box {
        let lease: Lease
        init(_ lease: consuming Lease) { self.lease = lease }
    }
}
