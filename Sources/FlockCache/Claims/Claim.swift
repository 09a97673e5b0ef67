internal import Synchronization
internal import SystemCalls

extension Store {
    /// The right to produce a key's value.
    ///
    /// Dropped without `finalize`, it is abandoned.
    ///
    /// It keeps its store open, also when the last `Store` of it has gone. When the process ends, however it
    /// ends, the claim is stale, and the next to ask takes over. In a forked child a claim of the parent is
    /// inert.
    public struct Claim: ~Copyable, Sendable {
        private let ticket: Ticket

        init(_ session: Session, _ key: Store.Key, _ generation: Store.Generation) {
            ticket = Ticket(session: session, key: key, generation: generation)
        }

        /// The key.
        public var key: Store.Key { ticket.key }

        /// The number of this claim, higher than that of every earlier one of the key.
        public var generation: Store.Generation { ticket.generation }

        /// Publishes the value: the key is READY for everybody when this returns.
        ///
        /// Where another process has published a value with this claim's generation already, as
        /// `flock-cache finalize --generation` does, nothing changes: that value stays, and is returned.
        ///
        /// - Parameter bytes: up to 1 GiB; none is a value too.
        /// - Returns: the entry that is there now, as other processes see it.
        /// - Throws: `.claimLost` when the claim was taken over or removed; nothing has then changed.
        ///   `.unknownOutcome` when the system failed after the decisive step. After any other error, such
        ///   as `.noSpace` where the device is full or the value is too large, the claim has been abandoned.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        @discardableResult
        public consuming func finalize(_ bytes: some Collection<UInt8>) throws(StoreError) -> Entry
        {
            try ticket.finalize(Array(bytes))
        }

        /// Publishes the content of a file without reading it into memory.
        ///
        /// - Parameter path: of a file of up to 1 GiB; it is read to its end.
        /// - Returns: the entry that is there now, as for `finalize(_:)`.
        /// - Throws: as `finalize(_:)`, and when the file cannot be opened or read. `.unknownOutcome` also
        ///   when the value was published but cannot be read back.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        @discardableResult
        public consuming func finalize(contentsOfFile path: String) throws(StoreError) -> Entry {
            try ticket.finalize(contentsOf: Array(path.utf8))
        }

        /// Begins the claim's `staleAfter` again.
        ///
        /// Also when that time is over, as long as no other process has taken the claim over. Without a `staleAfter`
        /// there is nothing to do.
        ///
        /// - Throws: `.claimLost` when the claim was taken over, removed or finalized; nothing is then changed.
        ///   `.unknownOutcome` in a durable store when the system failed after the decisive step. After any other error
        ///   the claim lasts as long as it did.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        public func renew() throws(StoreError) { try ticket.renew() }

        /// Gives the claim up: what dropping it does, with the error reported.
        ///
        /// - Throws: `.claimLost` when somebody else has the key claimed by now.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        public consuming func abandon() throws(StoreError) {
            try ticket.abandon()
        }

        /// What ends exactly once.
        private final class Ticket: Sendable {
            let session: Session
            let key: Store.Key
            let generation: Store.Generation
            private let epoch = ForkEpoch.current
            private let isOver = Atomic<Bool>(false)

            init(session: Session, key: Store.Key, generation: Store.Generation) {
                self.session = session
                self.key = key
                self.generation = generation
            }

            deinit {
                guard !isOver.load(ordering: .relaxed), epoch == ForkEpoch.current else { return }
                // Nobody is there to hear of an error. What it leaves counts as stale when this session
                // ends, and the next to ask takes over.
                session.changeWhileDropped(key) { [session, key, generation] in
                    _ = try? session.abandon(key, by: .generation(generation))
                }
            }

            func finalize(_ bytes: [UInt8]) throws(StoreError) -> Entry {
                let finalized = try settle { (right) throws(StoreError) in
                    try unsafe bytes.span.withUnsafeBytes { (bytes) throws(StoreError) in
                        try unsafe session.finalize(key, by: right, .bytes(bytes))
                    }
                }
                if finalized.differs { return try published() }
                return Entry(key: key, value: Value(bytes), generation: generation, age: .zero)
            }

            func finalize(contentsOf path: [UInt8]) throws(StoreError) -> Entry {
                _ = try settle { (right) throws(StoreError) in
                    try session.finalize(key, by: right, contentsOf: path)
                }
                return try published()
            }

            /// Runs what ends the claim; where it fails and the outcome is known, the claim is abandoned.
            private func settle(
                _ body: (ClaimRight) throws(StoreError) -> Finalized
            ) throws(StoreError) -> Finalized {
                guard epoch == ForkEpoch.current else {
                    throw .claimLost("finalize", key, holder: nil)
                }
                do throws(StoreError) {
                    let finalized = try body(.generation(generation))
                    isOver.store(true, ordering: .relaxed)
                    return finalized
                } catch {
                    if error.code == .unknownOutcome { isOver.store(true, ordering: .relaxed) }
                    throw error
                }
            }

