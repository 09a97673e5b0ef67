internal import FlockCache
internal import SystemCalls

/// Words for people, on standard error.
struct Words: Sendable {
    private let descriptor: Int32
    private let isQuiet: Bool
    let isVerbose: Bool
    let isJSON: Bool

    init(_ invocation: Invocation) {
        descriptor = invocation.environment.error
        isQuiet = invocation.has(.quiet)
        isVerbose = invocation.has(.verbose)
        isJSON = invocation.has(.json)
    }

    /// Before the command line was understood, or when it cannot be: then what is plainly there counts,
    /// because a program that asked for JSON reads its usage errors too.
    init(_ environment: Environment) {
        descriptor = environment.error
        let options = environment.arguments.prefix { !$0.elementsEqual("--".utf8) }
        func has(_ option: String) -> Bool { options.contains { $0.elementsEqual(option.utf8) } }
        isQuiet = has("-q") || has("--quiet")
        isVerbose = false
        isJSON = has("--json")
    }

    /// A notice, unless notices are not wanted.
    func say(_ text: String) {
        if !isQuiet { warn(text) }
    }

    /// A line about something that went wrong and does not end the command, also when quiet.
    func warn(_ text: String) {
        write(isJSON ? JSON.line([.init("message", .text(text))]) : "flock-cache: \(text)")
    }

    /// A line about a failure, also when quiet; but not where another process has what was asked for, which is a
    /// notice.
    ///
    /// With `--json` it is an object, for programs, in every case.
    func fail(_ failure: Failure) {
        if isJSON {
            let members: [JSON.Member] = [
                .init("error", .text(failure.message)),
                .init("exit", .number(Int(failure.code.rawValue))),
            ]
            write(JSON.line(members))
        } else if !isQuiet || !failure.isBusy {
            write("flock-cache: \(failure.message)")
        }
    }

    private func write(_ line: String) {
        // Where nobody can be told anything, the exit code still tells.
        try? writeDescriptor(descriptor, Array((line + "\n").utf8))
    }
}

/// Results, on standard output.
///
/// Bytes are collected and written when there are many, and at the end.
struct Results {
    private let descriptor: Int32
    private var pending: [UInt8] = []

    init(_ environment: Environment) { descriptor = environment.output }

    mutating func line(_ text: String) throws(Failure) {
        pending.append(contentsOf: text.utf8)
        pending.append(UInt8(ascii: "\n"))
        if pending.count >= 64 << 10 { try flush() }
    }

    mutating func bytes(_ bytes: some Collection<UInt8>) throws(Failure) {
        pending.append(contentsOf: bytes)
        if pending.count >= 64 << 10 { try flush() }
    }

    /// Passes a value on without holding it in memory.
    mutating func value(_ ready: ReadyFile) throws(Failure) {
        try flush()
        try writing { () throws(Errno) in
            try ready.forEachPiece { (bytes) throws(Errno) in try writeDescriptor(descriptor, bytes)
            }
        }
    }

    mutating func flush() throws(Failure) {
        guard !pending.isEmpty else { return }
        let bytes = pending
        pending.removeAll(keepingCapacity: true)
        try writing { () throws(Errno) in try writeDescriptor(descriptor, bytes) }
    }

    private func writing(_ body: () throws(Errno) -> Void) throws(Failure) {
        do throws(Errno) {
            try body()
        } catch {
            throw Failure(
                .inputOutput, "cannot write to standard output: \(error.message)",
                isClosedPipe: error == .brokenPipe)
        }
    }
}

/// Bytes of the command line as text for people.
func shown(_ bytes: some Collection<UInt8>) -> String {
    printable(String(decoding: bytes, as: UTF8.self))
}
