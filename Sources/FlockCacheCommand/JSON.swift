internal import FlockCache
internal import SystemCalls

/// The JSON that results are printed as.
enum JSON {
    struct Member {
        let name: String
        let value: JSON

        init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    case text(String)
    case number(Int)
    case generation(Store.Generation)
    case seconds(Duration)
    case truth(Bool)
    case object([Member])

    /// One object as a line.
    static func line(_ members: [Member]) -> String { JSON.object(members).rendered }

    var rendered: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): String(number)
        case .generation(let generation): String(generation)
        case .seconds(let duration): Self.seconds(duration)
        case .truth(let truth): truth ? "true" : "false"
        case .object(let members):
            "{"
                + members.map { Self.quoted($0.name) + ":" + $0.value.rendered }.joined(
                    separator: ",") + "}"
        }
    }

    /// Milliseconds are as fine as anybody reads.
    private static func seconds(_ duration: Duration) -> String {
        let milliseconds = max(0, duration.clampedNanoseconds / 1_000_000)
        let fraction = String(milliseconds % 1000 + 1000).dropFirst()
        return "\(milliseconds / 1000).\(fraction)"
    }

    static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        escape(text.utf8, into: &bytes)
        bytes.append(UInt8(ascii: "\""))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends bytes of valid UTF-8 as they stand between the quotes.
    static func escape(_ bytes: some Collection<UInt8>, into result: inout [UInt8]) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                result.append(UInt8(ascii: "\\"))
                result.append(byte)
            case UInt8(ascii: "\n"): result.append(contentsOf: "\\n".utf8)
            case 0..<0x20, 0x7f:
                let digits = String(Int(byte) + 0x100, radix: 16).dropFirst()
                result.append(contentsOf: "\\u00\(digits)".utf8)
            default: result.append(byte)
            }
        }
    }

    static func holder(_ holder: Holder) -> JSON {
        var members: [Member] = []
        if let process = holder.processID { members.append(Member("pid", .number(Int(process)))) }
        if let command = holder.command { members.append(Member("command", .text(command))) }
        members.append(Member("for", .seconds(holder.since)))
        members.append(Member("liveness", .text("\(holder.liveness)")))
        return .object(members)
    }
}

/// A value as a JSON member: text if it is valid UTF-8, else base64.
///
/// Looked through twice, so that a large one is never held in memory.
struct JSONValue {
    let ready: ReadyFile

    func write(to results: inout Results) throws(Failure) {
        var validator = UTF8Validator()
        try ready.pieces { validator.feed($0) }
        let isText = validator.isComplete
        try results.bytes("\"encoding\":\"\(isText ? "utf-8" : "base64")\",\"value\":\"".utf8)
        var base64 = Base64()
        var failure: Failure?
        try ready.pieces { bytes in
            guard failure == nil else { return }
            var encoded: [UInt8] = []
            if isText {
                JSON.escape(bytes, into: &encoded)
            } else {
                base64.feed(bytes, into: &encoded)
            }
            do throws(Failure) { try results.bytes(encoded) } catch { failure = error }
        }
        if let failure { throw failure }
        var rest: [UInt8] = []
        base64.finish(into: &rest)
        try results.bytes(rest)
        try results.bytes("\"".utf8)
    }
}

extension ReadyFile {
    fileprivate func pieces(_ body: (UnsafeRawBufferPointer) -> Void) throws(Failure) {
        do throws(Errno) {
            try forEachPiece { (bytes) throws(Errno) in body(bytes) }
        } catch {
            throw Failure(.inputOutput, "cannot read the value of \(key): \(error.message)")
        }
    }
}

/// Base64 (RFC 4648), piece by piece.
struct Base64 {
    private var word: UInt32 = 0
    private var count = 0
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    mutating func feed(_ bytes: some Collection<UInt8>, into result: inout [UInt8]) {
        for byte in bytes {
            word = word << 8 | UInt32(byte)
            count += 1
            if count == 3 { emit(4, into: &result) }
        }
    }

    mutating func finish(into result: inout [UInt8]) {
        guard count > 0 else { return }
        let digits = count + 1
        word <<= UInt32(8 * (3 - count))
        emit(digits, into: &result)
        result.append(contentsOf: [UInt8](repeating: UInt8(ascii: "="), count: 4 - digits))
    }

    private mutating func emit(_ digits: Int, into result: inout [UInt8]) {
        for digit in 0..<digits {
            result.append(Self.alphabet[Int(word >> UInt32(18 - 6 * digit) & 63)])
        }
        (word, count) = (0, 0)
    }
}

/// Whether bytes are UTF-8 (RFC 3629), piece by piece.
struct UTF8Validator {
    private var following = 0
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xbf
    private var isValid = true

    /// Whether what was fed is valid as a whole.
    var isComplete: Bool { isValid && following == 0 }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes where isValid {
            if following > 0 {
                isValid = lowest <= byte && byte <= highest
                (lowest, highest) = (0x80, 0xbf)
                following -= 1
                continue
            }
            switch byte {
            case 0..<0x80: break
            case 0xc2...0xdf: following = 1
            case 0xe0...0xef:
                following = 2
                if byte == 0xe0 { lowest = 0xa0 }
                if byte == 0xed { highest = 0x9f }
            case 0xf0...0xf4:
                following = 3
                if byte == 0xf0 { lowest = 0x90 }
                if byte == 0xf4 { highest = 0x8f }
            default: isValid = false
            }
        }
    }
}
