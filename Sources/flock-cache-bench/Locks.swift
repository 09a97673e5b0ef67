import CFloor
import FlockCache
import Glibc
import SystemCalls

/// What it costs to take and release a lock that nobody else wants, beside the three bare system calls.
struct Locks {
    static let role = "be-holder"
    private let directory: String
    private let rounds: Int
    /// So many locks are held at once by others.
    private static let crowd = 10_000
    private static let key: Store.Key = "the key"

    init(_ directory: String, rounds: Int) {
        self.directory = directory
        self.rounds = rounds
    }

    func run() throws {
        print(
            "take and release a lock, \(rounds) rounds, medians; beside openat, fcntl, close in C")
        let store = try Store(at: directory + "/store")
        try store.lock([Self.key]).release()
        let file = open(directory + "/floor", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        close(file)
        let place = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)

        var (alone, two) = (Times(), Times())
        for _ in 0..<rounds {
            alone.add(ours: try time { try store.lock([Self.key]).release() })
            alone.add(theirs: time { floor(place, 77) })
            two.add(ours: try time { try store.lock(["a", "b"]).release() })
            two.add(
                theirs: time {
                    floor(place, 78)
                    floor(place, 79)
                })
        }
        alone.report("alone", beside: "C")
        two.report("two keys", beside: "C, twice")
        try inACrowd(store, alone)
        print("  bounds: 1.5 times C alone; in a crowd 5 times itself alone")
    }

    private func inACrowd(_ store: Store, _ alone: Times) throws {
        var crowd = Times()
        let holders = try (0..<4).map { part in
            let ready = directory + "/ready-\(part)"
            let holder = try startRole(
                Self.role, [directory + "/store", "\(part)", "\(Self.crowd / 4)", ready])
            while access(ready, F_OK) != 0 { usleep(1000) }
            return holder
        }
        for _ in 0..<rounds / 4 {
            crowd.add(ours: try time { try store.lock([Self.key]).release() })
        }
        for holder in holders {
            try holder.signal(SIGKILL)
            _ = try holder.wait()
        }
        for _ in 0..<rounds / 4 {
            crowd.add(theirs: try time { try store.lock([Self.key]).release() })
        }
        crowd.report("\(Self.crowd) others held", beside: "alone")
    }

    private func floor(_ place: Int32, _ byte: Int64) {
        guard cfloor_lock(place, "floor", byte) == 0 else { fatalError("the floor") }
    }

    private func time(_ body: () throws -> Void) rethrows -> Int64 {
        let start = cfloor_now()
        try body()
        return cfloor_now() - start
    }

    /// One of those who hold many locks, until it is killed.
    static func beHolder(_ words: [String]) throws {
        guard words.count == 4, let count = Int(words[2]) else { fatalError("\(words)") }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let store = try Store(at: words[0])
        let keys = (0..<count).map { Store.Key("crowd-\(words[1])-\($0)") }
        let held = try store.lock(keys)
        close(open(words[3], O_CREAT | O_WRONLY, 0o600))
        while true { pause() }
        held.release()
    }
}
