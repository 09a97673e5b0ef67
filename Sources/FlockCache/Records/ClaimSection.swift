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
    /// How long that was from when the claim was made or renewed, in microseconds; nil also in records of programs
    /// that could not renew one.
    var staleAfter: Int64?
    /// For messages, on a network file system: the name of the holder's machine, percent-encoded as keys are.
    var host: [UInt8]?

    /// A program's name as it stands in a record.
    ///
    /// Longer ones are cut, so that a claim section fits the buffer it is read into.
    static func encode(command: [UInt8]) -> [UInt8] {
        PercentCode.encode(Array(command.prefix(64)))
    }
    /// Longer than any claim section: 240 bytes of name, 192 of command, 96 of host, 15 lines.
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
        case .session(let id): text.line("session", hexadecimal: id, digits: 16)
        case .process(let process): text.process(process)
        case .nobody: break
        }
        text.writer(processID, command, at: place, since: since)
        if let host { text.line("host", host) }
        if let staleAfter { text.line("stale-after", decimal: UInt64(clamping: staleAfter)) }
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
        guard let holder = unsafe holder(in: &lines), let writer = unsafe lines.writer() else {
            return nil
        }
        let host = unsafe lines.next(named: "host").map { unsafe Array($0) }
        let staleAfter = unsafe lines.next(named: "stale-after").flatMap(decimal)
        var deadline: Stamp?
        if let text = unsafe lines.next(named: "deadline") {
            guard let stamp = unsafe Stamp(text) else { return nil }
            deadline = stamp
        }
        guard unsafe lines.check() else { return nil }
        let section = unsafe ClaimSection(
            name: Array(name), generation: generation, holder: holder,
            processID: writer.processID, command: writer.command, place: writer.place,
            since: writer.since, deadline: deadline,
            staleAfter: staleAfter.map { Int64(clamping: $0) }, host: host)
        return unsafe (section, lines.offset)
    }

    /// What the next lines say of the holder; nil where they are none of a record.
    private static func holder(in lines: inout RecordLines) -> HolderIdentity? {
        if let session = unsafe lines.next(named: "session") {
            return unsafe hexadecimalNumber(session).map { .session($0) }
        }
        return unsafe lines.process().map { process in process.map { .process($0) } ?? .nobody }
    }
}

extension ClaimSection {
    /// How long the claim lasts each time that it is renewed, in microseconds; nil where no time ends it.
    var renewedFor: Int64? {
        deadline.map { staleAfter ?? max(0, clampedDifference($0.boot, since.boot)) }
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
