internal import SystemCalls

/// The first part of every record: who claimed the key, and as what generation.
struct ClaimSection: Equatable, Sendable {
    /// The key as its file is named.
    var name: [UInt8]
    var generation: Store.Generation
    var holder: HolderIdentity
    /// For messages.
    var processID: Int32
    /// For messages: the name of the holder's program, percent-encoded as keys are.
    var command: [UInt8]
    /// Where the process numbers and the boot clock of this record belong.
    var place: Place
    var since: Stamp
    /// When the claim is stale although its holder lives.
    var deadline: Stamp?

    /// A program's name as it stands in a record.
    ///
    /// Longer ones are cut, so that a claim section fits the buffer it is read into.
    static func encode(command: [UInt8]) -> [UInt8] {
        PercentCode.encode(Array(command.prefix(64)))
    }
    /// Longer than any claim section: 240 bytes of name, 192 of command, 13 lines.
    static let mostBytes = 1024

    /// The text, its own check last.
    var text: [UInt8] {
        var text = RecordText()
        text.line("flock-cache", decimal: UInt64(Limits.format), separator: " ")
        text.line("key", name)
        text.line("generation", decimal: generation)
        switch holder {
        case .session(let id): text.line("session", hexadecimal(id, digits: 16))
        case .process(let process):
            text.line("process", decimal: UInt64(UInt32(bitPattern: process.id)))
            if let inode = process.descriptorInode { text.line("pidfd-inode", decimal: inode) }
            if let start = process.startTime { text.line("started", decimal: start) }
        case .nobody: break
        }
        text.line("pid", decimal: UInt64(UInt32(bitPattern: processID)))
        text.line("command", command)
        text.line("boot", place.boot.text)
        text.line("pid-namespace", decimal: place.processNamespace)
        text.line("time-namespace", decimal: place.timeNamespace)
        text.line("since", since)
        if let deadline { text.line("deadline", deadline) }
        text.check()
        return text.bytes
    }

    /// What a whole claim section at the start of the bytes says, and its length; nil if there is none.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> (section: ClaimSection, length: Int)? {
        var lines = RecordLines(bytes)
        guard
            lines.next(named: "flock-cache", separator: UInt8(ascii: " ")).flatMap(decimal)
                == UInt64(Limits.format),
            let name = lines.next(named: "key"),
            let generation = lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation
        else { return nil }
        var holder = HolderIdentity.nobody
        if let session = lines.next(named: "session") {
            guard let id = hexadecimalNumber(session) else { return nil }
            holder = .session(id)
        } else if let process = lines.next(named: "process") {
            guard let id = decimal(process).flatMap(Int32.init(exactly:)) else { return nil }
            let inode = lines.next(named: "pidfd-inode").flatMap(decimal)
            let start = lines.next(named: "started").flatMap(decimal)
            holder = .process(ProcessIdentity(id: id, descriptorInode: inode, startTime: start))
        }
        guard
            let processID = lines.next(named: "pid").flatMap(decimal).flatMap(Int32.init(exactly:)),
            let command = lines.next(named: "command"),
            let boot = lines.next(named: "boot").flatMap({ BootID($0) }),
            let processNamespace = lines.next(named: "pid-namespace").flatMap(decimal),
            let timeNamespace = lines.next(named: "time-namespace").flatMap(decimal),
            let since = lines.next(named: "since").flatMap(Stamp.init)
        else { return nil }
        var deadline: Stamp?
        if let text = lines.next(named: "deadline") {
            guard let stamp = Stamp(text) else { return nil }
            deadline = stamp
        }
        guard lines.check() else { return nil }
        let place = Place(
            boot: boot, processNamespace: processNamespace, timeNamespace: timeNamespace)
        let section = ClaimSection(
            name: Array(name), generation: generation, holder: holder, processID: processID,
            command: Array(command), place: place, since: since, deadline: deadline
        )
        return (section, lines.offset)
    }
}

/// What a reader of a value needs of the claim section before it; the check of the whole record vouches
/// for the rest.
struct ClaimHead {
    let name: Range<Int>
    let generation: Store.Generation
    /// Of the claim section.
    let length: Int

    /// nil where no claim section can be told from other bytes.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = RecordLines(bytes)
        guard
            lines.next(named: "flock-cache", separator: UInt8(ascii: " ")).flatMap(decimal)
                == UInt64(Limits.format)
        else { return nil }
        let start = lines.offset + 5
        guard lines.next(named: "key") != nil else { return nil }
        name = start..<(lines.offset - 1)
        guard let generation = lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation
        else { return nil }
        self.generation = generation
        while lines.next(named: "check") == nil {
            guard lines.skip() else { return nil }
        }
        length = lines.offset
    }
}

/// Who has a claim, as its record says.
enum HolderIdentity: Equatable, Sendable {
    /// A process that lives for the whole work and keeps a byte locked to show it.
    case session(UInt64)
    /// A process that carries on after the command that claimed for it.
    case process(ProcessIdentity)
    /// Nobody: only its deadline ends the claim.
    case nobody
}
