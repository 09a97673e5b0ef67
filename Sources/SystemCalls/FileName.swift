/// One component of a path, or a path that a user gave: bytes without NUL.
package struct FileName: Hashable, Sendable, ExpressibleByStringLiteral {
    /// The bytes and the NUL that ends them.
    let terminated: [UInt8]

    /// Takes bytes that hold no NUL.
    package init(_ bytes: some Collection<UInt8>) {
        precondition(!bytes.contains(0), "a file name holds no NUL")
        var terminated = [UInt8]()
        terminated.reserveCapacity(bytes.count + 1)
        terminated.append(contentsOf: bytes)
        terminated.append(0)
        self.terminated = terminated
    }

    package init(stringLiteral value: String) { self.init(value.utf8) }

    package var bytes: ArraySlice<UInt8> { terminated.dropLast() }

    @inline(__always)
    func withPointer<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        unsafe terminated.withUnsafeBufferPointer { buffer in
            unsafe buffer.withMemoryRebound(to: CChar.self) { characters in
                guard let base = characters.baseAddress else {
                    preconditionFailure("a NUL at least")
                }
                return unsafe body(base)
            }
        }
    }
}
