internal import CSystem

/// Mutexes between the threads of one process, each a futex word, that can time out.
///
/// `Synchronization.Mutex` waits without end.
@safe package final class ThreadMutexes: @unchecked Sendable {
    // Every access goes through the kernel-synchronised calls below.
    private let words: UnsafeMutablePointer<UInt32>

    package init(count: Int) {
        unsafe words = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        unsafe words.initialize(repeating: 0, count: count)
    }

    deinit { unsafe words.deallocate() }

    /// Takes one; false when the limit is over first.
    package func lock(_ index: Int, until limit: TimeLimit) -> Bool {
        unsafe csystem_mutex_lock(words + index, limit.end) == 0
    }

    package func unlock(_ index: Int) { unsafe csystem_mutex_unlock(words + index) }

    /// Runs a closure with one taken, waiting for it without end: for what is only bookkeeping.
    package func locked<R: ~Copyable>(_ index: Int, _ body: () -> R) -> R {
        _ = lock(index, until: TimeLimit(nil))
        defer { unlock(index) }
        return body()
    }
}
