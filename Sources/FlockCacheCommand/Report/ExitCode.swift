internal import FlockCache
internal import SystemCalls

// Report: everything that a command tells: exit codes, failures, sentences for people, JSON for
// programs.
//
// The bottom of the command. It knows the library's values (keys, holders, errors) and the
// descriptors that it writes to, and nothing of options, of the environment, or of commands: what a
// sentence or a result needs is handed to it. So each wording and each JSON field can be found, and
// changed, here.

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
        case .damaged: "not a number; or damaged data: a value, now set aside; a record"
        case .notAStore: "no store there, or not a store; or a record that was trimmed"
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
        if error.isDamage {
            self = .damaged
            return
        }
        self =
            switch error.code {
            case .timedOut: .timedOut
            case .claimLost, .leaseLost, .lockLost: .lost
            case .wouldDeadlock, .badConfiguration: .configuration
            case .unknownOutcome: .inputOutput
            case .invalidKey, .invalidNumber, .invalidRecord: .usage
            case .notANumber, .damaged: .damaged
            case .notAStore, .trimmed: .notAStore
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
