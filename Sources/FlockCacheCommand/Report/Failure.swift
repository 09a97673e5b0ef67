internal import FlockCache

/// What ends a command early: an exit code and a sentence.
struct Failure: Error {
    let code: ExitCode
    let message: String
    /// The reader of our output has closed the pipe.
    let isClosedPipe: Bool
    /// The code that it would have by itself, where a command that runs a COMMAND has given it another.
    private var cause: ExitCode?
    /// What the library has thrown, where it has.
    private(set) var storeError: StoreError?

    init(_ code: ExitCode, _ message: String, isClosedPipe: Bool = false) {
        self.code = code
        self.message = message
        self.isClosedPipe = isClosedPipe
    }

    init(_ error: StoreError) {
        self.init(ExitCode(error), error.description)
        storeError = error
    }

    /// What went wrong, in one word for programs: more than the exit code of a command that runs a COMMAND tells.
    var name: String { (cause ?? code).name }

    /// The same failure for a command that runs a COMMAND: its codes are kept apart from those that
    /// COMMAND may end with, as far as that is possible.
    var asOwnFailure: Failure {
        let kept: [ExitCode] = [
            .notNow, .lost, .timedOut, .ownFailure, .notExecutable, .notFound,
        ]
        var failure = Failure(
            kept.contains(code) ? code : .ownFailure, message, isClosedPipe: isClosedPipe)
        failure.storeError = storeError
        failure.cause = cause ?? code
        return failure
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
