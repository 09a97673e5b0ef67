internal import SystemCalls

extension Store {
    /// Changes of a store as they happen, those of killed processes included.
    ///
    /// Each change is an element once, in order for each key. Replaying them from the first gives what
    /// ``Store/entries(_:prefix:)`` lists: a change begins what has its generation, or ends it.
    ///
    ///     for try await change in store.changes(prefix: "jobs/") {
    ///         if change.event == .finalized { use(change.key) }
    ///     }
    ///
    /// A value of this type may be iterated any number of times; each iteration begins anew.
    public struct Changes: Sendable {
        /// A change of a key.
        public struct Element: Sendable {
            /// What happened.
            public let event: Event
            /// The key; it has no bytes where the event is `restarted`.
            public let key: Key
            /// The generation of the claim, value or lease that begins or ends; 0 where its record could not be
            /// read, and where the event is `restarted`.
            public let generation: Generation
            /// The number of the change: 1 for the first, and without gaps.
            public let position: UInt64
            /// How long ago it was told, by the wall clock; not below zero.
            public let age: Duration
        }

        /// What may happen.
        @nonexhaustive public enum Event: Hashable, Sendable {
            /// A claim was won.
            case claimed
            /// A stale claim was taken over; the generation is that of the new one.
            case takenOver
            /// A claim's value was published.
            case finalized
            /// A value was set without a claim.
            case put
            /// A number was added to.
            case incremented
            /// A claim was given up.
            case abandoned
            /// A claim or a value was removed, or a damaged value set aside.
            case removed
            /// A stale claim, or a value beyond a limit, was removed by a reaper.
            case reaped
            /// A lease was granted, or renewed after it had expired.
            case leased
            /// A lease was given back.
            case released
            /// The time of a lease was over, or its owner had exited.
            case expired
            /// The machine was restarted, or the store is a copy: the store may be older than the changes before
            /// this one say, so list it again.
            case restarted
        }

        let session: Session
        let prefix: Key?
        let position: UInt64?
    }

    /// Changes as they happen, from now or from a position.
    ///
    /// Needs a store that keeps a journal of its changes: `flock-cache init --journal`, or
    /// ``Configuration/journalsChanges``. While it is iterated, changes of killed processes are told within two
    /// seconds, and leases that are over end.
    ///
    /// - Parameters:
    ///   - prefix: only changes of keys that begin with these bytes, and `restarted`; positions then have gaps.
    ///   - position: of the first change; nil: the next one. To go on after a change, its position and 1.
    /// - Returns: a sequence whose iteration throws ``StoreError``: `.badConfiguration` for a store without such a
    ///   journal, `.trimmed` where the position was trimmed away, `.invalidNumber` where it is beyond the next
    ///   one, `.notAStore` where the store is removed; and `CancellationError`.
    public func changes<Prefix: KeyConvertible>(
        prefix: Prefix? = Key?.none, from position: UInt64? = nil
    ) -> Changes {
        Changes(session: session, prefix: prefix?.storeKey, position: position)
    }
}

#if Async

extension Store.Changes: AsyncSequence {
    /// Goes through the changes, for one task at a time.
    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let changes: Store.Changes
        /// Made by the first step, which can throw.
        private var watch: ChangeWatch?

        fileprivate init(_ changes: Store.Changes) { self.changes = changes }

        /// The next change, waiting for it; never nil.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws -> Element? {
            let watch =
                try watch
                ?? ChangeWatch(
                    changes.session, prefix: changes.prefix, from: changes.position)
            self.watch = watch
            return Element(try await watch.next())
        }
    }

    /// Begins an iteration; its first step opens the journal.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension Store.Changes.Element {
    init(_ change: WatchedChange) {
        event = Store.Changes.Event(change.event)
        key = change.key
        generation = change.generation
        position = change.number
        age = .microseconds(max(0, clampedDifference(WallClock.microseconds, change.time)))
    }
}

extension Store.Changes.Event {
    fileprivate init(_ event: ChangeEvent) {
        self =
            switch event {
            case .claimed: .claimed
            case .takenOver: .takenOver
            case .finalized: .finalized
            case .put: .put
            case .incremented: .incremented
            case .abandoned: .abandoned
            case .removed: .removed
            case .reaped: .reaped
            case .leased: .leased
            case .released: .released
            case .expired: .expired
            case .restarted: .restarted
            }
    }
}

#endif
