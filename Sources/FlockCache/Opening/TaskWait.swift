#if Async

internal import Synchronization
internal import SystemCalls

// What a task does instead of blocking the thread it runs on.

extension Session {
    /// How long a task waits for somebody else's change on the thread that it shares with others: as
    /// long as a change takes on a busy machine.
    static let politePatience = Duration.milliseconds(2)
    /// How long it waits so once, before it says that somebody is stopped: where many tasks and threads change one
    /// shard on a busy machine, each look may have come too soon.
    static let lastPatience = Duration.milliseconds(200)

    /// Runs a closure that changes a key, for a task; nil where another change of the shard takes longer
    /// than a task may wait.
    ///
    /// - Parameters:
    ///   - span: of the task's wait.
    ///   - patience: how long a stopped process is waited for; nil: as long as the span says.
    ///   - stuck: set while another process keeps the shard: from when, and until when that is waited for.
    ///     That is as long as the form for threads waits.
    func politely<R>(
        _ key: Store.Key, span: WaitSpan, patience: Duration? = nil, stuck: inout WaitSpan?,
        _ body: (Duration) throws(StoreError) -> R
    ) throws(StoreError) -> R? {
        do throws(StoreError) {
            let result = try body(Self.politePatience)
            stuck = nil
            return result
        } catch {
            guard error.code == .timedOut else { throw error }
            let began = stuck ?? WaitSpan(patience ?? span.patience)
            stuck = began
            guard began.isOver else { return nil }
            return try lastly(key, began, body)
        }
    }

    private func lastly<R>(
        _ key: Store.Key, _ began: WaitSpan, _ body: (Duration) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        do throws(StoreError) {
            return try body(Self.lastPatience)
        } catch {
            guard error.code == .timedOut else { throw error }
            let store = try forWriting()
            throw ShardMutex.stuck(
                store.shards, try EntryName(key).shard, try store.shards.file(), began.elapsed)
        }
    }

    /// Draws a ticket for a task that is to wait until a key changes, or for a moment.
    ///
    /// - Parameter forChange: false where another change of the shard is waited for.
    func drawTicket(
        for subject: KeyTickets.Subject, until deadline: BootTime, forChange: Bool
    ) throws(StoreError) -> KeyTickets.Ticket {
        let store = try forWriting()
        let tickets = store.lookOut.watch { KeyTickets() }
        let moment = BootTime.now.advanced(by: .nanoseconds(WaitSpan.untilNextLook()))
        let ticket = tickets.draw(
            subject, with: store.board.forWaiting(),
            until: forChange ? deadline : min(deadline, moment), forChange: forChange)
        try store.lookOut.add(tickets) { store.board.forWaiting() }
        return ticket
    }
}

extension Session {
    /// Makes a change of a key for a task: here if that can be done at once, otherwise on a thread of its own.
    ///
    /// A change takes microseconds, but behind a stopped process it would block the thread that tasks share for ten
    /// seconds, and a few such tasks all of them.
    ///
    /// - Returns: nil where the task was cancelled first; the thread makes the change all the same.
    nonisolated(nonsending) func change<R: Sendable>(
        _ key: Store.Key, _ body: @escaping @Sendable () -> R
    ) async -> R? {
        guard isStuck(key) else { return body() }
        return await onOwnThread(body)
    }

    /// The same for a change that may fail.
    ///
    /// - Throws: what the change throws, and `CancellationError`.
    nonisolated(nonsending) func carryOut<R: Sendable>(
        _ key: Store.Key, _ body: @escaping @Sendable () throws(StoreError) -> R
    ) async throws -> R {
        try Self.result(await change(key) { Self.outcome(body) })
    }

    /// The same for a change of a journal.
    nonisolated(nonsending) func carryOut<R: Sendable>(
        onJournal name: Store.Key, _ body: @escaping @Sendable () throws(StoreError) -> R
    ) async throws -> R {
        guard isStuck(journal: name) else { return try body() }
        return try await carryOutOnOwnThread(body)
    }

