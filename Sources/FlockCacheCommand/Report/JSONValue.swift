internal import FlockCache
internal import SystemCalls

/// A value as a JSON member: text if it is valid UTF-8, else base64.
///
/// Looked through twice, so that a large one is never held in memory.
struct JSONValue {
    /// Calls a closure with the bytes, piece by piece; twice the same.
    let pieces: (_ body: (UnsafeRawBufferPointer) -> Void) throws(Failure) -> Void

    init(_ pieces: @escaping (_ body: (UnsafeRawBufferPointer) -> Void) throws(Failure) -> Void) {
        self.pieces = pieces
    }

    init(ready: ReadyFile) {
        pieces = { (body) throws(Failure) in try ready.pieces(body) }
    }

    func write(to results: inout Results) throws(Failure) {
        var validator = UTF8Validator()
        try pieces { validator.feed($0) }
        let isText = validator.isComplete
        try results.bytes("\"encoding\":\"\(isText ? "utf-8" : "base64")\",\"value\":\"".utf8)
        var base64 = Base64()
        var failure: Failure?
        try pieces { bytes in
            guard failure == nil else { return }
            var encoded: [UInt8] = []
            if isText {
                JSON.escape(bytes, into: &encoded)
            } else {
                base64.feed(bytes, into: &encoded)
            }
            do throws(Failure) { try results.bytes(encoded) } catch { failure = error }
        }
        if let failure { throw failure }
        var rest: [UInt8] = []
        base64.finish(into: &rest)
        try results.bytes(rest)
        try results.bytes("\"".utf8)
    }
}

extension ReadyFile {
    fileprivate func pieces(_ body: (UnsafeRawBufferPointer) -> Void) throws(Failure) {
        do throws(Errno) {
            try forEachPiece { (bytes) throws(Errno) in body(bytes) }
        } catch {
            throw Failure(.inputOutput, "cannot read the value of \(key): \(error.message)")
        }
    }
}
