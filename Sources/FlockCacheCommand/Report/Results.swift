internal import FlockCache
internal import SystemCalls

/// Results, on standard output.
///
/// Bytes are collected and written when there are many, and at the end.
struct Results {
    private let descriptor: Int32
    private var pending: [UInt8] = []

    init(to descriptor: Int32) { self.descriptor = descriptor }

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
