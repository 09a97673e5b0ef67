internal import SystemCalls

/// What this machine has seen of another's lease or claim.
///
/// On a network file system the clocks of two machines may differ by any amount. So a lease of another machine, or
/// of an earlier boot, and a claim that is stale after a time, are over when they have been seen unchanged for that
/// whole time by the observer's own boot clock, and not before, whatever their deadline says by the wall clock of the
/// machine that wrote it. The first sighting is kept in a file beside the leases, one for each boot of a machine and
/// each lease's slot or claim, so that jobs that only look from time to time add up.
///
/// A sighting is written with or without the shard's mutex: its time is read after what was seen, so whichever of two
/// writes stays, it never says that something was seen earlier than it was.
struct Sighting {
    private let slot: Int
    private let generation: Store.Generation
    private let sequence: UInt64
    /// Of the machine that saw it.
    private let boot: BootID
    private let since: LeaseTime

    /// What is seen.
    struct Subject {
        let shard: Int
        /// What its file is named after: the encoded key and what of that key it is.
        let text: [UInt8]
        let slot: Int
        let generation: Store.Generation
        /// Changes with each renewal.
        let sequence: UInt64
        /// Microseconds.
        let timeToLive: Int64
        /// For messages.
        let path: String
    }

    private init(of subject: Subject, boot: BootID) {
        slot = subject.slot
        generation = subject.generation
        sequence = subject.sequence
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

    /// In how many microseconds what another machine holds may be believed to be over; nil where it has not been seen
    /// as it is now.
    static func timeLeft(
        of subject: Subject, in store: OpenStore
    ) throws(StoreError) -> Int64? {
        guard let directory = try store.leaseDirectory(subject.shard, making: false) else {
            return nil
        }
        let now = Sighting(of: subject, boot: try store.place().boot)
        let file = fileName(subject, now.boot)
        let text = try attempt("read the sighting of", subject.path) { () throws(Errno) in
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
        return max(0, clampedSum(subject.timeToLive, first.since.timeLeft(ofThisBoot: true)))
    }

    /// The same, and notes it where it has not been seen as it is now.
    static func note(of subject: Subject, in store: OpenStore) throws(StoreError) -> Int64 {
        if let left = try timeLeft(of: subject, in: store) { return left }
        guard let directory = try store.leaseDirectory(subject.shard, making: true) else {
            return subject.timeToLive
        }
        let now = Sighting(of: subject, boot: try store.place().boot)
        let file = fileName(subject, now.boot)
        let bytes = now.bytes
        try attempt("note the sighting of", subject.path) { () throws(Errno) in
            do throws(Errno) {
                try directory.open(file, .readWrite).write(bytes, at: 0)
            } catch {
                guard error == .noEntry else { throw error }
                try store.marker.makeFile(file, in: directory, of: store.root)
                try directory.open(file, .readWrite).write(bytes, at: 0)
            }
        }
        return subject.timeToLive
    }

    /// The same for who may be unable to write: what cannot be noted counts as seen for the first time.
    static func noteIfPossible(of subject: Subject, in store: OpenStore) -> Int64 {
        (try? note(of: subject, in: store)) ?? subject.timeToLive
    }

    /// Takes away what was seen of something that another has by now.
    static func forget(_ subject: Subject, in store: OpenStore) {
        guard !store.isLocal, let boot = (try? store.place())?.boot,
            let directory = try? store.leaseDirectory(subject.shard, making: false)
        else { return }
        // What is left would only be compared, and found to be of another generation.
        _ = try? directory.unlink(fileName(subject, boot))
    }

    /// `.seen-` and the hash of what was seen and the boot of the machine that has seen it.
    ///
    /// Not the machine's name: of two machines with one name each would write over what the other has seen, for ever.
    private static func fileName(_ subject: Subject, _ boot: BootID) -> FileName {
        let text = subject.text + [UInt8(ascii: "/")] + boot.text
        return FileName(prefix + hexadecimal(PercentCode.hash(of: text), digits: 16))
    }

    /// Whether a file of a shard's leases is a sighting.
    static func isSighting(_ name: some Collection<UInt8>) -> Bool { name.starts(with: prefix) }

    private static let prefix = Array(".seen-".utf8)

    /// After how many nanoseconds a sighting is taken for one that nobody needs: longer than any sensible time to live.
    static let longestUse: Int64 = 400 * 86_400_000_000_000
}
