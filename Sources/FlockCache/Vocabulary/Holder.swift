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
        /// The name of its machine, where the store is on a network file system.
        public let host: String?
        /// How long ago the holder got the claim, lock or lease; zero where that is not known, because another
        /// machine's clock tells it.
        public let age: Duration
        /// Whether that is known.
        package let isAgeKnown: Bool
        /// Whether it lives.
        public let liveness: Liveness
        /// Its session, where it is one.
        package let session: UInt64?

        /// - Parameter age: nil where it is not known.
        init(
            processID: Int32?, command: String?, host: String? = nil, age: Duration?,
            liveness: Liveness, session: UInt64?
        ) {
            self.processID = processID
            self.command = command
            self.host = host
            self.age = age ?? .zero
            isAgeKnown = age != nil
            self.liveness = liveness
            self.session = session
        }

        /// How long ago that was; nil where it is not known.
        package var knownAge: Duration? { isAgeKnown ? age : nil }

        /// Of a claim that is not whole.
        static let unknown = Holder(
            processID: nil, command: nil, age: .zero, liveness: .unknown, session: nil)

        /// A phrase such as "pid 4711 (make)", or "pid 4711 (make) on build3" on a network file system.
        package var name: String { named(command) }

        /// The same with another name of its program.
        package func named(_ command: String?) -> String {
            let place = host.map { " on \($0)" } ?? ""
            guard let processID else {
                return (command.map { "a process (\($0))" } ?? "an unknown process") + place
            }
            return "pid \(processID)" + (command.map { " (\($0))" } ?? "") + place
        }

        /// A phrase such as "pid 4711 (make), for 12 s".
        public var description: String { described(naming: command) }

        /// The same with another name of its program.
        package func described(naming command: String?) -> String {
            var text = named(command)
            if isAgeKnown { text += ", for \(age.spoken)" }
            return text + suffix
        }

        /// What is said where it is not known to live.
        var suffix: String {
            switch liveness {
            case .alive: ""
            case .dead: ", exited"
            case .unknown: ", liveness unknown"
            }
        }
    }
}

/// The short name inside this package.
package typealias Holder = Store.Holder
