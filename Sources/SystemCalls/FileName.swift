/// One component of a path, or a path that a user gave: bytes without NUL.
package struct FileName: Hashable, Sendable, ExpressibleByStringLiteral {
    /// The bytes and the NUL that ends them.
    let terminated: [UInt8]

    /// Takes bytes that hold no NUL.
    ///
    /// Not generic: a command lives for a millisecond, and building a generic type at run time costs
    /// several microseconds of it.
    package init(_ bytes: [UInt8]) {
        self.init(ArraySlice(bytes))
    }

    package init(_ bytes: ArraySlice<UInt8>) {
        var terminated = [UInt8]()
        terminated.reserveCapacity(bytes.count + 1)
        terminated.append(contentsOf: bytes)
        for byte in terminated where byte == 0 { preconditionFailure("a file name holds no NUL") }
        terminated.append(0)
        self.terminated = terminated
    }

    /// A number as two lower-case hexadecimal digits; one allocation.
    package init(twoDigits number: UInt8) {
        func digit(_ value: UInt8) -> UInt8 {
            value + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
        }
        terminated = [digit(number >> 4), digit(number & 15), 0]
    }

    package init(_ bytes: UnsafeBufferPointer<UInt8>) { unsafe self.init(Array(bytes)) }

    package init(_ text: String) { self.init(Array(text.utf8)) }

    package init(stringLiteral value: String) { self.init(value) }

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
