internal import FlockCache
internal import SystemCalls

/// The exit codes, and which failure ends with which.
///
/// Scripts rely on them.
package enum ExitCode: Int32, CaseIterable, Sendable {
    case yes = 0
    case no = 1
    case usage = 64
    case damaged = 65
    case notAStore = 66
    case unsupported = 69
    case internalError = 70
    case system = 71
    case cannotCreate = 73
    case inputOutput = 74
    case notNow = 75
    case lost = 76
    case noPermission = 77
    case configuration = 78
    case timedOut = 124
    case ownFailure = 125
    case notExecutable = 126
    case notFound = 127

    package var meaning: String {
        switch self {
        case .yes: "yes: won, found, done"
        case .no: "no: not here, already done; never an error"
        case .usage: "usage: the command line is wrong"
        case .damaged: "damaged data, set aside; the key is absent now"
        case .notAStore: "no store there, or not a store"
        case .unsupported: "this file system, or this version, cannot give the guarantee"
        case .internalError: "internal error"
        case .system: "the system is out of something: files, memory, locks"
        case .cannotCreate: "cannot create: read-only, or it exists with other settings"
        case .inputOutput: "input or output failed; no space left"
        case .notNow: "not now: somebody else has it, and no wait was asked for"
        case .lost: "lost: the claim, lock or lease is not yours (any more)"
        case .noPermission: "no permission"
        case .configuration: "bad configuration, or the owner cannot be told: use --owner"
        case .timedOut: "the wait ended, or a change was stuck behind a stopped process"
        case .ownFailure: "of commands that run a COMMAND: a failure of their own, of any kind"
        case .notExecutable: "COMMAND cannot be executed"
        case .notFound: "COMMAND is not found"
        }
    }

    init(_ error: StoreError) {
        self =
            switch error.code {
            case .timedOut: .timedOut
            case .claimLost, .leaseLost, .lockLost: .lost
            case .wouldDeadlock, .badConfiguration: .configuration
            case .unknownOutcome: .inputOutput
            case .invalidKey: .usage
            case .notAStore: .notAStore
            case .unsupportedFileSystem, .incompatibleFormat: .unsupported
            case .permissionDenied: .noPermission
            case .readOnly: .cannotCreate
            case .noSpace: .inputOutput
            case .inputOutput:
                error.systemError.map { Errno(code: $0).isShortage } == true
                    ? .system : .inputOutput
            }
    }
}

/// What ends a command early: an exit code and a sentence.
struct Failure: Error {
    let code: ExitCode
    let message: String
    /// Whoever read our output has had enough.
    let isClosedPipe: Bool
    /// Whether another process has what was asked for: an answer, and no error.
    let isBusy: Bool

    init(
        _ code: ExitCode, _ message: String, isClosedPipe: Bool = false, isBusy: Bool = false
    ) {
        self.code = code
        self.message = message
        self.isClosedPipe = isClosedPipe
        self.isBusy = isBusy
    }

    /// What was asked for is another process's, at once or at the end of a wait.
    static func busy(_ message: String, afterWait: Bool) -> Failure {
        Failure(afterWait ? .timedOut : .notNow, message, isBusy: true)
    }

    init(_ error: StoreError) { self.init(ExitCode(error), error.description) }

    /// The same as a command has it that runs a COMMAND: apart from what COMMAND may end with, as far as
    /// that is possible.
    var asOwnFailure: Failure {
        let kept: [ExitCode] = [
            .notNow, .lost, .timedOut, .ownFailure, .notExecutable, .notFound,
        ]
        return Failure(
            kept.contains(code) ? code : .ownFailure, message, isClosedPipe: isClosedPipe,
            isBusy: isBusy)
    }

    static func usage(_ message: String) -> Failure { Failure(.usage, message) }
}

/// Runs what throws `StoreError` where a command throws `Failure`.
@inline(__always)
func failing<R: ~Copyable>(_ body: () throws(StoreError) -> R) throws(Failure) -> R {
    do throws(StoreError) {
        return try body()
    } catch {
        throw Failure(error)
    }
}
