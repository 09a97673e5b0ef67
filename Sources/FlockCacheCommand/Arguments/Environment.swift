internal import SystemCalls

/// What a command gets from outside; tests give their own.
///
/// The only place of the command that reads the environment.
package final class Environment {
    /// Without the program's name.
    package var arguments: [[UInt8]]
    /// The value of an environment variable.
    package var variable: (StaticString) -> [UInt8]?
    /// All variables, each as `NAME=VALUE`, which a COMMAND inherits.
    package var variables: () -> [[UInt8]] = { Process.environment }
    package var input: Int32 = 0
    package var output: Int32 = 1
    package var error: Int32 = 2
    /// The signal that ended COMMAND, by which this process ends too when all is told.
    package var endingSignal: Int32?
    /// What a pass of the command has gone on past so far.
    var passedOver: PassedOver?
    /// Called when the command is over.
    var atEnd: (() -> Void)?

    package init(arguments: [[UInt8]], variable: @escaping (StaticString) -> [UInt8]?) {
        self.arguments = arguments
        self.variable = variable
    }

    /// The value of a variable that is set and not empty.
    func setting(_ variable: Variable) -> [UInt8]? {
        self.variable(variable.name).flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// The environment variables that the command reads, and those that a COMMAND gets from it.
struct Variable: Sendable, CustomStringConvertible {
    let name: StaticString

    // Read.
    static let allowedFileSystems = Variable(name: "FLOCK_CACHE_ALLOW_FILE_SYSTEM")
    static let owner = Variable(name: "FLOCK_CACHE_OWNER")
    static let wait = Variable(name: "FLOCK_CACHE_WAIT")
    static let cacheHome = Variable(name: "XDG_CACHE_HOME")
    static let home = Variable(name: "HOME")
    static let noColor = Variable(name: "NO_COLOR")

    // Read, and given.
    static let store = Variable(name: "FLOCK_CACHE_DIR")
    /// What the processes hold that this one is a descendant of.
    static let held = Variable(name: "FLOCK_CACHE_HELD")

    // Given.
    static let key = Variable(name: "FLOCK_CACHE_KEY")
    static let generation = Variable(name: "FLOCK_CACHE_GENERATION")
    static let slot = Variable(name: "FLOCK_CACHE_SLOT")

    var description: String { name.description }

    /// `NAME=`, with which it begins in an environment.
    var beginning: [UInt8] { Array("\(name)=".utf8) }
}
