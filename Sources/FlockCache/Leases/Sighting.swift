internal import SystemCalls

/// What this machine has seen of another's lease.
///
/// On a network file system the clocks of two machines may differ by any amount. So a lease of another machine,
/// or of an earlier boot, is over when it has been seen unchanged for its whole time to live by one's own clock,
/// and not before, whatever its deadline says by the wall clock of the machine that wrote it. The first sighting is
/// kept in a file beside the lease, one for each boot of a machine and slot, so that jobs that only look from time
/// to time add up.
struct Sighting {
    private let slot: Int
    private let generation: Store.Generation
    private let sequence: UInt64
    /// Of who saw it.
    private let boot: BootID
    private let since: LeaseTime

    private init(of cell: LeaseCell, _ slot: Int, boot: BootID) {
        self.slot = slot
        generation = cell.generation
        sequence = cell.sequence
        self.boot = boot
        since = .now
    }

    private func isOfSame(_ other: Sighting) -> Bool {
        slot == other.slot && generation == other.generation && sequence == other.sequence
            && boot == other.boot
    }

    private static let mostBytes = 256

    private var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-seen", decimal: UInt64(Limits.format), separator: " ")
        text.line("slot", decimal: UInt64(slot))
        text.line("generation", decimal: generation)
        text.line("sequence", decimal: sequence)
        text.line("boot", boot.text)
        text.line("since", since.stamp)
        text.check()
        // One length, so that one overwrites another.
        return text.bytes
            + [UInt8](repeating: UInt8(ascii: "\n"), count: Self.mostBytes - text.bytes.count)
    }

    private init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-seen", separator: UInt8(ascii: " ")).flatMap(
                decimal)
                == UInt64(Limits.format),
            let slot = unsafe lines.next(named: "slot").flatMap(decimal).flatMap({
                Int(exactly: $0)
            }),
            let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            let sequence = unsafe lines.next(named: "sequence").flatMap(decimal),
            let boot = unsafe lines.next(named: "boot").flatMap({ unsafe BootID($0) }),
            let since = unsafe lines.next(named: "since").flatMap(Stamp.init), unsafe lines.check()
        else { return nil }
        self.slot = slot
        self.generation = generation
        self.sequence = sequence
        self.boot = boot
        self.since = LeaseTime(since)
    }

    /// In how many microseconds another machine's lease may be believed to be over; nil where it has not been seen as
    /// it is now, and where only its owner's end ends it.
    static func timeLeft(
        of cell: LeaseCell, _ slot: Int, _ name: EntryName, in store: OpenStore
    ) throws(StoreError) -> Int64? {
        guard let timeToLive = cell.timeToLive,
            let directory = try store.leaseDirectory(name.shard, making: false)
        else { return nil }
        let now = Sighting(of: cell, slot, boot: try store.place().boot)
        let path = store.leasePath(name)
        let file = fileName(name, slot, now.boot)
        let text = try attempt("read the sighting of", path) { () throws(Errno) in
            do throws(Errno) {
                return try directory.open(file, .read).contents(upTo: mostBytes)
            } catch {
                if error == .noEntry { return [] as [UInt8] }
                throw error
            }
        }
        // The file may be empty, after a kill or a power cut.
        guard let first = unsafe text.withUnsafeBytes({ unsafe Sighting($0) }), first.isOfSame(now)
        else { return nil }
        return max(0, clampedSum(timeToLive, first.since.timeLeft(ofThisBoot: true)))
    }

    /// The same, and notes it where it has not been seen as it is now; for who has the shard's mutex.
    static func note(
        of cell: LeaseCell, _ slot: Int, _ name: EntryName, in store: OpenStore
    ) throws(StoreError) -> Int64? {
        guard let timeToLive = cell.timeToLive else { return nil }
        if let left = try timeLeft(of: cell, slot, name, in: store) { return left }
        guard let directory = try store.leaseDirectory(name.shard, making: false) else {
            return timeToLive
        }
        let now = Sighting(of: cell, slot, boot: try store.place().boot)
        let file = fileName(name, slot, now.boot)
        let bytes = now.bytes
        try attempt("note the sighting of", store.leasePath(name)) { () throws(Errno) in
            do throws(Errno) {
                try directory.open(file, .readWrite).write(bytes, at: 0)
            } catch {
                guard error == .noEntry else { throw error }
                try store.marker.makeFile(file, in: directory, of: store.root)
                try directory.open(file, .readWrite).write(bytes, at: 0)
            }
        }
        return timeToLive
    }

    /// Takes away what was seen of a lease that has been granted since.
    static func forget(_ name: EntryName, _ slot: Int, in store: OpenStore) {
        guard !store.isLocal, let boot = (try? store.place())?.boot,
            let directory = try? store.leaseDirectory(name.shard, making: false)
        else { return }
        // What is left would only be compared, and found to be of another generation.
        _ = try? directory.unlink(fileName(name, slot, boot))
    }

    /// `.seen-` and the hash of the lease's name, the slot and the boot of the machine that has seen it.
    ///
    /// Not its name: of two machines with one name each would write over what the other has seen, for ever.
    private static func fileName(_ name: EntryName, _ slot: Int, _ boot: BootID) -> FileName {
        let text = name.encoded + Array("/\(slot)/".utf8) + boot.text
        return FileName(prefix + hexadecimal(PercentCode.hash(of: Array(text)), digits: 16))
    }

    /// Whether a file of a shard's leases is a sighting.
    static func isSighting(_ name: some Collection<UInt8>) -> Bool { name.starts(with: prefix) }

    private static let prefix = Array(".seen-".utf8)

    /// After how many nanoseconds a sighting is taken for one that nobody needs: longer than any sensible time to live.
    static let longestUse: Int64 = 400 * 86_400_000_000_000
}
