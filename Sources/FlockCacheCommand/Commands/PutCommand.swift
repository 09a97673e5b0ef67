internal import FlockCache

extension Verb {
    static let put = Verb(
        name: "put", group: .values, summary: "Set the value of a key, without a claim.",
        operands: ["[KEY]", "[VALUE]"],
        options: [.ifGeneration, .ifAbsent, .file, .nulPairs, .encoded],
        detail: """
            Replaces the value atomically: readers see the old value or the new one. Prints the new generation (fencing token). If the precondition does not hold, nothing changes, and the current generation is printed, if there is one.

            With --null it reads many pairs from standard input, or from --file: KEY NUL VALUE NUL and so on. For each a line is printed: ready, unchanged or pending, KEY and GENERATION, separated by tabs. The exit status is 75 if one was pending, else 1 if one was unchanged.
            """,
        exits: """
            0 set: the new generation is printed
            1 the precondition is not met
            75 pending: the value is being computed; nothing changed
            """,
        example: """
            flock-cache put config '{"level":3}'
            flock-cache put --if-generation "$g" -- "$key" "$new" || echo "changed"
            """,
        run: runPut)
}

@Sendable private func runPut(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    if invocation.has(.nulPairs) { return try invocation.putMany(in: store) }
    guard !invocation.operands.isEmpty else {
        throw .usage("put needs KEY; see flock-cache help put")
    }
    let key = invocation.key()
    switch try put(key, try invocation.precondition(), in: store, invocation) {
    case .set(let generation):
        try telling("the value was set all the same, with generation \(generation)") {
            () throws(Failure) in
            try invocation.report("ready", generation, of: key)
        }
        return .yes
    case .unmet(let generation):
        try ignoringClosedPipe { () throws(Failure) in
            try invocation.report("unchanged", generation, of: key)
        }
        return .no
    case .pending(let holder):
        try invocation.reportPending(key, holder, Phrases.notChanged(key, holder))
        return .notNow
    }
}

private func put(
    _ key: Store.Key, _ precondition: Store.Precondition, in store: Store,
    _ invocation: Invocation
) throws(Failure) -> PutOutcome {
    try invocation.withValue(of: key) { (source) throws(StoreError) in
        try unsafe store.session.put(key, source, if: precondition)
    }
}

extension Invocation {
    fileprivate func precondition() throws(Failure) -> Store.Precondition {
        switch (number(.ifGeneration), has(.ifAbsent)) {
        case (nil, false): return .none
        case (nil, true): return .absent
        case (let generation?, false): return .generation(generation)
        case (_?, true): throw .usage("put takes --if-generation or --if-absent, not both")
        }
    }

    /// Prints a generation, if there is one.
    fileprivate func report(
        _ state: String, _ generation: Store.Generation?, of key: Store.Key
    ) throws(Failure) {
        if has(.json) {
            let members: [JSON.Member] =
                generation.map { [.init("generation", .generation($0))] } ?? []
            try print(JSON.members(state, key, members))
        } else if let generation {
            try print(String(generation))
        }
    }

    /// Says who is producing a value.
    func reportPending(
        _ key: Store.Key, _ holder: Holder, _ phrase: String? = nil
    ) throws(Failure) {
        guard has(.json) else {
            return words.say(phrase ?? Phrases.pending(key, holder))
        }
        try ignoringClosedPipe { () throws(Failure) in
            try print(JSON.members("pending", key, [.init("holder", JSON.holder(holder))]))
        }
    }
}
