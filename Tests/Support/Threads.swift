import Glibc

/// A point at which a number of threads wait for one another, again and again.
package final class Barrier: @unchecked Sendable {
    // Synchronised by itself.
    private let barrier = UnsafeMutablePointer<pthread_barrier_t>.allocate(capacity: 1)

    /// For so many threads.
    package init(_ count: Int) {
        guard pthread_barrier_init(barrier, nil, UInt32(count)) == 0 else {
            fatalError("pthread_barrier_init")
        }
    }

    deinit {
        pthread_barrier_destroy(barrier)
        barrier.deallocate()
    }

    /// Returns when all have come.
    package func wait() { pthread_barrier_wait(barrier) }
}

/// Runs a closure in so many threads at once, and returns what they came to in the order of their
/// numbers.
///
/// Threads of their own: the tests' are few, and must not wait for one another.
package func inThreads<R: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) -> R
) -> [R] {
    let results = UnsafeMutablePointer<R?>.allocate(capacity: count)
    results.initialize(repeating: nil, count: count)
    defer {
        results.deinitialize(count: count)
        results.deallocate()
    }
    // Each thread writes one place, which is read after its end.
    nonisolated(unsafe) let places = results
    let threads = (0..<count).map { index in
        startThread { places[index] = body(index) }
    }
    for thread in threads { pthread_join(thread, nil) }
    return (0..<count).map { index in
        guard let result = results[index] else { fatalError("a thread without a result") }
        return result
    }
}

/// Lets others run while something is waited for that another thread or process does.
package func yieldToOthers() { sched_yield() }

/// Looks again and again until a condition holds; false when it does not within five minutes.
///
/// That is what a machine busy with other things may take; a test that passes waits for milliseconds.
package func waitUntil(_ condition: () -> Bool) -> Bool {
    var start = timespec()
    clock_gettime(CLOCK_MONOTONIC, &start)
    var now = start
    var looks = 0
    while !condition() {
        clock_gettime(CLOCK_MONOTONIC, &now)
        if now.tv_sec > start.tv_sec + 300 { return false }
        looks += 1
        // What is waited for needs a processor, which looks without a pause would take from it.
        if looks < 100 { sched_yield() } else { usleep(500) }
    }
    return true
}

private final class Work {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Starts a thread.
@discardableResult
package func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body)).toOpaque()
    let result = pthread_create(
        &thread, nil,
        { pointer in
            if let pointer { Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue().body() }
            return nil
        }, work)
    guard result == 0 else { fatalError("pthread_create: errno \(result)") }
    return thread
}
