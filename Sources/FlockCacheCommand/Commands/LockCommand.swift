internal import FlockCache
internal import SystemCalls

extension Verb {
    static let lock = Verb(
        name: "lock", summary: "Run a command while holding locks.",
        operands: ["KEY…"],
        options: [.shared, .lockWait, .noWait, .conflictCode, .slots, .inPlace],
        detail: """
            Takes the locks of all the KEYs, in any order and without deadlock, runs COMMAND, releases
            them when it has ended, and ends as it did: with its exit code, or 128 and its signal.
            Signals that end a program are passed on to COMMAND. If this process is killed, the locks
            are free at once and COMMAND is killed too. Its own children are not: use -F where the
            locks must live as long as any of them.
            Exit 124 when the wait ended (after 300 s, what FLOCK_CACHE_WAIT says, or -w), 75 with -n;
            76 when a lock was lost while COMMAND ran because its file was removed;
            126 and 127 when COMMAND cannot be run; 125 for failures of its own, among them a wait
            for a key that is not above all those that this is already run under, which could never
            end. The order of keys is that of their bytes.
            """,
        example: "flock-cache lock -w 30s deploy database -- ./deploy.sh",
        runCommand: runLock)
}

@Sendable private func runLock(_ invocation: Invocation) throws(Failure) -> Int32 {
    let keys = invocation.operands.map { Store.Key($0) }
    let mode = try lockMode(invocation, keys)
    let store = try invocation.openStore()
    let wait = try invocation.waitByDefault()
    let notice = WaitNotice(invocation, keys[0], wait)
    let outcome = try failing { () throws(StoreError) in
        try store.session.lock(keys, mode, waiting: wait.limit) { attempt in
            notice.look(attempt)
        }
    }
    switch consume outcome {
    case .busy(let key, let holder):
        return try invocation.conflict(
            Failure(wait.end, Phrases.locked(key ?? keys[0], holder), isBusy: true))
    case .held(let lock): return try run(invocation, store, lock)
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

/// Runs COMMAND under the locks.
private func run(
    _ invocation: Invocation, _ store: Store, _ lock: consuming HeldLock
) throws(Failure) -> Int32 {
    let text = invocation.environment.setting(.held)
    let held = try failing { () throws(StoreError) in
        try InheritedLocks.adding(lock, of: store.session, to: text)
    }
    let variables = try invocation.variables([
        (.key, lock.keys.first?.bytes), (.held, held),
        // An outer command's are not of these locks.
        (.generation, nil), (.slot, lock.slot.map { Array(String($0).utf8) }),
    ])
    for process in lock.killedHolders { CommandRun.waitForEnd(of: process) }
    lock.note(command: CommandRun.programName(invocation.command[0]))
    if invocation.has(.inPlace) {
        try failing { () throws(StoreError) in
            try lock.keepThroughExecution()
            try store.session.keepThroughExecution()
        }
        throw CommandRun.failure(
            of: invocation.command,
            Process.execute(invocation.command, variables: variables))
    }
    let code = try CommandRun.run(invocation.command, variables: variables)
    try failing { () throws(StoreError) in try lock.checkKept() }
    lock.release()
    return code
}
