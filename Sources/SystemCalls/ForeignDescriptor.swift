internal import CSystem

// Descriptors that were handed to this process, such as standard output, and that are not ours to close.
//
// Their description is shared with other processes, and any of these may have set O_NONBLOCK on it. EAGAIN
// then means that there is nothing to read, or no room, yet: the call is repeated when poll(2) says so, as the
// kernel would have waited without the flag. The flag itself is left alone: it belongs to the others too.

/// Reads once, waiting until there is something to read; 0 is the end.
package func readDescriptor(
    _ number: Int32, into bytes: UnsafeMutableRawBufferPointer
) throws(Errno) -> Int {
    while true {
        do throws(Errno) {
            return Int(try call { unsafe csystem_read(number, bytes.baseAddress, bytes.count) })
        } catch {
            if error != .wouldBlock { throw error }
        }
        _ = try waitForAny([(number, false)])
    }
}

/// Writes every byte, waiting for room.
package func writeDescriptor(_ number: Int32, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
    var done = 0
    while done < bytes.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
        do throws(Errno) {
            let count = try call {
                unsafe csystem_write(number, rest.baseAddress, rest.count)
            }
            if count == 0 { throw .inputOutput }
            done += Int(count)
        } catch {
            if error != .wouldBlock { throw error }
            _ = try waitForAny([(number, true)])
        }
    }
}

/// The same for an array.
package func writeDescriptor(_ number: Int32, _ bytes: [UInt8]) throws(Errno) {
    try unsafe bytes.span.withUnsafeBytes { (bytes) throws(Errno) in
        try unsafe writeDescriptor(number, bytes)
    }
}

/// Writes as much as there is room for now, and returns how much that was.
///
/// On a socket it never waits. On a pipe it does not where poll(2) has said that there is room, up to 4096
/// bytes: `PIPE_BUF`, `pipe(7)`.
package func writeDescriptorNow(
    _ number: Int32, _ bytes: UnsafeRawBufferPointer
) throws(Errno) -> Int {
    do throws(Errno) {
        return Int(
            try call { unsafe csystem_write_now(number, bytes.baseAddress, bytes.count) })
    } catch {
        if error == .wouldBlock { return 0 }
        throw error
    }
}
