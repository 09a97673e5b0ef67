import CFloor
import FlockCache
import Glibc
import SystemCalls

/// One that takes and releases a lock again and again; times in microseconds.
struct Locker {
    var isShared = false
    var hold = 0
    var think = 0
    var key: Store.Key = "the key"
}

/// What it got.
struct Served {
    let count: Int
    /// Nanoseconds, all waits together, and the longest.
    let waited, worst: Int64
}

/// Some processes that want locks for some seconds.
struct Contest {
    static let role = "be-locker"

    enum Kind: String {
        case ours
        /// A lease of ours, in the place of a lock.
        case lease
        /// What flock(1) takes.
        case flock
        /// Those that `cfloor_wake_one_lock` describes.
        case greedy, counted, timed

        var politeness: Int32 {
            switch self {
            case .ours, .lease, .flock, .greedy: 0
            case .counted: 1
            case .timed: 2
            }
        }
    }

    private let directory: String
    private let name: String
    private let lockers: [Locker]
    private let kind: Kind
    private let seconds: Int

    init(_ directory: String, _ name: String, _ lockers: [Locker], _ kind: Kind, seconds: Int) {
        self.directory = directory
        self.name = name
        self.lockers = lockers
        self.kind = kind
        self.seconds = seconds
    }

    /// Runs it, and meanwhile a closure.
    func run(_ meanwhile: () throws -> Void = {}) throws -> [Served] {
        let memory = try Self.memory(directory, name)
        let processes = try lockers.enumerated().map { index, locker in
            try startRole(
                Self.role,
                [
                    directory, name, "\(index)", kind.rawValue, locker.isShared ? "s" : "x",
                    "\(locker.hold)", "\(locker.think)", "\(seconds)",
                    String(decoding: locker.key.bytes, as: UTF8.self),
                ])
        }
        while memory.word(at: 0) < lockers.count { usleep(1000) }
        memory.setTime(BootTime.now, at: 8)
        try meanwhile()
        for process in processes { _ = try process.wait() }
        return lockers.indices.map { index in
            let slot = Self.slot(index)
            return Served(
                count: Int(memory.time(at: slot).nanoseconds),
                waited: memory.time(at: slot + 8).nanoseconds,
                worst: memory.time(at: slot + 16).nanoseconds)
        }
    }

    private static func slot(_ index: Int) -> Int { 128 * (index + 2) }

    static func memory(_ directory: String, _ name: String) throws -> SharedMemory {
        let path = "\(directory)/\(name)"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        ftruncate(file, 192 * 128)
        close(file)
        let place = try Directory.open(path: FileName(Array(directory.utf8)))
        let mapped = try place.open(FileName(Array(name.utf8)), .readWrite)
        guard let memory = SharedMemory(mapped, count: 192 * 128) else {
            fatalError("cannot map \(path)")
        }
        return memory
    }

    static let victim = "be-victim"
    static let waiter = "be-waiting-victim"

    /// One that is killed holding the lock, and says when.
    static func beVictim(_ words: [String]) throws {
        let memory = try Self.memory(words[0], words[1])
        let held = try Store(at: words[0] + "/store").lock([Store.Key(words[2])], wait: .forever)
        memory.setTime(BootTime.now, at: death)
        raise(SIGKILL)
        held.release()
    }

    /// Where a victim says when it dies, and how many delays have been noted; those from `firstDelay` on.
    private static let death = 16, delayCount = 24, firstDelay = 128 * 128

    /// Called by who has the lock, so by one at a time.
    private static func noteDelay(_ memory: SharedMemory) {
        let died = memory.time(at: death).nanoseconds
        guard died != 0 else { return }
        memory.setTime(BootTime(nanoseconds: 0), at: death)
        let index = Int(memory.add(1, at: delayCount)) - 1
        let delay = BootTime.now.nanoseconds - died
        memory.setTime(BootTime(nanoseconds: delay), at: firstDelay + 8 * (index % 1000))
    }

