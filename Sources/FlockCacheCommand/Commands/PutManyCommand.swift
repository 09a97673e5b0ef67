internal import FlockCache
internal import SystemCalls

// `put --null`: many values by one process. Each is set as `put KEY VALUE` sets it, in the order of the input; killed,
// it leaves those set that it had come to, each whole.

extension Invocation {
    /// Sets what the input names, and prints a line for each.
    func putMany(in store: Store) throws(Failure) -> ExitCode {
        guard operands.isEmpty else {
            throw .usage("put --null reads KEYs and VALUEs, and takes none as arguments")
        }
        guard number(.ifGeneration) == nil else {
            throw .usage("put --null sets many values, and --if-generation is of one")
        }
        let input = try RecordInput(text(.file), self)
        var pairs = Pairs()
        var puts = Puts(store, has(.ifAbsent) ? .absent : .none, self)
        do throws(Failure) {
            try input.forEachPiece { (bytes) throws(Failure) in
                try pairs.take(bytes) { (key, value) throws(Failure) in
                    try puts.put(Store.Key(key), value)
                }
                // Whoever feeds this through a pipe may wait for the answer.
                try puts.flush()
            }
            try pairs.finish()
        } catch {
            // What was set so far was set.
            if !error.isClosedPipe { try puts.flush() }
            throw Failure(error.code, error.message + "; values set: \(puts.count)")
        }
        return puts.code
    }
}

/// Values on their way into a store.
private struct Puts {
    private let store: Store
    private let precondition: Store.Precondition
    private let invocation: Invocation
    private var results: Results
    private(set) var count = 0
    /// What they come to together: 75 where one was pending, else 1 where one was there already.
    private(set) var code = ExitCode.yes

    init(_ store: Store, _ precondition: Store.Precondition, _ invocation: Invocation) {
        self.store = store
        self.precondition = precondition
        self.invocation = invocation
        results = invocation.results
    }

    mutating func put(_ key: Store.Key, _ value: [UInt8]) throws(Failure) {
        let outcome = try failing { () throws(StoreError) in
            try value.span.withUnsafeBytes { (bytes) throws(StoreError) in
                try unsafe store.session.put(key, .bytes(bytes), if: precondition)
            }
        }
        Process.unblockTermination()
        switch outcome {
        case .set(let generation):
            count += 1
            try tell("ready", key, generation)
        case .unmet(let generation):
            if code == .yes { code = .no }
            try tell("unchanged", key, generation)
        case .pending(let holder):
            code = .notNow
            invocation.words.say(Phrases.pending(key, holder))
            try tell("pending", key, nil, holder)
        }
    }

    mutating func flush() throws(Failure) { try results.flush() }

    private mutating func tell(
        _ state: String, _ key: Store.Key, _ generation: Store.Generation?, _ holder: Holder? = nil
    ) throws(Failure) {
        guard invocation.has(.json) else {
            let generation = generation.map { String($0) } ?? ""
            return try results.line("\(state)\t\(key)\t\(generation)")
        }
        var members: [JSON.Member] = []
        if let generation { members.append(.init("generation", .generation(generation))) }
        if let holder { members.append(.init("holder", JSON.holder(holder))) }
        try results.line(JSON.line(JSON.members(state, key, members)))
    }
}

/// Keys and values in turn, each ended by NUL, put together from pieces.
private struct Pairs {
    /// A value is held in memory here; larger ones have a command of their own.
    private static let most = 1 << 20
    private var key: [UInt8]?
    /// What has come of the next one.
    private var text: [UInt8] = []

    mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ body: ([UInt8], [UInt8]) throws(Failure) -> Void
    ) throws(Failure) {
        var start = 0
        while let end = firstIndex(of: 0, in: bytes, from: start) {
            try append(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            start = end + 1
            if let complete = key {
                try body(complete, text)
                key = nil
            } else {
                key = text
            }
            text.removeAll(keepingCapacity: true)
        }
        try append(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    /// At the end of the input.
    func finish() throws(Failure) {
        guard key != nil || !text.isEmpty else { return }
        let last = shown(key ?? text)
        throw .usage("put --null: the input ends within the pair of '\(last)', which was not set")
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        guard text.count + bytes.count <= Self.most else {
            throw .usage(
                "put --null takes values up to 1 MiB, and '\(shown(key ?? []))' has more; "
                    + "put KEY --file PATH takes it")
        }
        text.append(contentsOf: bytes)
    }
}
