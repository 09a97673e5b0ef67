internal import FlockCache
internal import SystemCalls

extension Option {
    /// For commands that run a COMMAND.
    static let conflictCode = Option(
        name: "conflict-exit-code", short: "E", value: .exitCode,
        help: "exit with CODE where it would be 75 or 124")
}

extension Verb {
    static let run = Verb(
        name: "run", summary: "Compute a value once: run a command, share its output.",
        operands: ["KEY"],
        options: [.wait, .noWait, .maxAge, .conflictCode],
        detail: """
            READY: prints the value. Otherwise the first to ask runs COMMAND, whose standard output
            is the value and is passed on as it comes; the others wait and get it. Exit 0 with it.
            COMMAND fails: its output and exit code are passed on, nothing is published, and one of
            those who wait runs its own. If this process is killed COMMAND is killed too.
            The value is what COMMAND wrote until it ended, not what its children write later.
            Exit 124 when the wait for others ended (after 300 s, what FLOCK_CACHE_WAIT says, or -w),
            75 with -n, 126 and 127 when COMMAND cannot be run, 125 for failures of its own.
            """,
        example: "flock-cache run \"report-$(date +%F)\" -- ./make-report --year 2026",
        runCommand: runRun)
}

@Sendable private func runRun(_ invocation: Invocation) throws(Failure) -> Int32 {
    let store = try invocation.openStore()
    let key = invocation.key()
    let words = Words(invocation)
    let wait = try invocation.waitByDefault()
    let notice = WaitNotice(invocation, key, limit: wait?.limit)
    let maxAge = invocation.duration(.maxAge)
    let outcome = try failing { () throws(StoreError) in
        try store.session.claim(
            key, for: .session, maxAge: maxAge, staleAfter: nil,
            waiting: wait.map { $0.limit } ?? .zero, whilePending: notice.look)
    }
    switch outcome {
    case .ready(let ready):
        var results = Results(invocation.environment)
        try results.value(ready)
        return ExitCode.yes.rawValue
    case .pending(let holder):
        return try invocation.conflict(
            Failure(wait == nil ? .notNow : .timedOut, "\(key) is being done by \(holder)"))
    case .won(let generation, let former):
        if let former {
            words.say("took \(key) over from \(former)")
            CommandRun.waitForEnd(of: former.processID)
        }
        return try Computation(invocation, store, key, generation).run()
    }
}

/// COMMAND run for a claim that was won.
private struct Computation {
    let invocation: Invocation
    let store: Store
    let key: Store.Key
    let generation: Store.Generation

    init(
        _ invocation: Invocation, _ store: Store, _ key: Store.Key, _ generation: Store.Generation
    ) {
        self.invocation = invocation
        self.store = store
        self.key = key
        self.generation = generation
    }

    func run() throws(Failure) -> Int32 {
        let right = ClaimRight.generation(generation)
        var finished: CommandRun
        let value: ValueWriter
        do throws(Failure) {
            let signals = try CommandRun.catchSignals()
            value = try failing { () throws(StoreError) in
                try ValueWriter(for: key, by: right, in: store.session)
            }
            finished = try CommandRun(
                invocation.command, variables: try variables(), signals: signals,
                to: invocation.environment.output, keepingIn: value)
        } catch {
            giveUp()
            throw error
        }

        guard finished.code == 0 else {
            value.discard()
            giveUp()
            finished.output.passOnRest()
            return finished.code
        }
        // Published first: those who wait are not to wait for our reader.
        var failure = finished.output.failure
        if failure == nil {
            do throws(StoreError) {
                _ = try value.publish()
            } catch {
                failure = error
            }
        }
        if let failure, failure.code != .unknownOutcome, failure.code != .claimLost { giveUp() }
        finished.output.passOnRest()
        if let failure { throw Failure(failure) }
        if let failure = finished.output.writeFailure { throw failure }
        return ExitCode.yes.rawValue
    }

    private func giveUp() {
        // Where this fails the claim is stale in a moment: this process ends.
        _ = try? store.session.abandon(key, by: .generation(generation))
    }

    /// What COMMAND sees: which store, key and claim it works for.
    private func variables() throws(Failure) -> [[UInt8]] {
        let held = InheritedLocks.adding(
            claimOf: try sessionID(), to: invocation.environment.setting("FLOCK_CACHE_HELD"))
        return try invocation.variables([
            ("FLOCK_CACHE_KEY", key.bytes),
            ("FLOCK_CACHE_GENERATION", Array(String(generation).utf8)),
            ("FLOCK_CACHE_HELD", held),
        ])
    }

    private func sessionID() throws(Failure) -> UInt64 {
        try failing { () throws(StoreError) in try store.session.id() }
    }
}
