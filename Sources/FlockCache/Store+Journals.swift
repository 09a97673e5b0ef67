internal import SystemCalls

extension Store {
    /// An append-only log of many processes: each record appears whole, once, in one order.
    ///
    ///     let log = store.journal("audit")
    ///     try log.append("user 7 logged in".utf8)
    ///     var records = try log.records()
    ///     while let record = try records.next() { print(record.number, record.bytes.count) }
    ///
    /// Records have the numbers 1, 2, 3 and so on, without gaps, whichever process appends them and whatever process is
    /// killed. An append costs microseconds. Readers take no lock and see only complete records.
    ///
    /// After a power cut some of the last records may be missing, and their numbers be given to others, unless the store
    /// is durable; a record that cannot be complete is never returned.
    ///
    /// The name has 1 to 200 bytes. It is another journal than a key, lock or lease of that name.
    public struct Journal: Sendable {
        let session: Session
        /// The journal's name.
        public let name: Store.Key

        fileprivate init(_ session: Session, _ name: Store.Key) {
            self.session = session
            self.name = name
        }

        /// Appends one whole record and returns its number.
        ///
        /// The first append makes the journal, and the store.
        ///
        /// - Parameter record: 0 bytes to 16 MiB.
        /// - Returns: 1 for the first record, and then one more each time.
        /// - Throws: `.invalidRecord` for a larger one, `.noSpace`, `.readOnly` and what else the system refuses: nothing
        ///   was appended then. `.timedOut` after 10 s behind a stopped process, which the message names. In a durable
        ///   store `.unknownOutcome` where the device failed after the record was written.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        @discardableResult
        public func append(_ record: some Collection<UInt8>) throws(StoreError) -> UInt64 {
            let appended: Result<UInt64, StoreError>? = record.withContiguousStorageIfAvailable {
                bytes in
                Result { () throws(StoreError) in
                    try unsafe session.append(UnsafeRawBufferPointer(bytes), to: name)
                }
            }
            if let appended { return try appended.get() }
            let bytes = Array(record)
            return try unsafe bytes.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try unsafe session.append(bytes, to: name)
            }
        }

        /// Appends several records next to one another and returns their numbers; nil for none.
        ///
        /// All of them are appended or none, and no other process's record comes between. They are all in memory before
        /// the first one is appended.
        ///
        /// - Throws: as `append(_:)`.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        @discardableResult
        public func append<R: Collection<UInt8>>(
            contentsOf records: some Sequence<R>
        ) throws(StoreError) -> ClosedRange<UInt64>? {
            var batch = JournalBatch()
            for record in records {
                guard record.count <= Limits.record else { throw .recordTooLarge(name) }
                let isAdded: Void? = record.withContiguousStorageIfAvailable {
                    unsafe batch.add(UnsafeRawBufferPointer($0))
                }
                if isAdded == nil {
                    let bytes = Array(record)
                    unsafe bytes.span.withUnsafeBytes { unsafe batch.add($0) }
                }
            }
            return batch.isEmpty ? nil : try session.append(batch, to: name)
        }

        /// A record of a journal.
        public struct Record: Sendable {
            /// The place in the journal, from 1.
            public let number: UInt64
            /// When it was appended, in microseconds since 1970, by the clock of the process that appended it.
            ///
            /// Where that clock is set back, later records may have earlier times. The order is that of the numbers.
            public let time: Int64
            /// The bytes that were appended.
            public let bytes: Value

            /// How long ago it was appended; not below zero.
            public var age: Duration {
                .microseconds(max(0, clampedDifference(WallClock.microseconds, time)))
            }

            fileprivate init(_ found: JournalReader.Found, _ bytes: [UInt8]) {
                number = found.number
                time = found.time
                self.bytes = Value(bytes)
            }
        }

        /// Reads what is there now, from a number on.
        ///
        /// What is appended later is not among it. A journal that does not exist has no records.
        ///
        /// - Parameter number: of the first record; nil: the oldest one that is kept.
        /// - Throws: `.trimmed` where that record was trimmed; the message names the first one that is kept.
        ///   `.invalidNumber` for a number beyond the one that the next record gets.
        public func records(from number: UInt64? = nil) throws(StoreError) -> Records {
            Records(try session.readJournal(name, from: number, isBounded: true))
        }

        /// The records of a journal, one by one: `while let record = try records.next()`.
        public struct Records: ~Copyable, Sendable {
            // Used by one thread at a time: `next` is mutating.
            private nonisolated(unsafe) let reader: JournalReader?

            fileprivate init(_ reader: JournalReader?) { unsafe self.reader = reader }

