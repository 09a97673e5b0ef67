internal import FlockCache
internal import SystemCalls

/// The command: from a command line to an exit code.
package enum Command {
    /// Runs a command line in a world of the caller's, without ending the process.
    package static func run(_ environment: Environment) -> Int32 {
        var words = Words(environment)
        do throws(Failure) {
            switch try ArgumentParser(verbs: Verb.all).parse(environment.arguments, environment) {
            case .help(let verbs):
                try print(Verb.help(of: verbs), Invocation(environment))
                return ExitCode.yes.rawValue
            case .run(let verb, let invocation):
                words = Words(invocation)
                // From before a change until its result is reported, no signal may end the command.
                Store.beforeChange = { Process.blockTermination() }
                Store.betweenChanges = { Process.unblockTermination() }
                defer { Process.unblockTermination() }
                let code = try run(verb, invocation)
                environment.passedOver?.end(with: nil)
                return code
            }
        } catch {
            environment.passedOver?.end(with: error)
            if error.isClosedPipe { return ExitCode.yes.rawValue }
            words.fail(error)
            return error.code.rawValue
        }
    }

    private static func run(_ verb: Verb, _ invocation: Invocation) throws(Failure) -> Int32 {
        switch verb.action {
        case .plain(let body): return try body(invocation).rawValue
        case .running(let body):
            do throws(Failure) {
                return try body(invocation)
            } catch {
                throw error.asOwnFailure
            }
        }
    }

    /// Makes the process fit to run a command: descriptors 0 to 2 are open, and a closed pipe or a full
    /// limit is an error rather than a death.
    package static func prepareProcess() {
        Process.openStandardDescriptors()
        // All modes are explicit. In a shared store a file that was made under an umask, and whose
        // maker was killed before setting its mode, would keep everybody else out.
        Process.prepare()
    }
}
