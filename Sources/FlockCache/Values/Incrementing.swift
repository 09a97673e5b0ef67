internal import SystemCalls

/// What adding to a number comes to.
package enum IncrementOutcome: Sendable {
    /// The new number, and the generation of the value that it is.
    case counted(Int64, Store.Generation)
    /// The sum would leave the range: the number as it is, 0 where the key is absent.
    case outOfRange(Int64)
    /// Somebody else is producing the value.
    case pending(Holder)
}

extension Session {
    /// Adds to a decimal number; an absent key counts as 0.
    ///
    /// Promises that no increment is lost and none is counted twice, whoever is killed: what was acknowledged
    /// is in the cell that counts, and what was not is there whole or not at all.
    ///
    /// - Throws: `.notANumber`; where the record was damaged it is set aside first.
    package func increment(
        _ key: Store.Key, by amount: Int64, within range: ClosedRange<Int64>
    ) throws(StoreError) -> IncrementOutcome {
        let name = try EntryName(key)
        if !range.contains(amount), try existing() == nil { return .outOfRange(0) }
        return try withStore(name.shard) { (store) throws(StoreError) in
            try ValueChange(store: store, session: self, name: name, operation: "increment")
                .increment(by: amount, within: range)
        }
    }
}

/// A number that is counted in place, and the file that it is in.
private struct Counter {
    let opened: CounterFile
    let record: CounterRecord
    /// In a copy of the store by hard links the file is another's too.
    let isOurs: Bool

    var former: ValueChange.Former {
        ValueChange.Former(
            generation: record.cell.generation, size: CounterRecord.byteCount, hasItsSize: true)
    }

    init(_ opened: CounterFile, _ record: CounterRecord, _ status: FileStatus) {
        self.opened = opened
        self.record = record
        isOurs = status.links == 1
    }
}

/// What the key's value is as a number.
private enum Number {
    case absent
    case counter(Counter)
    /// Of an ordinary record.
    case written(Int64, ValueChange.Former)

    var now: Int64 {
        switch self {
        case .absent: 0
        case .counter(let counter): counter.record.cell.number
        case .written(let number, _): number
        }
    }

    var former: ValueChange.Former? {
        switch self {
        case .absent: nil
        case .counter(let counter): counter.former
        case .written(_, let former): former
        }
    }
}

extension ValueChange {
    fileprivate func increment(
        by amount: Int64, within range: ClosedRange<Int64>
    ) throws(StoreError) -> IncrementOutcome {
        var kept: String?
        // When the mutex is free again.
        defer { if let kept { session.configuration.onDamage?(key, kept) } }
        for _ in 0..<Self.mostLooks {
            var counted: Counter?
            let outcome = try incrementOnce(by: amount, within: range, &counted, setAside: &kept)
            if let counted { try synchronise(counted) }
            if let kept { throw .damagedNumber(key, kept) }
            if let outcome { return outcome }
        }
        throw StoreError(.exists, operation, path: store.path, key: key)
    }

    /// nil where the key has to be looked at again, or its record was damaged.
    ///
    /// `counted` becomes the counter that was counted in place.
    private func incrementOnce(
        by amount: Int64, within range: ClosedRange<Int64>, _ counted: inout Counter?,
        setAside kept: inout String?
    ) throws(StoreError) -> IncrementOutcome? {
        var held = try HeldShard(store, name.shard)
        let directory = try held.directory()
        guard let number = try number(&held, in: directory, setAside: &kept) else { return nil }
        let former = number.former
        let beside = try beside(former?.generation, in: directory)
        if case .live(let holder) = beside { return .pending(holder) }
        let (sum, isTooLarge) = number.now.addingReportingOverflow(amount)
        guard !isTooLarge, range.contains(sum) else { return .outOfRange(number.now) }
        let now = WallClock.microseconds
        let cell = CounterCell(
            number: sum,
            generation: try held.nextGeneration(
                above: max(former?.generation ?? 0, beside.generation), now: now),
            counted: now)
        if case .counter(let counter) = number, counter.isOurs {
            try count(cell, in: counter, beside, &held, in: directory)
            counted = counter
            return .counted(sum, cell.generation)
        }
        var section = try section()
        section.generation = cell.generation
        let new = Replacement(
            temporary: try store.temporaryName(), generation: cell.generation,
            content: .text(CounterRecord.bytes(behind: section.text, cell)))
        let isSet = try replace(former, beside, by: new, &held, in: directory)
        return isSet ? .counted(sum, cell.generation) : nil
    }

    // MARK: Looking

    private enum Look {
        case counter(Counter)
        case value(ReadyFile, size: Int)
        case damaged
    }

