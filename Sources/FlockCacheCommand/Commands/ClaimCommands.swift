internal import FlockCache
internal import SystemCalls

extension Option {
    fileprivate static let staleAfter = Option(
        name: "stale-after", value: .duration,
        help: "the claim may be taken over after D although its owner lives")
    fileprivate static let file = Option(
        name: "file", value: .path, help: "the value is the content of PATH; - is standard input")
}

extension Verb {
    static let claim = Verb(
        name: "claim", summary: "Win a key, or get its value, or learn who is at it.",
        operands: ["KEY"],
        options: [.wait, .noWait, .maxAge, .staleAfter, .owner],
        detail: """
            Won: prints the claim's generation, exit 0; produce the value, then finalize.
            Ready: prints the value, exit 1. Somebody else is at it: exit 75.
            With -w it waits for that to end first; exit 124 when the wait ends before.
            The claim belongs to the calling program, and may be taken over when that ends.
            """,
        example: """
            rc=0; out=$(flock-cache claim -- "$hash") || rc=$?
            """,
        run: runClaim)

    static let finalize = Verb(
        name: "finalize", summary: "Publish the value of a claimed key.",
        operands: ["KEY", "[VALUE]"],
        options: [.generation, .file, .owner],
        detail: """
            Exit 0 when it is published, also when it already was from this claim.
            Exit 76 when the claim is not yours (any more): nothing has changed.
            Without --generation it must belong to the calling program, or to nobody.
            """,
        example: """
            flock-cache finalize --generation "$out" -- "$hash" "$id"
            """,
        run: runFinalize)

    static let abandon = Verb(
        name: "abandon", summary: "Give a claim up.",
        operands: ["KEY"], options: [.generation, .owner],
        detail: """
            Exit 0, also when there is nothing of yours to give up. A value is never touched.
            Exit 76 when --generation is given and the claim has another.
            """,
        example: """
            flock-cache abandon --generation "$out" -- "$hash"
            """,
        run: runAbandon)
}

@Sendable private func runClaim(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let words = Words(invocation)
    let owner = try claimOwner(invocation, words)
    let wait = invocation.wait(.wait, none: .noWait)
    let notice = WaitNotice(invocation, key, limit: wait?.limit, owner: owner)
    let (maxAge, staleAfter) = (invocation.duration(.maxAge), invocation.duration(.staleAfter))
    let outcome = try failing { () throws(StoreError) in
        guard invocation.has(.wait) || invocation.has(.noWait) else {
            return try store.session.claim(
                key, for: owner, maxAge: maxAge, staleAfter: staleAfter)
        }
        return try store.session.claim(
            key, for: owner, maxAge: maxAge, staleAfter: staleAfter,
            waiting: wait.map { $0.limit } ?? .zero, whilePending: notice.look)
    }
    switch outcome {
    case .won(let generation, let former):
        if let former { words.say("took \(key) over from \(former)") }
        do throws(Failure) {
            try reportWin(generation, of: key, former, invocation)
        } catch {
            // Nobody learnt of the win, so nobody would ever finalize it.
            let isGivenUp = (try? store.session.abandon(key, by: .generation(generation))) != nil
            let fate =
                isGivenUp
                ? "the claim was given up"
                : "the claim could not be given up: abandon --generation \(generation)"
            throw Failure(error.code, error.message + "; " + fate)
        }
        return .yes
    case .ready(let ready):
        try toWhoeverReads { () throws(Failure) in try report(ready, of: key, invocation) }
        return .no
    case .pending(let holder):
        words.say("\(key) is being done by \(holder)")
        if words.isJSON {
            try toWhoeverReads { () throws(Failure) in
                try reportPending(holder, of: key, invocation)
            }
        }
        return wait == nil ? .notNow : .timedOut
    }
}

/// A reader that has had enough ends other commands with 0.
///
/// Of a claim that would say "won".
private func toWhoeverReads(_ report: () throws(Failure) -> Void) throws(Failure) {
    do throws(Failure) {
        try report()
    } catch {
        guard error.isClosedPipe else { throw error }
    }
}

private func reportPending(
    _ holder: Holder, of key: Store.Key, _ invocation: Invocation
) throws(Failure) {
    var results = Results(invocation.environment)
    let members: [JSON.Member] = [
        .init("state", .text("pending")), .init("key", .text(key.description)),
        .init("holder", JSON.holder(holder)),
    ]
    try results.line(JSON.line(members))
    try results.flush()
}

private func reportWin(
    _ generation: Store.Generation, of key: Store.Key, _ former: Holder?, _ invocation: Invocation
) throws(Failure) {
    var results = Results(invocation.environment)
    if invocation.has(.json) {
        var members: [JSON.Member] = [
            .init("state", .text("won")), .init("key", .text(key.description)),
            .init("generation", .generation(generation)),
        ]
        if let former { members.append(JSON.Member("taken-over-from", JSON.holder(former))) }
        try results.line(JSON.line(members))
    } else {
        try results.line(String(generation))
    }
    try results.flush()
}

