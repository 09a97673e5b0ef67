import FlockCache
import Glibc
import Synchronization
import TestSupport

/// Two independent ways to notice that locks overlap, in files of a directory that all processes share.
///
/// One counts who is inside in shared memory; the other takes a lock of the kernel's other kind, `flock(2)`,
/// without waiting.
struct OverlapDetector: @unchecked Sendable {
    // Every access is atomic.
    private let counts: UnsafeMutablePointer<Atomic<Int>>
    private let files: [Int32]
    private static let writer = 1 << 32

    init(_ directory: String, keys: Int) {
        let file = open(directory + "/counts", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        ftruncate(file, 4096)
        guard let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            memory != MAP_FAILED
        else { fatalError("mmap: errno \(errno)") }
        counts = memory.assumingMemoryBound(to: Atomic<Int>.self)
        files = (0..<keys).map {
            open("\(directory)/inside-\($0)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        }
    }

    /// How many ways say that somebody is inside who must not be.
    func enter(_ key: Int, shared: Bool) -> Int {
        let before = counts[key].add(shared ? 1 : Self.writer, ordering: .sequentiallyConsistent)
            .oldValue
        let isAlone = shared ? before < Self.writer : before == 0
        let isFree = flock(files[key], (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0
        return (isAlone ? 0 : 1) + (isFree ? 0 : 1)
    }

    func leave(_ key: Int, shared: Bool) {
        flock(files[key], LOCK_UN)
        counts[key].subtract(shared ? 1 : Self.writer, ordering: .sequentiallyConsistent)
    }
}

extension Peer {
    /// Takes locks again and again, one at a time, and notices overlaps.
    ///
    /// `SEED COUNT KEYS DIRECTORY` → `done GRANTS OVERLAPS`.
    func lockStorm(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        guard words.count == 4, let seed = UInt64(words[0]), let count = Int(words[1]),
            let keys = Int(words[2])
        else { return "what?" }
        let detector = OverlapDetector(words[3], keys: keys)
        var random = Seeded(seed: seed)
        var overlaps = 0
        for _ in 0..<count {
            let key = Int.random(in: 0..<keys, using: &random)
            let shared = Bool.random(using: &random)
            let held = try store.lock(
                ["key-\(key)".key], mode: shared ? .shared : .exclusive, wait: .upTo(.seconds(60)))
            overlaps += detector.enter(key, shared: shared)
            if Int.random(in: 0..<8, using: &random) == 0 { sched_yield() }
            detector.leave(key, shared: shared)
            held.release()
        }
        return "done \(count) \(overlaps)"
    }

    /// Takes random subsets of keys in random order with duplicates, some with short waits.
    ///
    /// `SEED MILLISECONDS DIRECTORY` → `done GRANTS TIMEOUTS OVERLAPS WORST-MS`.
    func lockSubsets(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        guard words.count == 3, let seed = UInt64(words[0]), let limit = Int64(words[1]) else {
            return "what?"
        }
        let keys = 12
        let detector = OverlapDetector(words[2], keys: keys)
        var random = Seeded(seed: seed)
        var (grants, timeOuts, overlaps) = (0, 0, 0)
        var worst: Int64 = 0
        let end = Self.bootTime + limit * 1_000_000
        // For so long, and on a busy machine until there were enough.
        while Self.bootTime < end || grants <= 100 {
            let size = Int.random(in: 2...8, using: &random)
            let chosen = (0..<keys).shuffled(using: &random).prefix(size)
            // Some twice.
            let named = (chosen + chosen.prefix(size / 3)).shuffled(using: &random)
            let isShort = Int.random(in: 0..<4, using: &random) == 0
            let start = Self.bootTime
            let wait: Store.Wait = isShort ? .upTo(.milliseconds(3)) : .upTo(.seconds(60))
            guard let held = try lockInTime(named.map { "key-\($0)".key }, wait) else {
                guard isShort else { return "error timedOut" }
                timeOuts += 1
                continue
            }
            worst = max(worst, Self.bootTime - start)
            for key in chosen { overlaps += detector.enter(key, shared: false) }
            sched_yield()
            for key in chosen { detector.leave(key, shared: false) }
            held.release()
            grants += 1
        }
        return "done \(grants) \(timeOuts) \(overlaps) \(worst / 1_000_000)"
    }

    /// The locks; nil when the wait ended.
    private func lockInTime(
        _ keys: [Store.Key], _ wait: Store.Wait
    ) throws(StoreError) -> HeldLock? {
        do throws(StoreError) {
            return try store.lock(keys, wait: wait)
        } catch {
            if error.code == .timedOut { return nil }
            throw error
        }
    }

    /// `MODE MILLISECONDS KEY…` → `held SLOT`, SLOT `-` without slots; MODE `x`, `s` or a number of slots.
    mutating func lock(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        guard words.count > 2, let milliseconds = Int(words[1]) else { return "what?" }
        let mode: HeldLock.Mode =
            switch words[0] {
            case "x": .exclusive
            case "s": .shared
            default: .slots(Int(words[0]) ?? 0)
            }
        let held = try store.lock(
            words.dropFirst(2).map { $0.key }, mode: mode, wait: .upTo(.milliseconds(milliseconds)))
        let slot = held.slot.map { String($0) } ?? "-"
        locked = consume held
        return "held \(slot)"
    }
}

extension String {
    var key: Store.Key { Store.Key(self) }
}
