internal import SystemCalls

/// The file of a lease: what its slots say, read when they are asked for.
///
/// A class, because what has been read is kept; used by one thread.
final class LeaseFile {
    private let record: LeaseRecord
    private let store: StoreFiles
    /// The boot that the reader is of.
    private let boot: BootID
    /// What is known of slots without looking at them; nil where there are few, or nothing can be known.
    private let taken: TakenSlots?
    /// How many slots the file has room for.
    let count: Int
    private let size: Int
    /// The slots read last, and the number of the first of them.
    private var window: (first: Int, slots: [LeaseSlot]) = (0, [])
    /// Whether one of the slots that were read was damaged: without the mutex, perhaps only being written.
    private(set) var hasSeenDamage = false

    init(
        _ record: LeaseRecord, _ status: FileStatus, in store: StoreFiles, boot: BootID,
        taken: TakenSlots?
    ) {
        size = min(status.size, LeaseCell.bytesPerSlot * Limits.slots)
        count = Self.count(status)
        self.record = record
        self.store = store
        self.boot = boot
        self.taken = taken
    }

    private var path: String { store.file(record.known, in: nil) }

    /// How many slots a file of that size has room for.
    static func count(_ status: FileStatus) -> Int {
        min(Limits.slots, (status.size + LeaseCell.bytesPerSlot - 1) / LeaseCell.bytesPerSlot)
    }

    /// How many slots are read at once by who goes through them.
    private static let windowCount = 64

    /// What a slot says.
    ///
    /// Alone: most leases have one, and who knows its slot needs no other. Those who go through them get the next
    /// ones with it.
    func slot(_ index: Int) throws(StoreError) -> LeaseSlot {
        let place = index - window.first
        if window.slots.indices.contains(place) { return window.slots[place] }
        guard index < count else { return .never }
        let isNext = !window.slots.isEmpty && place == window.slots.count
        let number = isNext ? Self.windowCount : 1
        let bytes = try attempt("read", path) { () throws(Errno) in
            let start = index * LeaseCell.bytesPerSlot
            return try record.file.contents(
                upTo: min(size - start, number * LeaseCell.bytesPerSlot), at: start)
        }
        window = (index, LeaseSlot.slots(in: bytes, boot))
        hasSeenDamage = hasSeenDamage || window.slots.contains { $0.isDamaged }
        // The file may have been cut since its size was asked for.
        return window.slots.first ?? .never
    }

    /// The slot that a generation was granted, and what it says.
    ///
    /// A generation says where to look, see `LeaseSlot.generation`: there, or in the first slot where it is of a
    /// request without slots. Of few slots all are looked at; what is there decides.
    func slot(
        of generation: Store.Generation
    ) throws(StoreError) -> (index: Int, cell: LeaseCell)? {
        let likely = LeaseSlot.index(of: generation)
        if likely < count, let cell = try slot(likely).cell, cell.generation == generation {
            return (likely, cell)
        }
        for index in 0..<(count > TakenSlots.fewest ? 1 : count) {
            if let cell = try slot(index).cell, cell.generation == generation {
                return (index, cell)
            }
        }
        return nil
    }

    /// For how many microseconds more a slot is taken at least; nil where it has to be looked at.
    func timeTaken(_ index: Int) -> Int64? { index < count ? taken?.timeLeft(of: index) : nil }

    /// Notes that a slot is taken, for who looks next; under the shard's mutex.
    func learn(_ index: Int, _ cell: LeaseCell) {
        if let end = cell.takenUntil(in: boot) { taken?.learn(index, until: end) }
    }

    /// Writes what was learned; under the shard's mutex.
    func saveTaken() { taken?.save() }

    /// The sequence of the cell that is written to a slot next.
    func nextSequence(of index: Int) throws(StoreError) -> UInt64 {
        switch try slot(index) {
        case .cell(let former, _), .damaged(let former?, _): former.sequence + 1
        case .never, .damaged(nil, _): 0
        }
    }

    /// Writes what a slot says from now on: all of it, or nothing.
    ///
    /// - Throws: `.unknownOutcome` when it was written and could not be put on the device.
    func write(_ cell: LeaseCell, in index: Int, durably: Bool) throws(StoreError) {
        var cell = cell
        cell.sequence = try nextSequence(of: index)
        var isSecond = false
        switch try slot(index) {
        case .never: break
        case .cell(_, let wasSecond), .damaged(_?, let wasSecond): isSecond = !wasSecond
        case .damaged(nil, _): try blank(index)
        }
        // Before: killed behind it the slot is looked at.
        if let taken, cell.endsSooner(than: try self.slot(index).cell, in: boot) {
            try taken.forget(index)
        }
        let place = index * LeaseCell.bytesPerSlot + (isSecond ? LeaseCell.byteCount : 0)
        let bytes = cell.bytes
        try attempt("write", path) { () throws(Errno) in
            try record.file.writeWhole(bytes, at: place)
        }
        window = (index, [.cell(cell, isSecond: isSecond)])
        guard durably else { return }
        do throws(Errno) {
            try record.file.sync()
        } catch {
            throw .unwrittenLease(path, error)
        }
    }

