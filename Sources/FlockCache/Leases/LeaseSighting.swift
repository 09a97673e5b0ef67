internal import SystemCalls

extension Sighting {
    /// In how many microseconds another machine's lease may be believed to be over; nil where it has not been seen as
    /// it is now, and where only its owner's end ends it.
    static func timeLeft(
        of cell: LeaseCell, _ slot: Int, _ name: EntryName, in store: OpenStore
    ) throws(StoreError) -> Int64? {
        guard let timeToLive = cell.timeToLive else { return nil }
        return try timeLeft(of: Subject(cell, slot, name, timeToLive, in: store), in: store)
    }

    /// The same, and notes it where it has not been seen as it is now.
    static func note(
        of cell: LeaseCell, _ slot: Int, _ name: EntryName, in store: OpenStore
    ) throws(StoreError) -> Int64? {
        guard let timeToLive = cell.timeToLive else { return nil }
        return try note(of: Subject(cell, slot, name, timeToLive, in: store), in: store)
    }

    /// The same for who may be unable to write.
    static func noteIfPossible(
        of cell: LeaseCell, _ slot: Int, _ name: EntryName, in store: OpenStore
    ) -> Int64? {
        cell.timeToLive.map {
            noteIfPossible(of: Subject(cell, slot, name, $0, in: store), in: store)
        }
    }

    /// Takes away what was seen of a lease that has been granted since.
    static func forget(_ name: EntryName, _ slot: Int, in store: OpenStore) {
        forget(Subject(slot, name, in: store), in: store)
    }
}

extension Sighting.Subject {
    fileprivate init(
        _ cell: LeaseCell, _ slot: Int, _ name: EntryName, _ timeToLive: Int64, in store: OpenStore
    ) {
        self.init(
            shard: name.shard, text: Self.text(slot, name), slot: slot,
            generation: cell.generation, sequence: cell.sequence, timeToLive: timeToLive,
            path: store.leasePath(name))
    }

    /// For who only wants the file's name.
    fileprivate init(_ slot: Int, _ name: EntryName, in store: OpenStore) {
        self.init(
            shard: name.shard, text: Self.text(slot, name), slot: slot, generation: 0, sequence: 0,
            timeToLive: 0, path: store.leasePath(name))
    }

    private static func text(_ slot: Int, _ name: EntryName) -> [UInt8] {
        name.encoded + Array("/\(slot)".utf8)
    }
}
