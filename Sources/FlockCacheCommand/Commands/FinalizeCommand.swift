internal import FlockCache
internal import SystemCalls

extension Verb {
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
}

@Sendable private func runFinalize(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let key = invocation.key()
    let right = try invocation.claimRight()
    let finalized: Finalized
    switch (invocation.operands.count, invocation.text(.file)) {
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
    if finalized.differs {
        invocation.words.say(Phrases.keptValue(of: key, finalized.generation))
    }
    if invocation.has(.json) {
        try invocation.print(
            JSON.members(
                "ready", key, [.init("generation", .generation(finalized.generation))]))
    }
    return .yes
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
                return try openValue(path, invocation.words, invocation.environment)
            } catch {
                throw .unreadableValue(error, key, place)
            }
        }
        let file = try open()
        return try store.session.finalize(key, by: right, .descriptor(file.number, place))
    }
}

/// Opens a file with a value; of a FIFO it waits for the writer, and says so.
func openValue(
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
