internal import FlockCache
internal import SystemCalls

/// Words for people, on standard error.
struct Words: Sendable {
    private let descriptor: Int32
    private let isQuiet: Bool
    let isVerbose: Bool
    let isJSON: Bool

    init(to descriptor: Int32, isQuiet: Bool, isVerbose: Bool, isJSON: Bool) {
        self.descriptor = descriptor
        self.isQuiet = isQuiet
        self.isVerbose = isVerbose
        self.isJSON = isJSON
    }

    /// A notice, unless notices are not wanted.
    func say(_ text: String) {
        if !isQuiet { warn(text) }
    }

    /// A line about something that went wrong and does not end the command, also when quiet.
    func warn(_ text: String) {
        write(isJSON ? JSON.line([.init("message", .text(text))]) : "flock-cache: \(text)")
    }

    /// A line about a failure, also when quiet; with `--json` an object.
    func fail(_ failure: Failure) {
        guard isJSON else { return write("flock-cache: \(failure.message)") }
        let members: [JSON.Member] = [
            .init("code", .text(failure.name)), .init("message", .text(failure.message)),
            .init("exit", .number(Int(failure.code.rawValue))),
        ]
        write(JSON.line(members))
    }

    private func write(_ line: String) {
        // Where nobody can be told anything, the exit code still tells.
        try? writeDescriptor(descriptor, Array((line + "\n").utf8))
    }
}

/// Bytes of the command line as text for people.
func shown(_ bytes: some Collection<UInt8>) -> String {
    printable(String(decoding: bytes, as: UTF8.self))
}
