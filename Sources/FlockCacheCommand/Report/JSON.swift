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
    case null
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
        case .null: "null"
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

    /// How a result about a key begins: its state, and the key.
    static func members(
        _ state: String, _ key: Store.Key, _ others: [Member] = []
    ) -> [Member] {
        [Member("state", .text(state))] + members(of: key) + others
    }

    /// A key: percent-encoded, and as it is where it is text.
    static func members(of key: Store.Key, named name: String = "key") -> [Member] {
        let text = String(validating: key.bytes, as: UTF8.self)
        return [Member(name, .text(key.description))]
            + (text.map { [Member("text", .text($0))] } ?? [])
    }

    static func holder(_ holder: Holder) -> JSON {
        let process = RunningHolder(holder)
        return .object(
            [
                Member("pid", holder.processID.map { .number(Int($0)) } ?? .null),
                Member("command", (process?.command ?? holder.command).map { .text($0) } ?? .null),
                Member("user", process?.user.map { .text($0) } ?? .null),
                Member("for", holder.isAgeKnown ? .seconds(holder.age) : .null),
                Member("liveness", .text("\(holder.liveness)")),
                Member("stopped", process.map { .truth($0.isStopped) } ?? .null),
                Member("child", process?.child.map { .number(Int($0)) } ?? .null),
            ] + (holder.host.map { [Member("host", .text($0))] } ?? []))
    }
}
