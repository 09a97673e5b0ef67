internal import FlockCache
internal import SystemCalls

/// What a COMMAND prints: kept as the value, and passed on to our own standard output as fast as
/// that is read.
///
/// Passed on from what is kept, so that a slow reader of ours delays neither COMMAND nor those who
/// wait for the value. Only what cannot be kept, because the disk is full, waits for the reader.
struct OutputRelay {
    let descriptor: Int32
    private let value: ValueWriter
    /// How much of the kept bytes has been passed on.
    private var start = 0
    /// What came behind the kept bytes, and from where on it is still to be passed on.
    private var loose: [UInt8] = []
    private var looseStart = 0
    /// Why the value cannot be kept.
    private(set) var failure: StoreError?
    /// Why no more can be passed on.
    private(set) var error: Errno?

    init(to descriptor: Int32, from value: ValueWriter) {
        self.descriptor = descriptor
        self.value = value
    }

    /// Whether there is nothing to be passed on.
    var isEmpty: Bool {
        error != nil || start == value.length && looseStart == loose.count
    }

    /// Whether more may come; not while there are bytes that nothing but memory holds.
    var takesMore: Bool { error != nil || looseStart == loose.count }

    /// Whether more output is of use: to keep it as the value, or to pass it on.
    var isWanted: Bool { failure == nil || error == nil }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        if failure == nil {
            do throws(StoreError) {
                let before = value.length
                try value.append(bytes)
                if value.length > before { return }
            } catch {
                failure = error
            }
        }
        guard error == nil else { return }
        if looseStart == loose.count {
            loose.removeAll(keepingCapacity: true)
            looseStart = 0
        }
        loose.append(contentsOf: bytes)
    }

    /// Writes as much as there is room for, without waiting, so that signals go on being passed on.
    mutating func writeSome() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            let kept: Int
            do throws(StoreError) {
                kept = try value.read(at: start, into: buffer)
            } catch {
                self.error = Errno(code: error.systemError ?? Errno.inputOutput.code)
                return
            }
            do throws(Errno) {
                if kept > 0 {
                    let part = UnsafeRawBufferPointer(rebasing: buffer[..<kept])
                    start += try writeDescriptorNow(descriptor, part)
                } else {
                    let end = min(loose.count, looseStart + buffer.count)
                    let part = Array(loose[looseStart..<end])
                    looseStart += try part.span.withUnsafeBytes { (bytes) throws(Errno) in
                        try writeDescriptorNow(descriptor, bytes)
                    }
                }
            } catch {
                self.error = error
            }
        }
    }

    /// Writes what is left, waiting for the reader; nothing else is left to be done, so a signal
    /// may end it.
    mutating func passOnRest() {
        CaughtSignals.release()
        while !isEmpty {
            do throws(Errno) {
                _ = try waitForAny([(descriptor, true)])
                writeSome()
            } catch {
                self.error = error
            }
        }
    }

    /// What the user is told; nil where all was passed on, or its reader has had enough.
    var writeFailure: Failure? {
        guard let error, error != .brokenPipe else { return nil }
        return Failure(.ownFailure, "cannot write to standard output: \(error.message)")
    }
}
