// For `stdout`, which the C library guards by a lock of its own.
@preconcurrency import Glibc
import Synchronization
import TestSupport
import Testing

/// Runs tests on threads of their own, a few at a time, and says at the end of the run which were the slowest.
///
/// A test that waits for another process blocks its thread, and the threads that tasks share are as many
/// as there are processors: with all of them blocked, the processors are idle. Swift Testing starts all
/// tests at once and counts the time that they wait for their turn, so its own figures name no slow one.
struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
    /// Whether the tests block their thread; those that are tasks stay on the threads of tasks.
    var areBlocking = true
    /// After how many minutes from its turn a test, and with it the run, has failed.
    var limit = minutesOfATest

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard areBlocking else { return try await timed(test, function) }
        // Not by the queue of the threads: a test that waits as a task would go to its end each time.
        await TestThreads.shared.waitForThread()
        defer { TestThreads.shared.giveThreadBack() }
        try await withTaskExecutorPreference(TestThreads.shared) {
            try await timed(test, function)
        }
    }

    private func timed(_ test: Test, _ function: @Sendable () async throws -> Void) async throws {
        errorsAreThrownWithoutBacktraces
        let turn = Turns.shared.begin(name(of: test), limit: limit)
        defer { Turns.shared.end(turn) }
        try await function()
    }

    /// As `--filter` takes it.
    private func name(of test: Test) -> String {
        let parts = "\(test.id)".split(separator: "/")
        return parts.prefix { !$0.contains(".swift:") }.joined(separator: "/")
    }
}

extension Trait where Self == OwnThreads {
    /// Of a suite whose tests block: they run on threads of their own.
    static var ownThreads: OwnThreads { OwnThreads() }

    /// The same, and after so many minutes a test has failed.
    static func ownThreads(minutes: Int) -> OwnThreads { OwnThreads(limit: minutes) }

    /// Of a suite whose tests are tasks: they are only timed.
    static var timed: OwnThreads { OwnThreads(areBlocking: false) }
}

/// A test takes seconds: one that takes minutes waits for what will not come.
private let minutesOfATest: Int = {
    let given = getenv("FLOCK_CACHE_TEST_MINUTES").flatMap { Int(String(cString: $0)) }
    return given ?? (wantsLongTests ? 60 : 15)
}()

/// Takes away the hooks of the runtime that Swift Testing sets before the first test.
///
/// By them it takes a backtrace of each error that is thrown, and prints none: a fifth of the processors' time of
/// these tests (`perf`, Swift 6.3.1).
private let errorsAreThrownWithoutBacktraces: Void = {
    for hook in ["_swift_willThrow", "_swift_willThrowTypedImpl"] {
        dlsym(UnsafeMutableRawPointer(bitPattern: 0), hook)?.storeBytes(
            of: nil, as: UnsafeMutableRawPointer?.self)
    }
}()

/// Some threads, more than there are processors, that run tests.
private final class TestThreads: TaskExecutor, @unchecked Sendable {
    static let shared = TestThreads()

    private struct Free {
        var count: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    /// Threads that no test has.
    private let free: Mutex<Free>
    // `jobs` is changed under `mutex` alone.
    private var jobs: [UnownedJob] = []
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    private init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        let count = getenv("FLOCK_CACHE_TEST_THREADS").flatMap { Int(String(cString: $0)) }
        let threads = count ?? 2 * max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        free = Mutex(Free(count: threads))
        for _ in 0..<threads { startThread { self.work() } }
    }

    func waitForThread() async {
        await withCheckedContinuation { continuation in
            let isFree = free.withLock { free in
                if free.count == 0 { free.waiting.append(continuation) }
                defer { free.count = max(0, free.count - 1) }
                return free.count > 0
            }
            if isFree { continuation.resume() }
        }
    }

    func giveThreadBack() {
        let next = free.withLock { free -> CheckedContinuation<Void, Never>? in
            if free.waiting.isEmpty {
                free.count += 1
                return nil
            }
            return free.waiting.removeFirst()
        }
        next?.resume()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pthread_mutex_lock(mutex)
        jobs.append(job)
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(condition)
    }

    private func work() {
        while true {
            pthread_mutex_lock(mutex)
            while jobs.isEmpty { pthread_cond_wait(condition, mutex) }
            let job = jobs.removeFirst()
            pthread_mutex_unlock(mutex)
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }
}

/// What runs, and how long what has run took.
private final class Turns: Sendable {
    static let shared = Turns()

    struct Turn: Sendable {
        let number: Int
        let name: String
        let begin: ContinuousClock.Instant
        let limit: Int
    }

    private struct State {
        var count = 0
        var running: [Int: Turn] = [:]
        var seconds: [String: Double] = [:]
    }

    private let state = Mutex(State())

    private init() {
        // Where a run is ended from outside, what was printed by then is not lost.
        setvbuf(stdout, nil, _IOLBF, 0)
        atexit { Turns.shared.report() }
        startThread {
            while true {
                sleep(10)
                Turns.shared.endWhatIsOverdue()
            }
        }
    }

    func begin(_ name: String, limit: Int) -> Turn {
        state.withLock { state in
            state.count += 1
            let turn = Turn(number: state.count, name: name, begin: .now, limit: limit)
            state.running[turn.number] = turn
            return turn
        }
    }

    func end(_ turn: Turn) {
        state.withLock { state in
            state.running[turn.number] = nil
            state.seconds[turn.name, default: 0] += (ContinuousClock.now - turn.begin) / .seconds(1)
        }
    }

    /// A thread that is blocked can only be ended with its process.
    ///
    /// Says what runs and what each process that was started waits for, and ends those.
    private func endWhatIsOverdue() {
        let running = state.withLock { state in
            state.running.values.sorted { $0.number < $1.number }
        }
        let now = ContinuousClock.now
        guard let overdue = running.first(where: { now - $0.begin > .seconds(60 * $0.limit) })
        else { return }
        let processes = descendants()
        say("\(overdue.name) has not ended within \(overdue.limit) minutes. What runs:")
        for turn in running { say("  \((now - turn.begin).components.seconds) s  \(turn.name)") }
        say("Processes:")
        for process in processes { say("  \(situation(of: process))") }
        for process in processes { kill(process, SIGKILL) }
        _exit(1)
    }

    /// Past the buffers of this process, whose locks may be held.
    private func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = Glibc.write(2, bytes, bytes.count)
    }

    /// The ten slowest, arguments taken together.
    private func report() {
        let slowest = state.withLock { $0.seconds.sorted { $0.value > $1.value }.prefix(10) }
        guard slowest.count > 1 else { return }
        print("The slowest tests, in seconds from their turn to their end:")
        for (name, seconds) in slowest {
            let tenths = Int((seconds * 10).rounded())
            print("\(tenths / 10).\(tenths % 10)\t\(name)")
        }
    }
}
