internal import FlockCache
internal import SystemCalls

extension Option {
    fileprivate static let shared = Option(
        name: "shared", short: "s", help: "share the locks with others who ask for them shared")
    fileprivate static let slots = Option(
        name: "slots", value: .count,
        help: "up to N holders of one KEY; COMMAND sees FLOCK_CACHE_SLOT, 0 to N-1")
    fileprivate static let inPlace = Option(
        name: "no-fork", short: "F",
        help: "execute COMMAND in place of flock-cache: the locks live as long as it")
    fileprivate static let lockWait = Option(
        name: "wait", short: "w", value: .wait, help: "wait at most D for the locks")
}

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
    let notice = WaitNotice(invocation, keys[0], limit: wait?.limit)
    let outcome = try failing { () throws(StoreError) in
        try store.session.lock(keys, mode, waiting: wait.map { $0.limit } ?? .zero) { attempt in
            notice.look(attempt)
        }
    }
    switch consume outcome {
    case .busy(let key, let holder):
        let name = (key ?? keys[0]).description
        let failure = Failure.busy(
            holder.map { "\(name) is locked by \($0)" } ?? "\(name) is locked by somebody else",
            afterWait: wait != nil)
        return try invocation.conflict(failure)
    case .held(let lock): return try run(invocation, store, lock)
    }
}

private func lockMode(
    _ invocation: Invocation, _ keys: [Store.Key]
) throws(Failure) -> HeldLock.Mode {
    guard let slots = invocation.number(.slots) else {
        return invocation.has(.shared) ? .shared : .exclusive
    }
    if invocation.has(.shared) { throw .usage("--shared and --slots exclude each other") }
    if keys.count > 1 { throw .usage("--slots takes one KEY, not \(keys.count)") }
    guard let count = Int(exactly: slots), 1...LockName.mostSlots ~= count else {
        throw .usage("--slots takes 1 to \(LockName.mostSlots), not \(slots)")
    }
    return .slots(count)
}

/// Runs COMMAND under the locks.
private func run(
    _ invocation: Invocation, _ store: Store, _ lock: consuming HeldLock
) throws(Failure) -> Int32 {
    let text = invocation.environment.setting("FLOCK_CACHE_HELD")
    let held = try failing { () throws(StoreError) in
        try InheritedLocks.adding(lock, of: store.session, to: text)
    }
    var own: [(name: String, value: [UInt8]?)] = [
        ("FLOCK_CACHE_KEY", lock.keys.first?.bytes), ("FLOCK_CACHE_HELD", held),
        // An outer command's are not of these locks.
        ("FLOCK_CACHE_GENERATION", nil), ("FLOCK_CACHE_SLOT", nil),
    ]
    if let slot = lock.slot { own[3].value = Array(String(slot).utf8) }
    let variables = try invocation.variables(own)
    for process in lock.killedHolders { CommandRun.waitForEnd(of: process) }
    lock.note(command: programName(invocation.command[0]))
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

/// The last part of a program's path.
func programName(_ path: [UInt8]) -> [UInt8] {
    Array(path.suffix(from: path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0))
}