    /// Makes a change for a task on a thread of its own; the task may be cancelled, and the thread then goes on.
    nonisolated(nonsending) func carryOutOnOwnThread<R: Sendable>(
        _ body: @escaping @Sendable () throws(StoreError) -> R
    ) async throws -> R {
        try Self.result(await onOwnThread { Self.outcome(body) })
    }

    private static func outcome<R>(_ body: () throws(StoreError) -> R) -> Result<R, StoreError> {
        do throws(StoreError) { return .success(try body()) } catch { return .failure(error) }
    }

    private static func result<R>(_ outcome: Result<R, StoreError>?) throws -> R {
        guard let outcome else { throw CancellationError() }
        return try outcome.get()
    }

    /// Runs a closure on a thread of its own; nil where the task was cancelled first.
    nonisolated(nonsending) private func onOwnThread<R: Sendable>(
        _ body: @escaping @Sendable () -> R
    ) async -> R? {
        let handover = Handover<R>()
        do throws(Errno) {
            try startThread { handover.finish(body()) }
        } catch {
            // Without a thread there is only this one.
            return body()
        }
        return await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { continuation in
                handover.wait { unsafe continuation.resume(returning: $0) }
            }
        } onCancel: {
            handover.finish(nil)
        }
    }

    /// Makes a change for a value that is dropped: in a task, behind a stopped process, on a thread of its own.
    func changeWhileDropped(_ key: Store.Key, _ body: @escaping @Sendable () -> Void) {
        guard unsafe withUnsafeCurrentTask(body: { unsafe $0 != nil }), isStuck(key) else {
            return body()
        }
        // Without a thread it is left to others: a claim is stale when its session ends, and a lease expires.
        try? startThread(body)
    }

    /// Whether another change of the key's shard takes longer than a task may wait.
    private func isStuck(_ key: Store.Key) -> Bool {
        do throws(StoreError) {
            guard let store = try existing() else { return false }
            let mutex = try ShardMutex(
                store, try EntryName(key).shard, patience: Self.politePatience)
            // A store that tells of its changes also appends to their journal, under the mutex.
            try store.changes?.journal.checkLock(patience: Self.politePatience)
            _ = consume mutex
            return false
        } catch {
            // Anything else the change itself will say.
            return error.code == .timedOut
        }
    }

    /// Whether another change of a journal takes longer than a task may wait.
    private func isStuck(journal name: Store.Key) -> Bool {
        do throws(StoreError) {
            guard let store = try existing() else { return false }
            try store.journals.journal(try JournalName(name))
                .checkLock(patience: Self.politePatience)
            return false
        } catch {
            return error.code == .timedOut
        }
    }
}

/// A result on its way from a thread to a task, of which the first of two counts.
private final class Handover<R: Sendable>: Sendable {
    private struct State {
        var isOver = false
        var result: R?
        var resume: (@Sendable (R?) -> Void)?
    }

    private let state = Mutex(State())

    func finish(_ result: R?) {
        let resume = state.withLock { state -> (@Sendable (R?) -> Void)? in
            guard !state.isOver else { return nil }
            state.isOver = true
            state.result = result
            defer { state.resume = nil }
            return state.resume
        }
        resume?(result)
    }

    /// Has a closure called once, with the first result.
    func wait(_ resume: @escaping @Sendable (R?) -> Void) {
        let (isOver, result) = state.withLock { state in
            if !state.isOver { state.resume = resume }
            return (state.isOver, state.result)
        }
        if isOver { resume(result) }
    }
}

extension KeyTickets.Ticket {
    /// Waits until the ticket is over or the task is cancelled.
    nonisolated(nonsending) func wait() async {
        await withTaskCancellationHandler {
            unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                wait { unsafe continuation.resume() }
            }
        } onCancel: {
            giveBack()
        }
    }
}

#else

extension Session {
    /// Makes a change for a value that is dropped.
    func changeWhileDropped(_ key: Store.Key, _ body: @escaping @Sendable () -> Void) { body() }
}

#endif
