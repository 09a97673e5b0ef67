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
        case .yes: "yes: found, acquired, done; claim: the work is yours to do"
        case .no: "no, and no error: absent, a condition not met; claim: it is done already"
        case .usage: "usage: the command line is wrong"
        case .damaged: "not a number, or a corrupt value (quarantined) or record"
        case .notAStore: "no store there, or not a store; or a record that was trimmed"
        case .unsupported: "this file system, or this version, cannot keep the guarantees"
        case .internalError: "internal error"
        case .system: "the system is out of something: files, memory, locks"
        case .cannotCreate: "cannot create: read-only, or it exists with other settings"
        case .inputOutput: "input or output failed; no space left"
        case .notNow: "busy or pending, and no wait was asked for"
        case .lost: "lost: the claim, lock or lease is another process's now, or gone"
        case .noPermission: "no permission"
        case .configuration: "bad configuration, or the owner cannot be determined: use --owner"
        case .timedOut: "timed out; also when a stopped process blocks a change"
        case .ownFailure: "lock, run and lease run: flock-cache itself failed"
        case .notExecutable: "COMMAND cannot be executed"
        case .notFound: "COMMAND was not found"
        }
    }

    /// The code of a JSON error.
    var name: String {
        switch self {
        case .yes: "ok"
        case .no: "no"
        case .usage: "usage"
        case .damaged: "corrupt"
        case .notAStore: "not-found"
        case .unsupported: "unsupported"
        case .internalError: "internal"
        case .system: "system"
        case .cannotCreate: "cannot-create"
        case .inputOutput: "input-output"
        case .notNow: "busy"
        case .lost: "lost"
        case .noPermission: "no-permission"
        case .configuration: "configuration"
        case .timedOut: "timed-out"
        case .ownFailure: "run-failed"
        case .notExecutable: "not-executable"
        case .notFound: "command-not-found"
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
