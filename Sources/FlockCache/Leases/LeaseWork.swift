#if Async

internal import Synchronization

/// A closure that runs under a lease as a child task, which the thread that renews the lease may cancel.
///
/// The closure need not be `Sendable`: it runs with the caller's isolation, and the caller waits for it meanwhile.
final class LeaseWork<R: ~Copyable>: @unchecked Sendable {
    // By the child task, and by the caller before and after that.
    private var body: (nonisolated(nonsending) () async throws -> R)?
    private var outcome: Result<R, any Error>?
    private let state = Mutex(State())

    @safe private struct State: @unchecked Sendable {
        /// While it runs: a task that has ended must not be cancelled through this.
        var task: UnsafeCurrentTask?
        var isCancelled = false
    }

    init(_ body: nonisolated(nonsending) @escaping () async throws -> R) { self.body = body }

    /// Lets go of the closure, which must not outlive the call that it was passed to: the thread that renews the
    /// lease may keep this object for a moment longer, to cancel it.
    func end() { body = nil }

    /// Cancels the task, also before it has begun.
    func cancel() {
        state.withLock { state in
            state.isCancelled = true
            unsafe state.task?.cancel()
        }
    }

    /// Runs the closure as a child task, and returns what came of it.
    func run(isolation: isolated (any Actor)?) async -> Result<R, any Error> {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                _ = isolation
                await self.runHere()
            }
            await group.waitForAll()
        }
        guard let outcome = outcome.take() else { preconditionFailure("the child task has ended") }
        return outcome
    }

    nonisolated(nonsending) private func runHere() async {
        unsafe withUnsafeCurrentTask { task in
            state.withLock { state in
                unsafe state.task = unsafe task
                if state.isCancelled { unsafe task?.cancel() }
            }
        }
        guard let body = body.take() else { preconditionFailure("it runs once") }
        do {
            outcome = .success(try await body())
        } catch {
            outcome = .failure(error)
        }
        state.withLock { unsafe $0.task = nil }
    }
}

#endif
