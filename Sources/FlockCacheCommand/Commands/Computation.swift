internal import FlockCache
internal import SystemCalls

/// COMMAND run for a claim that was won.
struct Computation {
    let invocation: Invocation
    let store: Store
    let key: Store.Key
    let generation: Store.Generation
    /// Renews the claim; nil where no time ends it.
    private let keeper: ClaimKeeper?
    /// Ends COMMAND when this session's lock is lost, and with it the claim.
    private let protection: Protection

    init(
        _ invocation: Invocation, _ store: Store, _ key: Store.Key, _ generation: Store.Generation,
        staleAfter: Duration?
    ) {
        keeper = staleAfter.map { ClaimKeeper(store, key, generation, $0) }
        protection = Protection(
            store.session.upkeep(of: key), killAfter: invocation.killAfter)
        self.invocation = invocation
        self.store = store
        self.key = key
        self.generation = generation
    }

    func run() throws(Failure) -> Int32 {
        let signals = try orGivingUp { () throws(Failure) in try CommandRun.catchSignals() }
        let value = try orGivingUp { () throws(Failure) in
            try failing { () throws(StoreError) in
                try ValueWriter(for: key, by: .generation(generation), in: store.session)
            }
        }
        var finished = try orGivingUp { () throws(Failure) in
            try CommandRun(
                invocation.request(try variables()), before: protection.deadline, signals: signals,
                to: invocation.environment.output, keepingIn: value
            ) { [keeper, protection] relay in
                [keeper?.look(), protection.look(relay)].compactMap { $0 }.min()
            }
        }
        // COMMAND's end may have been seen before the loss, as after a stop.
        protection.finish(again: false)
        if let loss = protection.loss { throw lost(loss, value) }
        return finished.ending == .exit(0)
            ? try succeed(&finished, value, signals) : try fail(&finished, value, signals)
    }

    /// COMMAND was ended, because the claim may be another process's by now.
    private func lost(_ loss: String, _ value: ValueWriter) -> Failure {
        if protection.isStuck || keeper?.isTrying == true {
            value.leave()
            store.session.leave()
        } else {
            value.discard()
            giveUp()
        }
        return Failure(.lost, loss)
    }

    /// Where the closure fails, the claim is given up.
    private func orGivingUp<R: ~Copyable>(
        _ body: () throws(Failure) -> R
    ) throws(Failure) -> R {
        do throws(Failure) {
            return try body()
        } catch {
            giveUp()
            throw error
        }
    }

    /// COMMAND exited with 0: publishes its output when that is complete.
    private func succeed(
        _ finished: inout CommandRun, _ value: ValueWriter, _ signals: borrowing CaughtSignals
    ) throws(Failure) -> Int32 {
        let end: OutputEnd
        do throws(Failure) {
            // A signal came for COMMAND, or too late for it: nothing is waited for.
            let limit = finished.endingSignal == nil ? outputWait : .zero
            end = try waitForOutput(of: &finished, upTo: limit, signals)
        } catch {
            value.discard()
            giveUp()
            throw error
        }
        switch end {
        case .complete: return try publish(&finished, value)
        case .held(let writers):
            value.discard()
            giveUp()
            if let signal = finished.endingSignal { return interrupted(by: signal) }
            finished.output.passOnRest()
            // What could not be kept would not have been published anyway.
            if let failure = finished.output.failure { throw Failure(failure) }
            throw Failure(.ownFailure, incomplete(writers))
        case .interrupted(let signal):
            value.discard()
            giveUp()
            return interrupted(by: signal)
        }
    }

    private func publish(
        _ finished: inout CommandRun, _ value: ValueWriter
    ) throws(Failure) -> Int32 {
        // Published first: waiting processes are not to wait for our reader.
        var failure = finished.output.failure
        if failure == nil {
            do throws(StoreError) {
                let finalized = try value.publish()
                if finalized.differs { words.say(Phrases.keptValue(of: key, finalized.generation)) }
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

    /// COMMAND failed: its claim is given up at once, and its output is passed on to the end, as
    /// `$(…)` does.
    ///
    /// Not beyond what is there where a signal has ended COMMAND, or came for it: a child that it
    /// leaves behind then often sleeps on, and nothing more is to be expected of it.
    private func fail(
        _ finished: inout CommandRun, _ value: ValueWriter, _ signals: borrowing CaughtSignals
    ) throws(Failure) -> Int32 {
        value.discard()
        giveUp()
        let isEnded = finished.ending.code > 128 || finished.endingSignal != nil
        let end = try waitForOutput(
            of: &finished, upTo: isEnded ? .zero : outputWait, signals)
        switch end {
        case .complete: break
        case .held(let writers):
            if !isEnded {
                words.say(
                    "COMMAND failed; more of its output may follow, because "
                        + "\(writers.description) still holds it open")
            }
        case .interrupted(let signal): return interrupted(by: signal)
        }
        finished.output.passOnRest()
        return invocation.end(as: finished.ending)
    }

    private func waitForOutput(
        of finished: inout CommandRun, upTo limit: Duration?, _ signals: borrowing CaughtSignals
    ) throws(Failure) -> OutputEnd {
        let patience = WaitNotice.patience(invocation.environment)
        let say = { (writers: PipeWriters) in
            words.say(
                "waiting for the end of COMMAND's output: \(writers.description) holds it open; "
                    + (limit.map { "giving up in \(($0 - patience).spoken)" } ?? "without end"))
        }
        return try CommandRun.own { () throws(Errno) in
            try finished.waitForOutput(
                upTo: limit, signals, overdue: (patience, say)
            ) { keeper?.look() }
        }
    }

    private func incomplete(_ writers: PipeWriters) -> String {
        let after = outputWait.map { $0 == .zero ? "after" : "\($0.spoken) after" } ?? "after"
        return "cannot publish '\(key)': \(writers.description) still holds COMMAND's output open "
            + "\(after) COMMAND's end, so the value may be incomplete; let COMMAND wait for it, or "
            + "redirect its output (>/dev/null), or allow more time with --output-wait"
    }

    private func interrupted(by signal: Int32) -> Int32 {
        invocation.end(as: .signal(signal))
    }

    /// How long a process that COMMAND left behind may hold its output; nil is without end.
    private var outputWait: Duration? {
        (invocation.wait(.outputWait) ?? OptionDefault.outputWait).limit
    }

    private var words: Words { invocation.words }

    private func giveUp() {
        // Where this fails the claim is stale in a moment: this process ends.
        _ = try? store.session.abandon(key, by: .generation(generation))
    }

    /// What COMMAND sees: which store, key and claim it works for.
    private func variables() throws(Failure) -> [[UInt8]] {
        let held = try failing { () throws(StoreError) in
            try Inherited.adding(
                claimOf: key, generation, in: store.session,
                to: invocation.environment.setting(.held))
        }
        return try invocation.variables([
            (.key, key.bytes),
            (.generation, Array(String(generation).utf8)),
            (.held, held),
        ])
    }
}

extension Session {
    /// Asks the server, where one may take back the lock by which this session shows that it lives.
    fileprivate func upkeep(of key: Store.Key) -> Upkeep? {
        serverLease.map { lease in
            Upkeep(
                for: lease, until: BootTime.now.advanced(by: lease),
                overdue: "cannot keep the claim of '\(key)': the server may have taken it back"
            ) {
                Upkeep.Outcome { () throws(StoreError) in try self.ask() }
            }
        }
    }
}
