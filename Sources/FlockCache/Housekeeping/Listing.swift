internal import SystemCalls

extension Store {
    /// What a listing passes on.
    public enum Filter: Sendable {
        /// Everything.
        case all
        /// Claims only.
        case pending
        /// Values only.
        case ready
    }

    /// One line of a listing.
    public struct Summary: Sendable {
        /// What is known of the key.
        public enum State: Sendable {
            /// Claimed, by whom.
            case pending(Holder)
            /// Published, with a value of that many bytes.
            case ready(size: Int)
        }

        /// The key.
        public let key: Key
        /// Whether it is claimed or published.
        ///
        /// A key being computed anew is listed as both, in a row.
        public let state: State
        /// The generation of the claim; 0 for one that a killed process left half-written.
        public let generation: Generation
        /// How long ago it was claimed, or published.
        public let age: Duration
    }

    /// A store being listed; its steps can fail, hence no `Sequence`.
    ///
    /// Every key that exists throughout is listed exactly once. Of a key that comes, goes or changes
    /// meanwhile, one of its states is listed, or none. One shard's names are in memory at a time.
    public struct Entries: ~Copyable, Sendable {
        private let session: Session
        private let filter: Filter
        private let prefix: [UInt8]
        private var nextShard = 0
        private var shard = 0
        private var names: [[UInt8]] = []
        private var following: Summary?

        init(_ session: Session, _ filter: Filter, prefix: Key?) {
            self.session = session
            self.filter = filter
            self.prefix = prefix?.bytes ?? []
        }

        /// The next entry; nil at the end.
        ///
        /// - Throws: what the system refuses. Damaged records are passed over and reported through
        ///   ``Store/Configuration/onDamage``.
        public mutating func next() throws(StoreError) -> Summary? {
            if let summary = following {
                following = nil
                return summary
            }
            let isFirst = nextShard == 0
            guard let store = try isFirst ? session.existingNow() : session.existing()
            else { return nil }
            while true {
                while let name = names.popLast() {
                    let summary: Summary?
                    do throws(StoreError) {
                        summary = try summarize(name, in: store)
                    } catch {
                        // Something else was put in the place of a record; the others are listed.
                        guard error.isOfOneRecord else { throw error }
                        session.configuration.onDamage?(Key(EntryName.decode(name) ?? []), nil)
                        continue
                    }
                    if let summary { return summary }
                }
                guard nextShard < Layout.shardCount else { return nil }
                shard = nextShard
                nextShard += 1
                names = try readNames(in: store)
            }
        }

        private func readNames(in store: OpenStore) throws(StoreError) -> [[UInt8]] {
            guard let directory = try store.shardDirectoryNow(shard) else { return [] }
            // Held only while the names are read.
            let held = try HeldShard(store, shard)
            let names = try held.store.names(in: directory, of: shard)
            return names.entries.keys.filter { name in
                prefix.isEmpty || EntryName.decode(name)?.starts(with: prefix) == true
            }
        }

        /// The entry as it is now; both its states where it has two.
        private mutating func summarize(
            _ encoded: [UInt8], in store: OpenStore
        ) throws(StoreError) -> Summary? {
            guard let directory = try store.shardDirectory(shard, making: false) else { return nil }
            let name = EntryName(shard: shard, encoded: encoded)
            var ready = try summarizeReady(name, in: store, directory)
            let pending = try store.readPending(name, in: directory)
            if ready == nil { ready = try summarizeReady(name, in: store, directory) }
            if filter != .ready {
                following = try summarizeClaim(pending, name, beside: ready, in: store)
            }
            if let ready, filter != .pending { return ready }
            defer { following = nil }
            return following
        }

        private func summarizeClaim(
            _ pending: OpenStore.PendingFile, _ name: EntryName, beside ready: Summary?,
            in store: OpenStore
        ) throws(StoreError) -> Summary? {
            let key = Key(EntryName.decode(name.encoded) ?? [])
            switch pending {
            case .none: return nil
            case .torn:
                // Counted as a claim, and so listed as one; of whom and since when it does not say.
                guard ready == nil else { return nil }
                return Summary(key: key, state: .pending(.unknown), generation: 0, age: .zero)
            case .whole(let claim):
                guard claim.generation > ready?.generation ?? 0 else { return nil }
                let standing = try store.standing(of: claim)
                let holder = store.holder(of: claim, standing: standing)
                return Summary(
                    key: key, state: .pending(holder), generation: claim.generation,
                    age: holder.since)
            }
        }

        private func summarizeReady(
            _ name: EntryName, in store: OpenStore, _ directory: Directory
        ) throws(StoreError) -> Summary? {
            let found = try store.withRecord(name.ready, of: name, in: directory) {
                (file) throws(Errno) in
                try file.status().isRegular ? try ReadyFile.readHeads(file, of: name) : nil
            }
            guard let heads = found else { return nil }
            guard let (claim, value) = heads else {
                session.configuration.onDamage?(Key(EntryName.decode(name.encoded) ?? []), nil)
                return nil
            }
            return Summary(
                key: Key(EntryName.decode(name.encoded) ?? []),
                state: .ready(size: value.payloadLength),
                generation: claim.generation,
                age: .microseconds(max(0, WallClock.microseconds - value.finalized)))
        }
    }
}
