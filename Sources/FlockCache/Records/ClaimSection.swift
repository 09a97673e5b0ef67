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
    var text: [UInt8] { text(generationWidth: 1) }

    /// As wide as the highest generation.
    static let generationWidth = 16

    /// The text with zeros before a generation that has fewer digits: for a text whose place is taken before the
    /// generation is known.
    func text(generationWidth: Int) -> [UInt8] {
        var text = RecordText()
        text.line("flock-cache", decimal: UInt64(Limits.format), separator: " ")
        text.line("key", name)
        text.line("generation", decimal: generation, width: generationWidth)
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
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache", separator: UInt8(ascii: " ")).flatMap(decimal)
                == UInt64(Limits.format),
            let name = unsafe lines.next(named: "key"),
            let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation
        else { return nil }
        guard let holder = unsafe holder(in: &lines) else { return nil }
        guard
            let processID = unsafe lines.next(named: "pid").flatMap(decimal).flatMap(
                Int32.init(exactly:)),
            let command = unsafe lines.next(named: "command"),
            let boot = unsafe lines.next(named: "boot").flatMap({ unsafe BootID($0) }),
            let processNamespace = unsafe lines.next(named: "pid-namespace").flatMap(decimal),
            let timeNamespace = unsafe lines.next(named: "time-namespace").flatMap(decimal),
            let since = unsafe lines.next(named: "since").flatMap(Stamp.init)
        else { return nil }
        var deadline: Stamp?
        if let text = unsafe lines.next(named: "deadline") {
            guard let stamp = unsafe Stamp(text) else { return nil }
            deadline = stamp
        }
        guard unsafe lines.check() else { return nil }
        let place = Place(
            boot: boot, processNamespace: processNamespace, timeNamespace: timeNamespace)
        let section = unsafe ClaimSection(
            name: Array(name), generation: generation, holder: holder, processID: processID,
            command: Array(command), place: place, since: since, deadline: deadline
        )
        return unsafe (section, lines.offset)
    }

    /// What the next lines say of the holder; nil where they are none of a record.
    private static func holder(in lines: inout RecordLines) -> HolderIdentity? {
        if let session = unsafe lines.next(named: "session") {
            return unsafe hexadecimalNumber(session).map { .session($0) }
        }
        guard let process = unsafe lines.next(named: "process") else { return .nobody }
        guard let id = unsafe decimal(process).flatMap(Int32.init(exactly:)) else { return nil }
        let inode = unsafe lines.next(named: "pidfd-inode").flatMap(decimal)
        let start = unsafe lines.next(named: "started").flatMap(decimal)
        return .process(ProcessIdentity(id: id, descriptorInode: inode, startTime: start))
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
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache", separator: UInt8(ascii: " ")).flatMap(decimal)
                == UInt64(Limits.format)
        else { return nil }
        let start = unsafe lines.offset + 5
        guard unsafe lines.next(named: "key") != nil else { return nil }
        name = unsafe start..<(lines.offset - 1)
        guard let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation
        else { return nil }
        self.generation = generation
        while unsafe lines.next(named: "check") == nil {
            guard unsafe lines.skip() else { return nil }
        }
        length = unsafe lines.offset
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
