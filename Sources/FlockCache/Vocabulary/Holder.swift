extension Store {
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
        /// How long ago the holder got the claim, lock or lease.
        public let age: Duration
        /// Whether it lives.
        public let liveness: Liveness
        /// Its session, where it is one.
        package let session: UInt64?

        /// Of a claim that is not whole.
        static let unknown = Holder(
            processID: nil, command: nil, age: .zero, liveness: .unknown, session: nil)

        /// A phrase such as "pid 4711 (make), for 12 s".
        public var description: String {
            var text = processID.map { "pid \($0)" } ?? "an unknown process"
            if let command { text += " (\(command))" }
            text += ", for \(age.spoken)"
            switch liveness {
            case .alive: break
            case .dead: text += ", exited"
            case .unknown: text += ", liveness unknown"
            }
            return text
        }
    }
}

/// The short name inside this package.
package typealias Holder = Store.Holder
