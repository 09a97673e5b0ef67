internal import SystemCalls

/// What a change is about to do, written before its first step: 512 bytes of `locks/intents`, little-endian,
/// which belong to whoever has the shard's mutex.
///
///       0  u32  CRC-32C of the 508 bytes behind it
///       4  u32  the kind of change, 0: one that is told by no event
///       8  u64  counter: one more than that of the intent before it
///      16  u64  number of the record that tells of it, 0 until it is about to be written
///      24  u64  generation that the change gives
///      32  u64  sequence of the lease's cell that it writes
///      40  u32  slot of the lease
///      44  u8   bit 0: there is a `NAME.pending`; 1: there is a `NAME`; 2: the first event is of the claim; 3: it has happened
///      45  u8   how many events, 0 to 2, and for each
///      46  u8   event   48  u64  generation      (second: 47 and 56)
///      64  u16  length of NAME; 66 NAME; zeros to the end
struct Intent: Equatable, Sendable {
    /// How it is found out whether a change happened.
    enum Kind: UInt32, Sendable {
        /// Told by no event: a temporary file made or removed.
        case untold = 0
        /// `NAME.pending` was created. One that is not complete is removed: nobody can know of it.
        case claim = 1
        /// A record was renamed over `NAME.pending`.
        case takeOver = 2
        /// `NAME` has the generation: finalize, put, increment.
        case publish = 3
        /// `NAME.pending` is gone, or another: abandon, reap.
        case endClaim = 4
        /// Both files are gone: remove, evict. Half of it is completed.
        case removal = 5
        /// `NAME` is gone; a claim beside it stays: set aside.
        case setAside = 6
        /// The cell of a lease's slot has the sequence.
        case lease = 7
    }

    var kind = Kind.untold
    var counter: UInt64 = 0
    var number: UInt64 = 0
    var generation: Store.Generation = 0
    var sequence: UInt64 = 0
    var slot = 0
    var hasPending = false
    var hasReady = false
    /// Of a removal: whether the first of the events tells of the claim.
    var hasClaimEvent = false
    /// Whether the change is known to have happened, and only could not be told yet.
    var hasHappened = false
    /// What the change is told by; none for a change of what nobody was told of.
    var events: [ToldEvent] = []
    /// The key as its file is named.
    var name: [UInt8] = []

    static let byteCount = 512
    static let mostEvents = 2

    init() {}

    /// nil for bytes whose check fails, also where none was ever written.
    init?(_ bytes: UnsafeRawBufferPointer) {
        func word<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard bytes.count == Self.byteCount,
            unsafe word(0, UInt32.self) == Self.check(bytes),
            let kind = Kind(rawValue: word(4, UInt32.self))
        else { return nil }
        self.kind = kind
        counter = word(8, UInt64.self)
        number = word(16, UInt64.self)
        generation = word(24, UInt64.self)
        sequence = word(32, UInt64.self)
        slot = Int(word(40, UInt32.self))
        let files = word(44, UInt8.self)
        (hasPending, hasReady) = (files & 1 != 0, files & 2 != 0)
        hasClaimEvent = files & 4 != 0
        hasHappened = files & 8 != 0
        let count = Int(word(45, UInt8.self))
        let length = Int(word(64, UInt16.self))
        guard count <= Self.mostEvents, !hasClaimEvent || count > 0, length <= Limits.nameOnDisk
        else { return nil }
        for index in 0..<count {
            guard let event = ChangeEvent(rawValue: word(46 + index, UInt8.self)) else {
                return nil
            }
            events.append(ToldEvent(event: event, generation: word(48 + 8 * index, UInt64.self)))
        }
        name = unsafe Array(bytes[66..<66 + length])
    }

