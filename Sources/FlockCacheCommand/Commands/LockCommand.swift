internal import FlockCache
internal import SystemCalls

extension Verb {
    static let lock = Verb(
        name: "lock", group: .locks, summary: "Run a command while holding locks.",
        operands: ["KEY…"],
        options: [
            .shared, .lockWait, .noWait, .conflictCode, .slots, .reentrant, .inPlace,
            .killAfter, .dieWithParent, .encoded,
        ],
        detail: """
            Acquires the locks of all KEYs, in any order and without deadlock, runs COMMAND, releases them when COMMAND has exited, and exits as COMMAND did. Locks are exclusive unless -s is given; waiters are served in order of arrival. They wait 300s unless -n, -w or FLOCK_CACHE_WAIT says otherwise. The keys of locks and the keys of values are independent.

            TERM, INT, HUP, QUIT, USR1, USR2 and WINCH are forwarded to COMMAND. If flock-cache is killed, the locks are free at once and COMMAND is killed.

            COMMAND does not inherit the locks: processes that it leaves in the background do not keep them. With -F, COMMAND is executed in place of flock-cache, and the locks are held until it has exited.

            On NFS, a host that is out of contact for longer than the lease time of the NFS server loses its locks; COMMAND then gets TERM, and KILL after --kill-after. With -F that is not noticed.

            Inside COMMAND, lock only keys that sort after those already held. Any other key could deadlock, and is refused (125), free or not; with -n it is allowed.

            In a crontab, a run with -n -E 0 that finds the previous one still going ends silently with 0; a job that hangs is then never reported, so limit it with timeout(1). Cron mails whatever a job prints; the last example mails failures only.
            """,
        exits: """
            N COMMAND's exit code, or the signal that ended it
            75 busy, with -n
            76 lost: a lock file was removed while COMMAND ran, or the server took the locks back
            124 timed out
            125 flock-cache itself failed
            126 COMMAND cannot be executed
            127 COMMAND was not found
            """,
        example: """
            flock-cache lock -w 30s deploy database -- ./deploy.sh
            flock-cache lock --slots 2 gpu -- sh -c './train --gpu $FLOCK_CACHE_SLOT'
            out=$(flock-cache lock -n -E 0 backup -- backup 2>&1) || echo "code $?: $out"
            """,
        runCommand: runLock)
}

@Sendable private func runLock(_ invocation: Invocation) throws(Failure) -> Int32 {
    let keys = invocation.operands.map { Store.Key($0) }
    let mode = try lockMode(invocation, keys)
    try invocation.endWithParentIfAsked()
    let store = try invocation.openStore()
    let inherited = try inheritedLocks(invocation, keys, mode, in: store)
    let others = keys.filter { key in !inherited.contains { $0.key == key } }
    if others.isEmpty { return try run(invocation, store, nil, inherited, mode) }
    let wait = try invocation.waitByDefault()
    let notice = WaitNotice(
        invocation, others[0], wait, in: store, refusing: .circles(of: .lock))
    let outcome = try failing { () throws(StoreError) in
        try lock(others, mode, in: store, upTo: wait.limit, notice)
    }
    switch consume outcome {
    case .busy(let key, let holder):
        let key = key ?? others[0]
        let subject: Phrases.Subject =
            if case .slots(let count) = mode { .slots(key, count) } else { .lock(key) }
        return try invocation.busy(
            subject, holder, wait)
    case .held(let lock):
        notice.tellEnd()
        return try run(invocation, store, lock, inherited, mode)
    }
}

/// How long a lock may outlive a COMMAND that was executed in place of `lock -F`, until its guardian has run.
private let guardianPatience = Duration.milliseconds(100)

private func lock(
    _ keys: [Store.Key], _ mode: HeldLock.Mode, in store: Store, upTo limit: Duration?,
    _ notice: WaitNotice
) throws(StoreError) -> LockOutcome {
    let end = BootTime.now.advanced(by: guardianPatience)
    while true {
        let outcome = try store.session.lock(
            keys, mode, waiting: limit, whileWaiting: notice.look)
        switch consume outcome {
        case .held(let lock): return .held(lock)
        case .busy(let key, let holder):
            // A holder that has ended is no answer to "is it held?", unless it stays so.
            guard limit == .zero, holder == nil, BootTime.now < end,
                try store.session.hasHolderEnded(of: key ?? keys[0])
            else { return .busy(key, holder) }
            sleep(nanoseconds: 1_000_000)
        }
    }
}

/// With `--reentrant`, those of the locks that an ancestor holds.
private func inheritedLocks(
    _ invocation: Invocation, _ keys: [Store.Key], _ mode: HeldLock.Mode, in store: Store
) throws(Failure) -> [InheritedLock] {
    guard invocation.has(.reentrant), let held = invocation.environment.setting(.held) else {
        return []
    }
    return try failing { () throws(StoreError) in
        try store.session.inheritedLocks(of: keys, mode, under: held)
    }
}

