#if Async

internal import SystemCalls

// What a task does instead of blocking the thread it runs on.

extension Session {
    /// How long a task waits for somebody else's change on the thread that it shares with others: as
    /// long as a change takes on a busy machine.
    static let politePatience = Duration.milliseconds(2)

    /// Runs a closure that changes a key, for a task; nil where another change of the shard takes longer
    /// than a task may wait.
    ///
    /// - Parameters:
    ///   - span: of the task's wait.
    ///   - stuck: set while another process keeps the shard: from when, and until when that is waited for.
    ///     That is as long as the form for threads waits.
    func politely<R>(
        _ key: Store.Key, span: WaitSpan, stuck: inout WaitSpan?,
        _ body: (Duration) throws(StoreError) -> R
    ) throws(StoreError) -> R? {
        do throws(StoreError) {
            let result = try body(Self.politePatience)
            stuck = nil
            return result
        } catch {
            guard error.code == .timedOut else { throw error }
            let began = stuck ?? WaitSpan(span.patience)
            stuck = began
            if began.isOver {
                let store = try forWriting()
                throw ShardMutex.stuck(
                    store.shards, try EntryName(key).shard, try store.shards.file(), began.elapsed)
            }
            return nil
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

#endif
