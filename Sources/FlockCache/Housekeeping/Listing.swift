internal import SystemCalls

extension Store {

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
        private let pass: Pass
        private let isPart: Bool
        private var isFinished = false

        init(_ session: Session, _ filter: Filter, prefix: Key?, _ pass: Pass? = nil) {
            self.session = session
            // Of a greater pass this is a part: that one finishes.
            isPart = pass != nil
            self.pass = pass ?? session.newPass()
            self.filter = filter
            self.prefix = prefix?.bytes ?? []
        }

        /// The next entry; nil at the end.
        ///
        /// - Throws: what the system refuses; `.timedOut` when another process has been stopped in the middle of a change
        ///   for ten seconds. Damaged records are passed over and reported through
        ///   ``Store/Configuration/onDamage``. Records and directories that cannot be read are passed over as
        ///   well, and reported through ``Store/Configuration/onPassedOver``; in place of the end, the first
        ///   such failure is then thrown, once.
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
                    var summary: Summary?
                    do throws(StoreError) {
                        summary = try summarize(name, in: store)
                    } catch {
                        if error.isPlanted { pass.notice(error) } else { try pass.passOver(error) }
                    }
                    if let summary { return summary }
                }
                guard nextShard < Layout.shardCount else { return try end() }
                shard = nextShard
                nextShard += 1
                let shard = shard
                let prefix = prefix
                let pass = pass
                names =
                    try pass.part { () throws(StoreError) in
                        try Self.names(of: shard, prefix, in: store, pass)
                    } ?? []
            }
        }

        private mutating func end() throws(StoreError) -> Summary? {
            guard !isPart, !isFinished else { return nil }
            isFinished = true
            try pass.finish()
            return nil
        }

        private static func names(
            of shard: Int, _ prefix: [UInt8], in store: OpenStore, _ pass: Pass
        ) throws(StoreError) -> [[UInt8]] {
            guard let directory = try store.files.shardDirectoryNow(shard) else { return [] }
            // Held only while the names are read.
            let names = try HeldShard(store, shard).names(in: directory)
            for name in names.planted { pass.notice(.planted(store.file(name, in: shard))) }
            return names.entries.keys.filter { name in
                prefix.isEmpty || PercentCode.decode(name)?.starts(with: prefix) == true
            }
        }

        /// The entry as it is now; both its states where it has two.
        private mutating func summarize(
            _ encoded: [UInt8], in store: OpenStore
        ) throws(StoreError) -> Summary? {
            guard let directory = try store.shardDirectory(shard, making: false) else { return nil }
            guard let name = EntryName(shard: shard, encoded: encoded) else { return nil }
            var ready = try summarizeReady(name, in: store, directory)
            let pending = try store.files.readPending(name, in: directory)
            if ready == nil { ready = try summarizeReady(name, in: store, directory) }
            if filter != .ready {
                following = try summarizeClaim(pending, name, beside: ready, in: store)
            }
            if let ready, filter != .pending { return ready }
            defer { following = nil }
            return following
        }

        private func summarizeClaim(
            _ pending: StoreFiles.PendingFile, _ name: EntryName, beside ready: Summary?,
            in store: OpenStore
        ) throws(StoreError) -> Summary? {
            let key = name.key
            switch pending {
            case .none: return nil
            case .torn:
                // Counted as a claim, and so listed as one; of whom and since when it does not say.
                guard ready == nil else { return nil }
                return Summary(key: key, state: .pending(.unknown), generation: 0, age: .zero)
            case .whole(let claim):
                guard claim.stands(beside: ready?.generation) else { return nil }
                let standing = try store.standing(of: claim)
                let holder = store.holder(of: claim, standing: standing)
                return Summary(
                    key: key, state: .pending(holder), generation: claim.generation,
                    age: holder.age)
            }
        }

        private func summarizeReady(
            _ name: EntryName, in store: OpenStore, _ directory: Directory
        ) throws(StoreError) -> Summary? {
            let found = try store.files.withRecord(name.ready, of: name, in: directory) {
                (file) throws(Errno) in
                try file.status().isRegular ? try ReadyFile.readHeads(file, of: name) : nil
            }
            guard let heads = found else { return nil }
            guard let heads else {
                session.configuration.onDamage?(name.key, nil)
                return nil
            }
            return Summary(
                key: name.key,
                state: .ready(size: heads.valueLength),
                generation: heads.generation,
                age: .microseconds(
                    max(0, clampedDifference(WallClock.microseconds, heads.finalized))))
        }
    }
}
