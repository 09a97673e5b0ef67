internal import SystemCalls

/// What one cell of a lease's file says: who has a slot of the lease, and until when.
///
/// A slot has two cells of 512 bytes, which are written in turn, each whole and in its place: so renewing and
/// releasing need no new blocks, and whatever ends a write half-way leaves the other cell. The valid one with
/// the higher sequence counts.
struct LeaseCell: Equatable, Sendable {
    /// Rises with each write of the slot.
    var sequence: UInt64 = 0
    var generation: Store.Generation
    var isReleased = false
    /// The process with which the lease ends, if it does.
    var owner: ProcessIdentity?
    /// For messages.
    var processID: Int32
    /// For messages: the program's name, percent-encoded as keys are.
    var command: [UInt8]
    var place: Place
    var since: LeaseTime
    /// Microseconds; nil for a lease that ends with its owner alone.
    var timeToLive: Int64?
    var deadline: LeaseTime?

    static let byteCount = 512
    static let bytesPerSlot = 2 * byteCount
    private static let longestCommand = 16

    /// A program's name as it stands in a cell.
    static func encode(command: [UInt8]) -> [UInt8] {
        EntryName.encode(Array(command.prefix(longestCommand)))
    }

    /// The lines, the check, and spaces to the end of the cell.
    var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-lease", decimal: UInt64(Marker.version), separator: " ")
        text.line("sequence", decimal: sequence)
        text.line("generation", decimal: generation)
        text.line("state", isReleased ? "released".utf8 : "held".utf8)
        if let owner {
            text.line("process", decimal: UInt64(UInt32(bitPattern: owner.id)))
            if let inode = owner.descriptorInode { text.line("pidfd-inode", decimal: inode) }
            if let start = owner.startTime { text.line("started", decimal: start) }
        }
        text.line("pid", decimal: UInt64(UInt32(bitPattern: processID)))
        text.line("command", command)
        text.line("boot", place.boot.text)
        text.line("pid-namespace", decimal: place.processNamespace)
        text.line("time-namespace", decimal: place.timeNamespace)
        text.line("since", since.stamp)
        if let timeToLive { text.line("ttl", decimal: UInt64(clamping: timeToLive)) }
        if let deadline { text.line("deadline", deadline.stamp) }
        text.check()
        var bytes = text.bytes
        precondition(bytes.count < Self.byteCount, "13 lines of bounded length")
        bytes.append(
            contentsOf: [UInt8](
                repeating: UInt8(ascii: " "), count: Self.byteCount - bytes.count - 1))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// What a whole cell says; nil if it is none.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = RecordLines(bytes)
        guard
            lines.next(named: "flock-cache-lease", separator: UInt8(ascii: " ")).flatMap(decimal)
                == UInt64(Marker.version),
            let sequence = lines.next(named: "sequence").flatMap(decimal),
            let generation = lines.next(named: "generation").flatMap(decimal),
            generation <= ClaimSection.mostGeneration, sequence < 1 << 62,
            let state = lines.next(named: "state")
        else { return nil }
        if let process = lines.next(named: "process") {
            guard let id = decimal(process).flatMap(Int32.init(exactly:)) else { return nil }
            let inode = lines.next(named: "pidfd-inode").flatMap(decimal)
            let start = lines.next(named: "started").flatMap(decimal)
            owner = ProcessIdentity(id: id, descriptorInode: inode, startTime: start)
        }
        guard
            let processID = lines.next(named: "pid").flatMap(decimal).flatMap(Int32.init(exactly:)),
            let command = lines.next(named: "command"),
            let boot = lines.next(named: "boot").flatMap({ BootID($0) }),
            let processNamespace = lines.next(named: "pid-namespace").flatMap(decimal),
            let timeNamespace = lines.next(named: "time-namespace").flatMap(decimal),
            let since = lines.next(named: "since").flatMap(Stamp.init)
        else { return nil }
        timeToLive = lines.next(named: "ttl").flatMap(decimal).map { Int64(clamping: $0) }
        deadline = lines.next(named: "deadline").flatMap(Stamp.init).map { LeaseTime($0) }
        guard lines.check() else { return nil }
        self.sequence = sequence
        self.generation = generation
        isReleased = state.elementsEqual("released".utf8)
        self.processID = processID
        self.command = Array(command)
        place = Place(
            boot: boot, processNamespace: processNamespace, timeNamespace: timeNamespace)
        self.since = LeaseTime(since)
    }

    init(
        generation: Store.Generation, _ request: LeaseRequest, at place: Place, since: LeaseTime
    ) {
        self.generation = generation
        owner = request.owner
        processID = request.processID
        command = Self.encode(command: request.command)
        self.place = place
        self.since = since
        timeToLive = request.timeToLive.map { max(1, $0.clampedMicroseconds) }
        deadline = request.timeToLive.map { since.advanced(by: $0) }
    }
}

/// A moment by two clocks: the boot clock of the first time namespace, which all processes of a boot can tell
/// whatever namespace they are in and whatever is done to the wall clock; and the wall clock, for other
/// boots and for people.
///
/// Microseconds.
struct LeaseTime: Equatable, Sendable {
    let stamp: Stamp

    init(_ stamp: Stamp) { self.stamp = stamp }

    /// Now; the boot clock is 0 where its namespace's offset is not known.
    static var now: LeaseTime {
        let boot = TimeNamespace.offset.map { BootTime.now.nanoseconds / 1000 - $0 } ?? 0
        return LeaseTime(Stamp(wall: WallClock.microseconds, boot: boot))
    }

    func advanced(by duration: Duration) -> LeaseTime {
        let later = stamp.advanced(by: duration)
        return LeaseTime(Stamp(wall: later.wall, boot: stamp.boot == 0 ? 0 : later.boot))
    }

    /// Microseconds from now until this moment of a boot, negative when it has passed.
    func timeLeft(ofThisBoot isOfThisBoot: Bool) -> Int64 {
        let now = Self.now.stamp
        guard isOfThisBoot, stamp.boot != 0, now.boot != 0 else {
            return clampedDifference(stamp.wall, now.wall)
        }
        return clampedDifference(stamp.boot, now.boot)
    }
}

/// The time namespace of this process.
enum TimeNamespace {
    /// By how many microseconds the boot clock here is ahead of that of the first namespace; nil where that
    /// cannot be told.
    static var offset: Int64? {
        atStart.epoch == ForkEpoch.current ? atStart.offset : find()
    }

    private static let atStart = (epoch: ForkEpoch.current, offset: find())

    private static func find() -> Int64? {
        // Kernels before 5.6 have no such file, and no such namespaces.
        guard let text = Process.contents(of: "/proc/self/timens_offsets", upTo: 256) else {
            return 0
        }
        // The file is about the namespace that children get, which is ours but between `unshare(2)` and the
        // next fork.
        let own = Process.namespace("/proc/self/ns/time")
        guard own == Process.namespace("/proc/self/ns/time_for_children") else { return nil }
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count == 3, words[0].elementsEqual("boottime".utf8),
                let seconds = Int64(String(decoding: words[1], as: UTF8.self)),
                let nanoseconds = Int64(String(decoding: words[2], as: UTF8.self))
            else { continue }
            return seconds * 1_000_000 + nanoseconds / 1000
        }
        return nil
    }
}