            func renew() throws(StoreError) {
                guard epoch == ForkEpoch.current, !isOver.load(ordering: .relaxed) else {
                    throw .claimLost("renew", key, holder: nil)
                }
                try session.renew(key, generation)
            }

            /// The entry after the claim was finalized, read back.
            private func published() throws(StoreError) -> Entry {
                do throws(StoreError) {
                    if let entry = try session.entry(for: key, maxAge: nil) { return entry }
                } catch {
                    throw .publishedUnread(key, error)
                }
                // Published, and removed since.
                throw .publishedUnread(key, nil)
            }

            func abandon() throws(StoreError) {
                guard epoch == ForkEpoch.current else { return }
                isOver.store(true, ordering: .relaxed)
                try session.abandon(key, by: .generation(generation))
            }
        }
    }
}

/// The short name inside this package.
package typealias Claim = Store.Claim

#if Async
extension Store.Claim {
    /// Publishes the value: the key is READY for everybody when this returns; the task blocks no thread meanwhile.
    ///
    /// Where another process has published a value with this claim's generation already, that value stays, and is
    /// returned.
    ///
    /// - Parameter bytes: up to 1 GiB; none is a value too.
    /// - Returns: the entry that is there now, as other processes see it.
    /// - Throws: `.claimLost`, `.unknownOutcome`, and what else the blocking form throws; `CancellationError` when the
    ///   task is cancelled while it waits for a stopped process: the value may be published all the same.
    @discardableResult
    nonisolated(nonsending)
        public consuming func finalize(_ bytes: some Collection<UInt8>) async throws -> Store.Entry
    {
        let (ticket, copy) = (ticket, Array(bytes))
        return try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.finalize(copy)
        }
    }

    /// Publishes the content of a file without reading it into memory; the task blocks no thread for a stopped
    /// process.
    ///
    /// - Parameter path: of a file of up to 1 GiB; it is read to its end.
    /// - Returns: the entry that is there now.
    /// - Throws: as with bytes, and when the file cannot be opened or read.
    @discardableResult
    nonisolated(nonsending)
        public consuming func finalize(contentsOfFile path: String) async throws -> Store.Entry
    {
        let (ticket, path) = (ticket, Array(path.utf8))
        return try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.finalize(contentsOf: path)
        }
    }

    /// Begins the claim's `staleAfter` again; the task blocks no thread for a stopped process.
    ///
    /// Also when that time is over, as long as no other process has taken the claim over. Without a `staleAfter`
    /// there is nothing to do.
    ///
    /// - Throws: `.claimLost`, `.unknownOutcome`, and what else the blocking form throws; `CancellationError` when the
    ///   task is cancelled while it waits for a stopped process: the claim may be renewed all the same.
    nonisolated(nonsending)
        public func renew() async throws
    {
        let ticket = ticket
        try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.renew()
        }
    }

    /// Gives the claim up, with the error reported; the task blocks no thread for a stopped process.
    ///
    /// - Throws: `.claimLost` when another process has the key claimed by now; `CancellationError` when the task is
    ///   cancelled while it waits for a stopped process: the claim is given up as soon as that goes on.
    nonisolated(nonsending)
        public consuming func abandon() async throws
    {
        let ticket = ticket
        try await ticket.session.carryOut(ticket.key) { () throws(StoreError) in
            try ticket.abandon()
        }
    }
}
#endif

extension Store {
    /// What claiming a key comes to.
    ///
    /// Switch over the call itself, or over `consume result` where the result has a name:
    ///
    ///     switch try store.claim("page-17") {
    ///     case .won(let claim): try claim.finalize(try render(17).utf8)
    ///     case .ready(let entry): print(entry.value)
    ///     case .pending(let holder): print("claimed by \(holder)")
    ///     }
    ///
    /// ``entry`` and ``holder`` need no `switch`, nor does `claimIfAvailable(_:maxAge:staleAfter:)`.
    public enum ClaimResult: ~Copyable, Sendable {
        /// Nobody had it: produce the value, then finalize.
        case won(Claim)
        /// It is published.
        case ready(Entry)
        /// Somebody else is at it.
        case pending(Holder)

        /// The entry where the key is ready, otherwise nil.
        public var entry: Entry? {
            switch self {
            case .ready(let entry): entry
            case .won: nil
            case .pending: nil
            }
        }

        /// The holder of the claim where the key is pending, otherwise nil.
        public var holder: Holder? {
            switch self {
            case .pending(let holder): holder
            case .won: nil
            case .ready: nil
            }
        }
    }
}

/// The short name inside this package.
package typealias ClaimResult = Store.ClaimResult
