internal import FlockCache
internal import SystemCalls

extension Invocation {
    /// Passes the value on that a command is given: its second operand, or the content of `--file`.
    func withValue<R>(
        of key: Store.Key, _ body: (ValueSource) throws(StoreError) -> R
    ) throws(Failure) -> R {
        let name = verbName
        switch (operands.count, text(.file)) {
        case (2, nil):
            let value = operands[1]
            return try failing { () throws(StoreError) in
                try value.span.withUnsafeBytes { (bytes) throws(StoreError) in
                    try unsafe body(.bytes(bytes))
                }
            }
        case (1, let path?): return try withFile(path, of: key, body)
        case (1, nil):
            throw .usage(
                "\(name) needs a VALUE, or --file PATH; put -- before a VALUE that begins with '-'"
            )
        default: throw .usage("\(name) takes a VALUE or --file PATH, not both")
        }
    }

    private func withFile<R>(
        _ path: [UInt8], of key: Store.Key, _ body: (ValueSource) throws(StoreError) -> R
    ) throws(Failure) -> R {
        if path.elementsEqual("-".utf8) {
            return try failing { () throws(StoreError) in
                try unsafe body(.descriptor(environment.input, "standard input"))
            }
        }
        let place = String(decoding: path, as: UTF8.self)
        return try failing { () throws(StoreError) in
            let open = { () throws(StoreError) -> File in
                do throws(Errno) {
                    return try openValue(path, self.words, self.environment)
                } catch {
                    throw .unreadableValue(error, key, place)
                }
            }
            let file = try open()
            return try unsafe body(.descriptor(file.number, place))
        }
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

/// Reports what was done; where that fails the failure says that it was done.
func telling(_ what: String, _ report: () throws(Failure) -> Void) throws(Failure) {
    do throws(Failure) {
        try report()
    } catch {
        throw Failure(error.code, error.message + "; " + what, isClosedPipe: error.isClosedPipe)
    }
}

/// Reports a result, and ignores that its reader has closed the pipe.
///
/// That ends other commands with 0, which of a claim would mean "won", and of a change "done".
func ignoringClosedPipe(_ report: () throws(Failure) -> Void) throws(Failure) {
    do throws(Failure) {
        try report()
    } catch {
        guard error.isClosedPipe else { throw error }
    }
}
