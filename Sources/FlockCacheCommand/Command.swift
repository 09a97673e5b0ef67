internal import FlockCache
internal import SystemCalls

// The command, from bottom to top; each folder uses those before it in this list, and none behind
// it:
//
//   Report     what is told: exit codes, failures, sentences, JSON
//   Arguments  what was asked: options, variables, the parser, the help
//   World      what is around: the store, the calling program, who is waited for
//   Running    a COMMAND as a child
//   Commands   one file a command
//
// and here the table of all commands (`Commands.swift`), and the way from a command line to an exit
// code.

/// The command: from a command line to an exit code.
package enum Command {
    /// Runs a command line in a world of the caller's, without ending the process.
    package static func run(_ environment: Environment) -> Int32 {
        var words = environment.words
        defer { environment.atEnd?() }
        do throws(Failure) {
            switch try ArgumentParser.parse(environment, verbs: Verb.all) {
            case .help(let verbs):
                try Invocation(environment, Verb.all).print(Verb.help(of: verbs, among: Verb.all))
                return ExitCode.yes.rawValue
            case .run(let verb, let invocation):
                words = invocation.words
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

    /// Ends this process as the COMMAND that it has run: by a signal where COMMAND was ended by one, because only then
    /// does a shell see that its loop is to end; else with the exit code.
    package static func end(_ environment: Environment, with code: Int32) -> Int32 {
        // Returns in process 1 of a container.
        if let signal = environment.endingSignal { Process.end(by: signal) }
        return code
    }

    private static func run(_ verb: Verb, _ invocation: Invocation) throws(Failure) -> Int32 {
        switch verb.action {
        case .plain(let body):
            do throws(Failure) {
                return try body(invocation).rawValue
            } catch {
                guard error.code == .lost, invocation.has(.json) else { throw error }
                return try reportLoss(error, invocation)
            }
        case .running(let body):
            do throws(Failure) {
                return try body(invocation)
            } catch {
                if error.code == .lost, invocation.has(.json) {
                    return try reportLoss(error, invocation)
                }
                throw error.asOwnFailure
            }
        }
    }

    /// That what a command is about was lost is a result.
    private static func reportLoss(
        _ failure: Failure, _ invocation: Invocation
    ) throws(Failure) -> Int32 {
        let message = JSON.Member("message", .text(failure.message))
        try ignoringClosedPipe { () throws(Failure) in
            try invocation.print(JSON.members("lost", invocation.key(), [message]))
        }
        return failure.code.rawValue
    }

    /// Makes the process fit to run a command: descriptors 0 to 2 are open, and a closed pipe or a
    /// full limit is an error rather than a death.
    package static func prepareProcess() {
        Process.openStandardDescriptors()
        // All modes are explicit. In a shared store a file that was made under an umask, and whose
        // maker was killed before setting its mode, would keep everybody else out.
        Process.prepare()
        // From before a change until its result is reported, no signal may end the command.
        Store.beforeChange = { Process.blockTermination() }
        Store.betweenChanges = { Process.unblockTermination() }
    }
}
