internal import CSystem

/// The first bytes of a file as memory that every process that maps it shares.
///
/// A file that is cut while it is mapped ends the process that touches what was cut off, unless it is a command
/// that has prepared for that (`csystem_survive_cuts`): map only what nobody cuts.
@safe package final class SharedMemory: @unchecked Sendable {
    // Every access is one of the atomic ones below.
    private let base: UnsafeMutableRawPointer
    private let count: Int

    /// Maps a file; nil when the kernel will not.
    package init?(_ file: borrowing File, count: Int) {
        guard let base = unsafe csystem_map_shared(file.number, count) else { return nil }
        unsafe self.base = base
        self.count = count
    }

    /// Maps a file of locks; nil when the kernel will not.
    package init?(_ file: borrowing LockFile, count: Int) {
        guard let base = unsafe csystem_map_locked(file.number, count) else { return nil }
        unsafe self.base = base
        self.count = count
    }

    /// Memory of this process alone.
    package init(count: Int) {
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
        self.count = 0
    }

    deinit {
        if count > 0 {
            unsafe csystem_unmap_shared(base, count)
        } else {
            unsafe base.deallocate()
        }
    }

    /// A time at an offset; what this thread did before is seen by whoever stores one after.
    package func time(at offset: Int) -> BootTime {
        BootTime(nanoseconds: unsafe csystem_load64(pointer(offset, as: Int64.self)))
    }

    /// Stores a time, before this thread does anything else.
    package func setTime(_ time: BootTime, at offset: Int) {
        unsafe csystem_store64(pointer(offset, as: Int64.self), time.nanoseconds)
    }

    /// Changes a time from one to another; false where another stands there, which it leaves.
    package func replace(_ expected: BootTime, by time: BootTime, at offset: Int) -> Bool {
        unsafe csystem_replace64(
            pointer(offset, as: Int64.self), expected.nanoseconds, time.nanoseconds) != 0
    }

    /// A number that changes when there is something to look at.
    package func word(at offset: Int) -> UInt32 {
        unsafe csystem_load32(pointer(offset, as: UInt32.self))
    }

    /// Changes a word, and wakes up to that many of those who wait for it with one of the bits.
    package func wake(_ most: Int32, at offset: Int, bits: UInt32) {
        let word = unsafe pointer(offset, as: UInt32.self)
        unsafe csystem_increment32(word)
        unsafe csystem_futex_wake(word, most, bits)
    }

    /// Waits until a word is another than it was seen to be, or the time has come.
    ///
    /// It may also end earlier; look at what is waited for.
    package func wait(at offset: Int, while seen: UInt32, bits: UInt32, until deadline: BootTime) {
        _ = unsafe csystem_futex_wait(
            pointer(offset, as: UInt32.self), seen, bits, deadline.nanoseconds)
    }

    package func setWord(_ value: UInt32, at offset: Int) {
        unsafe csystem_store32(pointer(offset, as: UInt32.self), value)
    }

    /// Adds to a word, and returns the sum; it wraps around.
    @discardableResult
    package func add(_ amount: Int32, at offset: Int) -> UInt32 {
        unsafe csystem_add32(pointer(offset, as: UInt32.self), UInt32(bitPattern: amount))
    }

    /// Changes a word from one value to another; false where another stands there, which it leaves.
    package func replace(_ expected: UInt32, by value: UInt32, at offset: Int) -> Bool {
        unsafe csystem_replace32(pointer(offset, as: UInt32.self), expected, value) != 0
    }

    /// 64-bit words, each read as a whole, in no order.
    package func words<let count: Int>(at offset: Int) -> InlineArray<count, UInt64> {
        var words = InlineArray<count, UInt64>(repeating: 0)
        var span = words.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer { buffer in
            unsafe csystem_load_words(pointer(offset, as: UInt64.self), buffer.baseAddress, count)
        }
        return words
    }

    /// Writes 64-bit words, each as a whole, in no order.
    package func setWords<let count: Int>(_ words: InlineArray<count, UInt64>, at offset: Int) {
        unsafe words.span.withUnsafeBufferPointer { buffer in
            unsafe csystem_store_words(pointer(offset, as: UInt64.self), buffer.baseAddress, count)
        }
    }

    /// Copies 64-bit words, each read as a whole, in no order.
    package func load(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        unsafe csystem_load_words(
            pointer(offset, as: UInt64.self),
            bytes.baseAddress?.assumingMemoryBound(to: UInt64.self),
            bytes.count / 8)
    }

    /// Whether the first two words are stored before the others, or behind them all; the two at once.
    package enum Order { case beginningFirst, beginningLast }

    /// Writes 64-bit words, each as a whole, at a multiple of 16 bytes.
    ///
    /// A process that is killed meanwhile leaves what it had stored.
    package func store(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ order: Order) {
        let words = unsafe pointer(offset, as: UInt64.self)
        let from = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt64.self)
        switch order {
        case .beginningFirst: unsafe csystem_store_first(words, from, bytes.count / 8)
        case .beginningLast: unsafe csystem_store_last(words, from, bytes.count / 8)
        }
    }

    private func pointer<T>(_ offset: Int, as type: T.Type) -> UnsafeMutablePointer<T> {
        unsafe (base + offset).assumingMemoryBound(to: type)
    }
}

/// A number of this thread that no other thread of this process has or had.
package var threadNumber: UInt64 { csystem_thread_number() }

/// Runs a closure on a thread of its own, to which no signal is delivered.
package func startThread(_ body: @escaping @Sendable () -> Void) throws(Errno) {
    final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let reference = unsafe Unmanaged.passRetained(Body(body))
    do throws(Errno) {
        _ = try call {
            unsafe csystem_start_thread(
                { argument in
                    guard let argument = unsafe argument else { return nil }
                    unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                    return nil
                }, reference.toOpaque())
        }
    } catch {
        unsafe reference.release()
        throw error
    }
}