    /// In nanoseconds, from each victim's death to the next one's having the lock.
    func delays() throws -> [Int64] {
        let memory = try Self.memory(directory, name)
        return (0..<min(1000, Int(memory.word(at: Self.delayCount)))).map {
            memory.time(at: Self.firstDelay + 8 * $0).nanoseconds
        }
    }

    /// One that is killed by others while it waits, or holds the lock.
    static func beWaitingVictim(_ words: [String]) throws {
        let store = try Store(at: words[0])
        while true {
            let held = try store.lock([Store.Key(words[1])], wait: .forever)
            usleep(500)
            held.release()
        }
    }

    /// One lock of a kind, in a process.
    final class Lock {
        private let kind: Kind
        private let key: Store.Key
        private let store: Store
        private var held: HeldLock?
        private var lease: Store.Lease?
        private let plain: (file: Int32, word: UnsafeMutablePointer<UInt32>)
        private var isShared = false

        init(_ directory: String, _ key: Store.Key, _ kind: Kind) {
            guard let store = try? Store(at: directory + "/store") else { fatalError("no store") }
            self.store = store
            self.key = key
            self.kind = kind
            plain = Contest.sharedWord("\(directory)/plain-\(kind)-\(key)")
        }

        /// Opens what is opened once.
        func warm() throws { try store.lock([Store.Key("warm-\(getpid())")]).release() }

        func take(shared: Bool) throws {
            switch kind {
            case .ours:
                held = try store.lock([key], mode: shared ? .shared : .exclusive, wait: .forever)
            case .lease:
                lease = try store.acquireLease(key, timeToLive: .seconds(600), wait: .forever)
            case .flock: flock(plain.file, shared ? LOCK_SH : LOCK_EX)
            default: cfloor_wake_one_lock(plain.file, plain.word, shared ? 1 : 0, kind.politeness)
            }
        }

        func giveBack() {
            switch kind {
            case .ours: held = nil
            // Dropped, it is released.
            case .lease: lease = nil
            case .flock: flock(plain.file, LOCK_UN)
            default: cfloor_wake_one_unlock(plain.file, plain.word)
            }
        }
    }

    /// Every visit of the last run, in one order.
    func order() throws -> Order {
        Order(try lockers.indices.flatMap { try Order.read("\(directory)/\(name)-\($0)") })
    }

    static func beLocker(_ words: [String]) throws {
        guard words.count == 9, let index = Int(words[2]), let hold = UInt32(words[5]),
            let think = UInt32(words[6]), let seconds = Int64(words[7]),
            let kind = Kind(rawValue: words[3])
        else { fatalError("\(words)") }
        let memory = try Self.memory(words[0], words[1])
        let isShared = words[4] == "s"
        let lock = Lock(words[0], Store.Key(words[8]), kind)
        try lock.warm()
        memory.add(1, at: 0)
        while memory.time(at: 8).nanoseconds == 0 { usleep(100) }
        let end = cfloor_now() + seconds * 1_000_000_000
        var (count, waited, worst) = (Int64(0), Int64(0), Int64(0))
        var visits: [Order.Visit] = []
        var start = cfloor_now()
        while start < end {
            try lock.take(shared: isShared)
            let got = cfloor_now()
            (count, waited, worst) = (count + 1, waited + got - start, max(worst, got - start))
            noteDelay(memory)
            if hold > 0 { usleep(hold) }
            lock.giveBack()
            visits.append(Order.Visit(asked: start, got: got, isShared: isShared))
            if think > 0 { usleep(think) }
            start = cfloor_now()
        }
        Order.write(visits, to: "\(words[0])/\(words[1])-\(words[2])")
        memory.setTime(BootTime(nanoseconds: count), at: slot(index))
        memory.setTime(BootTime(nanoseconds: waited), at: slot(index) + 8)
        memory.setTime(BootTime(nanoseconds: worst), at: slot(index) + 16)
    }

    /// A word that the processes of a plain lock share, and the file it is in.
    fileprivate static func sharedWord(_ path: String) -> (Int32, UnsafeMutablePointer<UInt32>) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        ftruncate(file, 4096)
        guard let mapped = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) else {
            fatalError("mmap")
        }
        return (file, mapped.assumingMemoryBound(to: UInt32.self))
    }
}
