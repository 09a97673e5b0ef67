internal import FlockCache

/// What ends a command early: an exit code and a sentence.
struct Failure: Error {
    let code: ExitCode
    let message: String
    /// The reader of our output has closed the pipe.
    let isClosedPipe: Bool
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

    /// The same failure for a command that runs a COMMAND: its codes are kept apart from those that
    /// COMMAND may end with, as far as that is possible.
    var asOwnFailure: Failure {
        let kept: [ExitCode] = [
            .notNow, .lost, .timedOut, .ownFailure, .notExecutable, .notFound,
        ]
        var failure = Failure(
            kept.contains(code) ? code : .ownFailure, message, isClosedPipe: isClosedPipe)
        failure.storeError = storeError
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
