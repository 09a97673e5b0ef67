#if THREAD_SANITIZER

internal import SystemCalls

/// In place of `Synchronization.Mutex` where `.ci/sanitize thread` builds the library.
///
/// ThreadSanitizer does not see what that one orders: its code is the standard library's, and not instrumented.
struct Mutex<Value>: ~Copyable, @unchecked Sendable {
    private final class Box {
        var value: Value

        init(_ value: Value) { self.value = value }
    }

    private let mutex = ThreadMutexes(count: 1)
    // By the thread alone that has the mutex.
    private let box: Box

    init(_ value: Value) { box = Box(value) }

    func withLock<R: ~Copyable, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        _ = mutex.lock(0, until: TimeLimit(nil))
        defer { mutex.unlock(0) }
        return try body(&box.value)
    }
}

#endif