    func write(to bytes: UnsafeMutableRawBufferPointer) {
        func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
            unsafe bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        }
        precondition(events.count <= Self.mostEvents && name.count <= Limits.nameOnDisk)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        store(kind.rawValue, at: 4)
        store(counter, at: 8)
        store(number, at: 16)
        store(generation, at: 24)
        store(sequence, at: 32)
        store(UInt32(truncatingIfNeeded: slot), at: 40)
        let flags = [hasPending, hasReady, hasClaimEvent, hasHappened]
        store(flags.indices.reduce(UInt8(0)) { $0 | (flags[$1] ? 1 << $1 : 0) }, at: 44)
        store(UInt8(events.count), at: 45)
        for (index, told) in events.enumerated() {
            store(told.event.rawValue, at: 46 + index)
            store(told.generation, at: 48 + 8 * index)
        }
        store(UInt16(name.count), at: 64)
        for (index, byte) in name.enumerated() { store(byte, at: 66 + index) }
        store(unsafe Self.check(UnsafeRawBufferPointer(bytes)), at: 0)
    }

    private static func check(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var checksum = Checksum()
        unsafe checksum.update(UnsafeRawBufferPointer(rebasing: bytes[4...]))
        return checksum.value
    }

    /// The records that tell of the change.
    func records(of shard: Int) -> [[UInt8]] {
        events.map {
            ChangeRecord(
                event: $0.event, generation: $0.generation, shard: shard, counter: counter,
                name: name
            ).bytes
        }
    }

    /// Whether a change of this kind must be possible where there is no room left: it frees room.
    var freesRoom: Bool {
        switch kind {
        case .endClaim, .removal, .setAside: true
        case .lease: !events.contains { $0.event == .leased }
        case .untold, .claim, .takeOver, .publish: false
        }
    }
}

// MARK: What changes intend

extension Intent {
    private init(_ kind: Kind, _ name: EntryName, _ events: [ToldEvent]) {
        self.kind = kind
        self.name = Array(name.encoded)
        self.events = events
    }

    static func claim(_ name: EntryName, _ generation: Store.Generation) -> Intent {
        var intent = Intent(.claim, name, [ToldEvent(event: .claimed, generation: generation)])
        intent.generation = generation
        return intent
    }

    /// - Parameter former: of the claim that is taken over; nil where it could not be read, so that it is
    ///   told as a claim of nobody's before.
    static func takeOver(
        _ name: EntryName, _ generation: Store.Generation, from former: Store.Generation?
    ) -> Intent {
        let event = former == nil ? ChangeEvent.claimed : .takenOver
        var intent = Intent(.takeOver, name, [ToldEvent(event: event, generation: generation)])
        intent.generation = generation
        return intent
    }

    /// A value of that generation appears in one step: finalize, put, increment.
    static func publish(
        _ event: ChangeEvent, _ name: EntryName, _ generation: Store.Generation
    ) -> Intent {
        var intent = Intent(.publish, name, [ToldEvent(event: event, generation: generation)])
        intent.generation = generation
        return intent
    }

    /// - Parameter generation: of the claim; nil for what is no claim, and ends untold. 0 for one that cannot
    ///   be read.
    static func endClaim(
        _ event: ChangeEvent, _ name: EntryName, _ generation: Store.Generation?
    ) -> Intent {
        var intent = Intent(
            .endClaim, name, generation.map { [ToldEvent(event: event, generation: $0)] } ?? [])
        intent.generation = generation ?? 0
        intent.hasPending = true
        return intent
    }

    /// - Parameters:
    ///   - claim: the generation of the claim, as for `endClaim`.
    ///   - value: the same of the value.
    static func removal(
        _ event: ChangeEvent, _ name: EntryName, claim: Store.Generation?,
        value: Store.Generation?, hasPending: Bool, hasReady: Bool
    ) -> Intent {
        var intent = Intent(
            .removal, name,
            [claim, value].compactMap { $0.map { ToldEvent(event: event, generation: $0) } })
        intent.hasPending = hasPending
        intent.hasReady = hasReady
        intent.generation = claim ?? 0
        intent.hasClaimEvent = claim != nil
        return intent
    }

    static func setAside(_ name: EntryName, _ generation: Store.Generation) -> Intent {
        var intent = Intent(
            .setAside, name, [ToldEvent(event: .removed, generation: generation)])
        intent.hasReady = true
        return intent
    }

    /// - Parameter sequence: that the slot's cell has after the change.
    static func lease(
        _ name: EntryName, slot: Int, sequence: UInt64, _ events: [ToldEvent]
    ) -> Intent {
        var intent = Intent(.lease, name, events)
        intent.slot = slot
        intent.sequence = sequence
        return intent
    }
}
