internal import FlockCache
internal import SystemCalls

// What the commands that run a COMMAND have in common.

extension Invocation {
    /// The COMMAND of this command line.
    func request(_ variables: [[UInt8]]) -> CommandRequest {
        CommandRequest(
            arguments: command, variables: variables, words: words,
            endsWithParent: has(.dieWithParent))
    }

    /// With `--die-with-parent`: from now on this process gets TERM when the one that started it ends.
    func endWithParentIfAsked() throws(Failure) {
        guard has(.dieWithParent) else { return }
        do throws(Errno) {
            try Process.endWithParent()
        } catch {
            throw Failure(.system, "cannot watch the parent process: \(error.message)")
        }
    }

    /// How long COMMAND may take to end after TERM.
    var killAfter: Duration { duration(.killAfter) ?? OptionDefault.killAfter }

    /// Ends as COMMAND did: the exit code, and for the process's own end the signal.
    func end(as ending: ChildProcess.Ending) -> Int32 {
        if case .signal(let number) = ending { environment.endingSignal = number }
        return ending.code
    }
}

// What is an answer, and no error: that another process has what was asked for.

extension Invocation {
    /// Reports that a key is held, at once or at the end of a wait; returns the exit code.
    ///
    /// With `-E` silently, unless `-v` is given: a crontab's line is to mail failures and nothing else.
    ///
    /// - Parameter state: for `--json`, where no wait was asked for.
    func busy(
        _ subject: Phrases.Subject, _ holder: Holder?, _ wait: Wait, state: String = "busy",
        isOwn: Bool = false
    ) throws(Failure) -> Int32 {
        if has(.json) {
            let state = if case .not = wait { state } else { "timed-out" }
            let members = JSON.members(
                state, subject.key, [.init("holder", holder.map { JSON.holder($0) } ?? .null)])
            try ignoringClosedPipe { () throws(Failure) in try print(members) }
        } else if !has(.conflictCode) || words.isVerbose {
            let limit: Duration? = if case .upTo(let limit) = wait { limit } else { nil }
            words.say(Phrases.busy(subject, holder, isOwn: isOwn, after: limit))
        }
        return exitCode(.conflictCode) ?? wait.end.rawValue
    }
}