private func lockMode(
    _ invocation: Invocation, _ keys: [Store.Key]
) throws(Failure) -> HeldLock.Mode {
    guard let slots = invocation.count(.slots) else {
        return invocation.has(.shared) ? .shared : .exclusive
    }
    if invocation.has(.shared) { throw .usage("--shared and --slots exclude each other") }
    if keys.count > 1 { throw .usage("--slots takes one KEY, not \(keys.count)") }
    return .slots(try invocation.possibleSlots(slots))
}

/// Runs COMMAND under the locks: those that were taken, and those that an ancestor holds.
private func run(
    _ invocation: Invocation, _ store: Store, _ lock: consuming HeldLock?,
    _ inherited: [InheritedLock], _ mode: HeldLock.Mode
) throws(Failure) -> Int32 {
    let variables = try variables(invocation, store, lock, inherited)
    try failing { () throws(StoreError) in try lock?.prepare(for: invocation.command) }
    if invocation.has(.inPlace) { throw executeInPlace(invocation, store, lock, variables) }
    let protection = Protection(lock?.upkeep, killAfter: invocation.killAfter)
    let ending = try CommandRun.run(invocation.request(variables), before: protection.deadline) {
        protection.look($0)
    }
    protection.finish(again: true)
    if let loss = protection.loss {
        if protection.isStuck {
            lock?.leave()
            store.session.leave()
        }
        throw Failure(.lost, loss)
    }
    try failing { () throws(StoreError) in try lock?.checkKept() }
    lock?.release()
    let kept = try inheritedLocks(invocation, inherited.map(\.key), mode, in: store)
    if let lost = inherited.first(where: { lock in !kept.contains { $0.key == lock.key } }) {
        throw Failure(
            .lost,
            "the lock '\(lost.key)' was released by the command that held it before COMMAND ended, and another "
                + "process may have held it at the same time; let that command wait for this one")
    }
    return invocation.end(as: ending)
}

private func variables(
    _ invocation: Invocation, _ store: Store, _ lock: borrowing HeldLock?,
    _ inherited: [InheritedLock]
) throws(Failure) -> [[UInt8]] {
    var held = invocation.environment.setting(.held)
    var keys = inherited.map(\.key)
    var slot = inherited.first?.slot
    switch lock {
    case .some(let lock):
        held = try failing { () throws(StoreError) in
            try InheritedLocks.adding(lock, of: store.session, to: held)
        }
        keys += lock.keys
        slot = lock.slot
    case .none: break
    }
    let first = keys.min { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    return try invocation.variables([
        (.key, first?.bytes), (.held, held),
        // An outer command's are not of these locks.
        (.generation, nil), (.slot, slot.map { Array(String($0).utf8) }),
    ])
}

extension HeldLock {
    /// Asks the server, where one may take the locks of this machine back.
    fileprivate var upkeep: Upkeep? {
        let (asking, keys) = (asking, keys)
        return asking.serverLease.map { lease in
            Upkeep(
                for: lease, until: BootTime.now.advanced(by: lease),
                overdue: "cannot keep the lock '\(keys[0])': the server may have taken it back"
            ) {
                Upkeep.Outcome { () throws(StoreError) in try asking.ask() }
            }
        }
    }

    /// Waits for the COMMANDs of killed holders, and notes this one.
    fileprivate func prepare(for command: [[UInt8]]) throws(StoreError) {
        for process in killedHolders { CommandRun.waitForEnd(of: process) }
        note(command: CommandRun.programName(command[0]))
        // While that waited for a server it may have given the lock to another machine.
        if asking.serverLease != nil { try asking.ask() }
    }
}

/// Executes COMMAND in place of this process; returns why it could not.
private func executeInPlace(
    _ invocation: Invocation, _ store: Store, _ lock: borrowing HeldLock?, _ variables: [[UInt8]]
) -> Failure {
    do throws(Failure) {
        switch lock {
        case .some(let lock):
            try failing { () throws(StoreError) in
                try lock.keepThroughExecution()
                try store.session.keepThroughExecution()
            }
            // COMMAND may close what it inherits, and would give the locks up.
            try CommandRun.own { () throws(Errno) in try Process.startGuardian() }
        case .none: break
        }
        if invocation.has(.dieWithParent) {
            try CommandRun.own { () throws(Errno) in try Process.endWithParentInPlace() }
        }
    } catch {
        return error
    }
    return CommandRun.failure(
        of: invocation.command, Process.execute(invocation.command, variables: variables))
}