/// Prints a value: raw, or as a JSON object.
func report(_ ready: ReadyFile, of key: Store.Key, _ invocation: Invocation) throws(Failure) {
    var results = Results(invocation.environment)
    guard invocation.has(.json) else {
        try results.value(ready)
        return
    }
    let head = JSON.line([
        .init("state", .text("ready")), .init("key", .text(key.description)),
        .init("generation", .generation(ready.generation)), .init("age", .seconds(ready.age)),
    ])
    try results.bytes(head.utf8.dropLast())
    try results.bytes(",".utf8)
    try JSONValue(ready: ready).write(to: &results)
    try results.line("}")
    try results.flush()
}

@Sendable private func runFinalize(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let right = try claimRight(invocation)
    let finalized: Finalized
    switch (invocation.operands.count, invocation.raw(.file)) {
    case (2, nil):
        let value = invocation.operands[1]
        finalized = try failing { () throws(StoreError) in
            try value.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try store.session.finalize(key, by: right, .bytes(bytes))
            }
        }
    case (1, let path?):
        finalized = try finalize(key, by: right, fromFile: path, in: store, invocation)
    case (1, nil): throw .usage("finalize needs a VALUE, or --file PATH")
    default: throw .usage("finalize takes a VALUE or --file PATH, not both")
    }
    if finalized.differs { Words(invocation).say(keptValue(of: key, finalized.generation)) }
    if invocation.has(.json) {
        var results = Results(invocation.environment)
        let members: [JSON.Member] = [
            .init("state", .text("ready")), .init("key", .text(key.description)),
            .init("generation", .generation(finalized.generation)),
        ]
        try results.line(JSON.line(members))
        try results.flush()
    }
    return .yes
}

/// Where the same claim has published another value before.
func keptValue(of key: Store.Key, _ generation: Store.Generation) -> String {
    "'\(key)' is ready already, with another value from the same claim (generation \(generation)); "
        + "that value stays"
}

private func finalize(
    _ key: Store.Key, by right: ClaimRight, fromFile path: [UInt8], in store: Store,
    _ invocation: Invocation
) throws(Failure) -> Finalized {
    if path.elementsEqual("-".utf8) {
        return try failing { () throws(StoreError) in
            try store.session.finalize(
                key, by: right, .descriptor(invocation.environment.input, "standard input"))
        }
    }
    let place = String(decoding: path, as: UTF8.self)
    return try failing { () throws(StoreError) in
        let open = { () throws(StoreError) -> File in
            do throws(Errno) {
                return try openValue(path, Words(invocation), invocation.environment)
            } catch {
                throw .unreadableValue(error, key, place)
            }
        }
        let file = try open()
        return try store.session.finalize(key, by: right, .descriptor(file.number, place))
    }
}

/// Opens a file with a value; of a FIFO it waits for the writer, and says so.
private func openValue(
    _ path: [UInt8], _ words: Words, _ environment: Environment
) throws(Errno) -> File {
    guard !path.contains(0) else { throw .noEntry }
    let file: File
    do throws(Errno) {
        file = try File.openInput(path: FileName(path))
    } catch {
        // Another process has a lease on the file (`fcntl(2)`), and is to give it up first.
        guard error == .wouldBlock else { throw error }
        return try File.open(path: FileName(path))
    }
    if try file.status().isFIFO {
        // Until it has a writer, reading it would be taken for its end.
        let ready = try waitForAny(
            [(file.number, false)], upTo: WaitNotice.patience(environment))
        if !ready[0] {
            words.say("waiting for a writer of \(shown(path)), which is a FIFO")
            _ = try waitForAny([(file.number, false)])
        }
    }
    return file
}

@Sendable private func runAbandon(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let right = try claimRight(invocation)
    let wasGivenUp = try failing { () throws(StoreError) in
        try store.session.abandon(key, by: right)
    }
    if Words(invocation).isVerbose && !wasGivenUp {
        Words(invocation).say("there was no claim of yours on \(key) to give up")
    }
    return .yes
}

// MARK: Whose claim it is

private func claimOwner(_ invocation: Invocation, _ words: Words) throws(Failure) -> ClaimOwner {
    guard let program = try owner(invocation) else {
        guard invocation.has(.staleAfter) else {
            throw .usage("--owner none needs --stale-after: nothing else would ever end the claim")
        }
        return .nobody
    }
    if words.isVerbose {
        words.say("the claim is for pid \(program.identity.id) (\(shown(program.command)))")
    }
    return .process(program.identity, command: program.command)
}

private func claimRight(_ invocation: Invocation) throws(Failure) -> ClaimRight {
    if let generation = invocation.number(.generation) { return .generation(generation) }
    return .owner(try owner(invocation)?.identities ?? [])
}

/// The owner as named, else the calling program; nil is nobody.
private func owner(_ invocation: Invocation) throws(Failure) -> CallingProgram? {
    guard let text = invocation.raw(.owner) ?? invocation.environment.setting("FLOCK_CACHE_OWNER")
    else { return try CallingProgram.find() }
    if text.elementsEqual("none".utf8) { return nil }
    guard let process = UInt64(argument: text) else {
        throw Failure(.configuration, "FLOCK_CACHE_OWNER is no process number: \(shown(text))")
    }
    return try CallingProgram.named(process)
}
