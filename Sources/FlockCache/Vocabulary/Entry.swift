/// A READY key and its value.
public struct Entry: Sendable {
    /// The key.
    public let key: Store.Key
    /// What was published.
    public let value: Value
    /// The generation of the claim that published it.
    public let generation: Store.Generation
    /// How long ago it was published, by the wall clock; not below zero.
    public let age: Duration
}

/// Who has a claim, lock or lease: for messages, never for decisions.
public struct Holder: Hashable, Sendable, CustomStringConvertible {
    /// Whether somebody lives.
    public enum Liveness: Hashable, Sendable {
        /// Lives, as far as anybody can tell from here.
        case alive
        /// Proven to have ended.
        case dead
        /// Of another machine or PID namespace, or of nobody: it cannot be told.
        case unknown
    }

    /// Its process, in its own PID namespace.
    public let processID: Int32?
    /// The name of its program.
    public let command: String?
    /// How long ago it got what it has.
    public let since: Duration
    /// Whether it lives.
    public let liveness: Liveness
    /// Its session, where it is one.
    package let session: UInt64?

    /// Of a claim that is not whole.
    static let unknown = Holder(
        processID: nil, command: nil, since: .zero, liveness: .unknown, session: nil)

    /// A phrase such as "pid 4711 (make), for 12 s".
    public var description: String {
        var text = processID.map { "pid \($0)" } ?? "nobody in particular"
        if let command { text += " (\(command))" }
        text += ", for \(since.spoken)"
        switch liveness {
        case .alive: break
        case .dead: text += ", dead"
        case .unknown: text += ", not known to live"
        }
        return text
    }
}

extension Duration {
    /// The duration in words for people: "0.2 s", "12 s", "5 min", "3 h", "9 d".
    package var spoken: String {
        let (seconds, attoseconds) = components
        switch seconds {
        case ..<0: return "0 s"
        case ..<10: return "\(seconds).\(attoseconds / 100_000_000_000_000_000) s"
        case ..<120: return "\(seconds) s"
        case ..<7200: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3600) h"
        default: return "\(seconds / 86400) d"
        }
    }
}