    /// The counter that was counted last, if it is that of the key and still has its name.
    private func keptCounter(in directory: Directory) throws(StoreError) -> Counter? {
        guard let kept = store.counter.file(of: name) else { return nil }
        return try attempt("read", store.file(name.ready, in: name.shard)) {
            () throws(Errno) -> Counter? in
            guard let status = try directory.status(of: name.ready), kept.isFile(status),
                status.size == CounterRecord.byteCount
            else { return nil }
            return try CounterRecord.read(kept.file, behind: kept.known)
                .map { Counter(kept, $0, status) }
        }
    }

    private func look(in directory: Directory) throws(StoreError) -> Look? {
        try store.files.withRecord(name.ready, of: name, in: directory, .readWrite) {
            (file) throws(Errno) -> Look in
            let status = try file.status()
            guard status.isRegular else { return .damaged }
            if status.size == CounterRecord.byteCount,
                let record = try CounterRecord.read(file, of: name)
            {
                let opened = CounterFile(file, of: name, knowing: record.claimSection, status)
                return .counter(Counter(opened, record, status))
            }
            guard case .ready(let ready, _) = try ReadyFile.read(file, name) else {
                return .damaged
            }
            return .value(ready, size: status.size)
        }
    }

    /// The number; nil where there is something to be looked at again, or was damaged and has been set aside.
    private func number(
        _ held: inout HeldShard, in directory: Directory, setAside kept: inout String?
    ) throws(StoreError) -> Number? {
        if let counter = try keptCounter(in: directory) { return .counter(counter) }
        switch try look(in: directory) {
        case nil: return .absent
        case .counter(let counter):
            // Other machines' changes are seen by who opens a file.
            if store.isLocal { store.counter.keep(counter.opened) }
            return .counter(counter)
        case .damaged:
            kept = try session.setAsideIfDamaged(name, &held, in: directory)
            return nil
        case .value(let ready, let size):
            guard let number = ready.number else { throw .notANumber(key) }
            return .written(
                number, Former(generation: ready.generation, size: size, hasItsSize: true))
        }
    }

    // MARK: Counting in place

    /// Writes the cell that does not count; from then on it is the one that does.
    private func count(
        _ cell: CounterCell, in counter: Counter, _ beside: Beside, _ held: inout HeldShard,
        in directory: Directory
    ) throws(StoreError) {
        let text = counter.record.text(of: cell)
        let hasLeftover = if case .leftover = beside { true } else { false }
        try held.begin(
            generation: cell.generation, changingNames: hasLeftover,
            .publish(event, name, cell.generation))
        do throws(Errno) {
            try counter.opened.file.write(text, at: counter.record.nextOffset)
            // Other machines see it when the mutex is free.
            if !store.isLocal { try counter.opened.file.syncData() }
        } catch {
            // The cells say whether it has happened.
            let now = try? CounterRecord.read(counter.opened.file, of: name)
            guard let now, now.cell.generation < cell.generation else {
                throw .unknownOutcome(operation, key, error)
            }
            held.takeBack()
            throw StoreError(error, operation, path: store.path, key: key)
        }
        guard case .leftover(_, let isCounted) = beside else { return held.commit() }
        // The claim is debris now. Where it cannot be removed the mark stays, and the next counts anew.
        held.tellWaiters(of: name)
        guard (try? directory.unlink(name.pending)) != nil else { return }
        if isCounted { held.block.counts.pending -= 1 }
        held.commit(ending: name)
    }

    /// Where the store is durable, puts what was counted on the device.
    ///
    /// The mutex is free: another may count meanwhile, and one synchronisation serves both. It writes the other
    /// cell, which is in a sector of its own; so whatever of several writes is on the device when the power
    /// fails, one of the cells there is no older than the last that was acknowledged.
    private func synchronise(_ counter: Counter) throws(StoreError) {
        guard store.isDurable else { return }
        do throws(Errno) {
            try counter.opened.file.syncData()
        } catch {
            store.counter.keep(nil)
            throw .unknownOutcome(operation, key, error)
        }
        // In a store that is made to be durable its name is there already, see `HeldShard`.
        guard !store.marker.isDurable,
            let directory = try store.shardDirectory(name.shard, making: false)
        else { return }
        try store.syncAfter(operation, key, in: directory)
    }
}

extension ReadyFile {
    /// The number that the value is: digits, a sign before them or not, and a line's end behind them or not.
    fileprivate var number: Int64? {
        guard valueLength <= 1024 else { return nil }
        var bytes: [UInt8] = []
        do throws(Errno) {
            try unsafe forEachPiece { (piece) throws(Errno) in
                unsafe bytes.append(contentsOf: piece)
            }
        } catch {
            // A value of that size is in memory already.
            return nil
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        let hasSign = bytes.first == UInt8(ascii: "-") || bytes.first == UInt8(ascii: "+")
        if !hasSign { bytes.insert(UInt8(ascii: "+"), at: 0) }
        return unsafe bytes.withUnsafeBufferPointer { unsafe signedNumber($0) }
    }
}