            /// The next record; nil at the end.
            ///
            /// - Throws: `.damaged` for a record whose check fails, `.trimmed` where it was trimmed meanwhile.
            public mutating func next() throws(StoreError) -> Record? {
                guard let reader = unsafe reader, case .record(let found) = try reader.next() else {
                    return nil
                }
                return Record(found, try reader.bytes(of: found))
            }
        }

        /// The numbers that are kept; nil where nothing is.
        public var kept: ClosedRange<UInt64>? {
            get throws(StoreError) { try session.keptRecords(of: name) }
        }

        /// Drops the oldest records down to these limits; a limit that is nil drops nothing.
        ///
        /// Whole segments of some megabytes are dropped, of which no record is within all limits. So at least as much is
        /// kept as was asked for, and at most one segment more. Where nothing is to be kept, nothing is; the numbers go on.
        ///
        /// - Parameters:
        ///   - count: the newest so many records are kept.
        ///   - maxAge: younger records are kept. What is dated in the future, by a clock that was wrong, is not.
        ///   - maxBytes: the newest so many bytes of the journal's files are kept.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        public func trim(
            keeping count: Int? = nil, maxAge: Duration? = nil, maxBytes: Int? = nil
        ) throws(StoreError) {
            var limits = JournalLimits()
            limits.count = count
            limits.maxAge = maxAge
            limits.maxBytes = maxBytes
            try session.trimJournal(name, limits)
        }

        /// Removes the journal with all its records; false if there was none.
        ///
        /// Who appends after that begins a new one with record 1. Those who follow it come to their end.
        @available(
            *, noasync,
            message:
                "Write 'try await', or, to block, call it in a function that is not 'async'. At the top level of main.swift both need a function of their own."
        )
        @discardableResult
        public func remove() throws(StoreError) -> Bool { try session.removeJournal(name) }

        #if Async
        /// Reads and goes on as records come, without polling.
        ///
        /// Where there is no journal yet it waits for the first record. It ends when the journal is removed. A cancelled
        /// task leaves nothing behind. All that a process follows takes one thread.
        ///
        ///     for try await record in store.journal("audit").follow() { print(record.number) }
        ///
        /// - Parameter number: of the first record; nil: the oldest one that is kept.
        public func follow(from number: UInt64? = nil) -> Following {
            Following(session: session, name: name, number: number)
        }

        /// The records of a journal as they come.
        public struct Following: AsyncSequence, Sendable {
            /// A record.
            public typealias Element = Record
            fileprivate let session: Session
            fileprivate let name: Store.Key
            fileprivate let number: UInt64?

            /// Begins to read.
            public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }

            /// Yields one record after the other.
            public struct AsyncIterator: AsyncIteratorProtocol {
                private let following: Following
                private var reader: JournalReader?
                private var hasBegun = false

                fileprivate init(_ following: Following) { self.following = following }

                /// The next record, waiting for it; nil when the journal was removed.
                ///
                /// - Throws: as ``Store/Journal/records(from:)`` and ``Store/Journal/Records/next()``, and `CancellationError` when the
                ///   task is cancelled.
                public mutating func next(
                    isolation actor: isolated (any Actor)? = #isolation
                ) async throws -> Record? {
                    let session = following.session
                    while true {
                        try Task.checkCancellation()
                        guard let reader = try openReader() else {
                            // No store yet: there is nothing that could wake anybody.
                            try await Task.sleep(for: .milliseconds(50))
                            continue
                        }
                        switch try reader.next() {
                        case .record(let found):
                            hasBegun = true
                            return Record(found, try reader.bytes(of: found))
                        case .noJournal where hasBegun || reader.segment != nil: return nil
                        case .noJournal, .end: try await session.waitForRecords(of: reader.position)
                        }
                    }
                }

                private mutating func openReader() throws(StoreError) -> JournalReader? {
                    // A journal that is waited for may be made in another store at this path.
                    if let reader, reader.segment != nil || !reader.journal.files.isElsewhere {
                        return reader
                    }
                    reader = nil
                    guard let store = try following.session.existingNow() else { return nil }
                    let fresh = JournalReader(
                        store.journals.journal(try JournalName(following.name)),
                        from: following.number)
                    reader = fresh
                    return fresh
                }
            }
        }
        #endif
    }
}

/// The short name inside this package.
package typealias Journal = Store.Journal

extension Store {
    /// An append-only log of many processes, by name; made by the first append.
    public func journal(_ name: some KeyConvertible) -> Journal { Journal(session, name.storeKey) }
}
