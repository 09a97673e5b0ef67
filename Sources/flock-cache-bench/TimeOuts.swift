import CFloor
import FlockCache
import Glibc
import Synchronization
import SystemCalls

/// How late waits end whose time is over, undisturbed and under a storm of signals.
///
/// A wait that ends early is an error.
struct TimeOuts {
    let directory: String
    let isShort: Bool

    init(_ directory: String, isShort: Bool) {
        self.directory = directory
        self.isShort = isShort
    }

    private static let waiters = 8

    func run() throws {
        let store = try Store(at: directory + "/store")
        guard case .won(let claim) = try store.claim("key") else { fatalError("it is taken") }
        let held = try store.lock(["key"])
        print("how late waits end, \(Self.waiters) at a time (bounds: never early, p99 20 ms)")
        for (isStorm, isLock) in [(false, false), (true, false), (false, true), (true, true)] {
            let what = isLock ? "for a lock" : "for a claim"
            print("  \(what), \(isStorm ? "under a signal every 100 µs" : "undisturbed")")
            for (milliseconds, rounds) in [
                (10, 25), (30, 20), (100, 10), (300, 4), (1000, 2), (5000, 1),
            ]
            where !isShort || milliseconds <= 300 {
                measure(milliseconds, rounds, isStorm, isLock)
            }
        }
        try claim.abandon()
        held.release()
    }

    private func measure(_ milliseconds: Int, _ rounds: Int, _ isStorm: Bool, _ isLock: Bool) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        // Without SA_RESTART: every signal interrupts what a thread waits in.
        guard sigaction(SIGUSR1, &action, nil) == 0 else { fatalError("sigaction") }
        let waiters = (0..<Self.waiters).map { _ in
            Waiter(directory + "/store", milliseconds, rounds, isLock)
        }
        if isStorm { storm(waiters) }
        let late = waiters.flatMap { $0.join() }
        let worst = late.max() ?? 0
        guard let early = late.min(), early >= 0 else { fatalError("a wait has ended early") }
        print(
            "    \("\(milliseconds) ms".padded(8)) late by \(Double(early).microseconds) to "
                + "\(Double(worst).microseconds) µs, median \(quantile(late, 0.5).microseconds), p99 "
                + "\(quantile(late, 0.99).microseconds)")
    }
}

/// A thread that waits again and again, and how late each wait ended in nanoseconds.
private final class Waiter: @unchecked Sendable {
    // Written by the thread, read after its end.
    private var late: [Int64] = []
    private let done = Atomic<Bool>(false)
    private(set) var thread = pthread_t()

    var isDone: Bool { done.load(ordering: .acquiring) }

    init(_ path: String, _ milliseconds: Int, _ rounds: Int, _ isLock: Bool) {
        thread = start {
            guard let store = try? Store(at: path) else { fatalError("no store") }
            for _ in 0..<rounds {
                let begin = cfloor_now()
                Self.waitInVain(store, .upTo(.milliseconds(milliseconds)), isLock)
                self.late.append(cfloor_now() - begin - Int64(milliseconds) * 1_000_000)
            }
            self.done.store(true, ordering: .releasing)
        }
    }

    private static func waitInVain(_ store: Store, _ wait: Store.Wait, _ isLock: Bool) {
        guard isLock else {
            guard case .pending? = try? store.claim("key", wait: wait) else {
                fatalError("the claim has ended")
            }
            return
        }
        do throws(StoreError) {
            try store.lock(["key"], wait: wait).release()
            fatalError("the lock is free")
        } catch {
            guard error.code == .timedOut else { fatalError("\(error)") }
        }
    }

    func join() -> [Int64] {
        pthread_join(thread, nil)
        return late
    }
}

/// Sends a signal to each of some threads in turn, until the last has done its work.
///
/// None of them is joined before this has ended: a thread that was is nobody's.
private func storm(_ waiters: [Waiter]) {
    while waiters.contains(where: { !$0.isDone }) {
        for waiter in waiters {
            pthread_kill(waiter.thread, SIGUSR1)
            usleep(100)
        }
    }
}

private final class Work {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
}

private func start(_ body: @escaping () -> Void) -> pthread_t {
    var thread = pthread_t()
    let result = pthread_create(
        &thread, nil,
        { pointer in
            if let pointer { Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue().body() }
            return nil
        }, Unmanaged.passRetained(Work(body)).toOpaque())
    guard result == 0 else { fatalError("pthread_create: \(result)") }
    return thread
}

/// What a waiter costs that nobody wakes.
struct Idle {
    let directory: String
    let seconds: Int

    init(_ directory: String, seconds: Int) {
        self.directory = directory
        self.seconds = seconds
    }

    func run() throws {
        let store = try Store(at: directory + "/store")
        guard case .won(let claim) = try store.claim("key") else { fatalError("it is taken") }
        let waiter = try Store(at: directory + "/store")
        let before = Self.processorTime()
        guard case .pending = try waiter.claim("key", wait: .upTo(.seconds(seconds))) else {
            fatalError("the claim has ended")
        }
        let used = Self.processorTime() - before
        let part = (Double(used) / Double(seconds) / 100).rounded() / 100
        print("an idle waiter used \(used) µs in \(seconds) s: \(part) % of a core (bound 0.2 %)")
        try claim.abandon()
        try forALock(store)
    }

    /// One that waits for a lock looks more often: a death is noticed within 55 ms.
    private func forALock(_ store: Store) throws {
        let held = try store.lock(["key"])
        let before = Self.processorTime()
        // Another thread: one that waited for itself would be refused.
        let thread = start {
            do throws(StoreError) {
                try store.lock(["key"], wait: .upTo(.seconds(seconds))).release()
                fatalError("the lock is free")
            } catch {
                guard error.code == .timedOut else { fatalError("\(error)") }
            }
        }
        pthread_join(thread, nil)
        let used = Self.processorTime() - before
        let part = (Double(used) / Double(seconds) / 100).rounded() / 100
        print("one idle at a lock used \(used) µs in \(seconds) s: \(part) % of a core")
        held.release()
    }

    /// In microseconds.
    static func processorTime() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
            + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }
}