    /// The bytes of a slot, for who keeps them for inspection.
    func bytes(of index: Int) throws(StoreError) -> [UInt8] {
        try attempt("read", path) { () throws(Errno) in
            try record.file.contents(
                upTo: LeaseCell.bytesPerSlot, at: index * LeaseCell.bytesPerSlot)
        }
    }

    /// Takes away what is in a slot that says nothing.
    private func blank(_ index: Int) throws(StoreError) {
        let start = index * LeaseCell.bytesPerSlot
        let zeros = [UInt8](repeating: 0, count: min(size - start, LeaseCell.bytesPerSlot))
        try attempt("write", path) { () throws(Errno) in
            try record.file.writeWhole(zeros, at: start)
        }
    }
}

/// What stands in a slot's two cells.
enum LeaseSlot {
    /// Nobody has ever had it.
    case never
    case cell(LeaseCell, isSecond: Bool)
    /// A cell is neither valid nor blank, in the boot that wrote it, and so it is not known who has the slot; with
    /// the cell beside it, if that is valid.
    ///
    /// A killed process does not cause that. A power cut can, and the first change of the shard after the restart
    /// then blanks a slot without a valid cell, see `mendTornLeases`.
    case damaged(LeaseCell?, isSecond: Bool)

    var cell: LeaseCell? { if case .cell(let cell, _) = self { cell } else { nil } }

    var isDamaged: Bool { if case .damaged = self { true } else { false } }

    /// Slots as they are in a file, one after the other; the last may be a part of one.
    static func slots(in bytes: [UInt8], _ boot: BootID) -> [LeaseSlot] {
        unsafe bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: LeaseCell.bytesPerSlot).map { start in
                let middle = min(bytes.count, start + LeaseCell.byteCount)
                let end = min(bytes.count, start + LeaseCell.bytesPerSlot)
                return unsafe slot(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<middle]),
                    UnsafeRawBufferPointer(rebasing: bytes[middle..<end]), boot)
            }
        }
    }

    /// Of the two the one with the higher sequence is taken apart; of the other the check is enough.
    private static func slot(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, _ boot: BootID
    ) -> LeaseSlot {
        let (a, b) = unsafe (CellState(first), CellState(second))
        switch (a, b) {
        case (.whole(let earlier), .whole(let later)):
            let isSecond = later > earlier
            return unsafe LeaseCell(isSecond ? second : first).map { .cell($0, isSecond: isSecond) }
                ?? .damaged(nil, isSecond: false)
        case (.whole, _): return unsafe alone(first, isSecond: false, isBlank: b == .blank, boot)
        case (_, .whole): return unsafe alone(second, isSecond: true, isBlank: a == .blank, boot)
        case (.blank, .blank): return .never
        default: return .damaged(nil, isSecond: false)
        }
    }

    private static func alone(
        _ bytes: UnsafeRawBufferPointer, isSecond: Bool, isBlank: Bool, _ boot: BootID
    ) -> LeaseSlot {
        guard let cell = unsafe LeaseCell(bytes) else { return .damaged(nil, isSecond: false) }
        // The other was being written: when the power was cut, or nobody's fault.
        return isBlank || cell.place.boot != boot
            ? .cell(cell, isSecond: isSecond) : .damaged(cell, isSecond: isSecond)
    }

    private enum CellState: Equatable {
        case blank, broken
        case whole(sequence: UInt64)

        init(_ bytes: UnsafeRawBufferPointer) {
            if let sequence = unsafe LeaseCell.sequence(of: bytes) {
                self = .whole(sequence: sequence)
            } else {
                self = unsafe bytes.allSatisfy { $0 == 0 } ? .blank : .broken
            }
        }
    }

    // MARK: Generations of a lease with slots

    /// A generation not below another that says by itself which slot it was granted, so that who knows it need not
    /// look at thousands.
    static func generation(notBelow least: Store.Generation, in index: Int) -> Store.Generation {
        let count = UInt64(Limits.slots)
        return least + (UInt64(index) + count - least % count) % count
    }

    static func index(of generation: Store.Generation) -> Int {
        Int(generation % UInt64(Limits.slots))
    }
}
