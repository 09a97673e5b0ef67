internal import FlockCache
internal import SystemCalls

/// A COMMAND being run for a command such as `run`: started, its output passed on, signals passed on to
/// it, until it has ended.
///
/// Nothing here polls: one wait for its output, its end, a signal, and room for what is passed on.
struct CommandRun {
    /// COMMAND's exit code, or 128 and the signal that ended it.
    var code: Int32 = 0
    /// What of its output is still to be passed on.
    var output: PassedOn

    /// Runs COMMAND to its end.
    ///
    /// Call `CaughtSignals()` before what must not be ended by a signal, and hand it over: whatever came
    /// since is passed on as soon as COMMAND is there.
    ///
    /// - Parameter collect: is given what COMMAND prints as it comes, and returns whether it wants more.
    ///   All that COMMAND has written until it ended is its output; a child of its own that goes on writing
    ///   is not waited for.
    init(
        _ arguments: [[UInt8]], variables: [[UInt8]], signals: borrowing CaughtSignals,
        to descriptor: Int32, collect: (UnsafeRawBufferPointer) -> Bool
    ) throws(Failure) {
        output = PassedOn(to: descriptor)
        do throws(Errno) {
            var reading: PipeEnd?
            let child = try Self.start(arguments, variables, &reading)
            try passOn(&reading, of: child, signals, collect)
            code = try child.wait()
        } catch {
            throw Self.failure(of: arguments, error)
        }
    }

    /// Starts COMMAND; from then on only it, and whom it hands it to, can write to the pipe.
    private static func start(
        _ arguments: [[UInt8]], _ variables: [[UInt8]], _ reading: inout PipeEnd?
    ) throws(Errno) -> ChildProcess {
        let pipe = try PipeEnd.pair()
        reading = pipe.reading
        return try ChildProcess(arguments, variables: variables, output: pipe.writing)
    }

    /// As `env(1)` has it: 127 where there is no such program, 126 where it cannot be executed.
    private static func failure(of arguments: [[UInt8]], _ error: Errno) -> Failure {
        let code: ExitCode = error == .noEntry ? .notFound : .notExecutable
        return Failure(code, "cannot run \(shown(arguments[0])): \(error.message)")
    }

    private mutating func passOn(
        _ reading: inout PipeEnd?, of child: ChildProcess, _ signals: borrowing CaughtSignals,
        _ collect: (UnsafeRawBufferPointer) -> Bool
    ) throws(Errno) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            var files = [(signals.number, false), (child.ended, false)]
            // While our reader is slow COMMAND is slow: what is not passed on is not piled up.
            if !output.isEmpty {
                files.append((output.descriptor, true))
            } else if let reading {
                files.append((reading.number, false))
            }
            let ready = try waitForAny(files)
            if ready[0] {
                while let signal = try signals.nextToPassOn() { child.signal(signal) }
            }
            if ready.count == 3, ready[2] {
                if !output.isEmpty {
                    output.writeSome()
                } else if let open = reading.take() {
                    if try take(open, buffer, .max, collect) { reading = open }
                }
            } else if ready[1] {
                break
            }
        }
        // It has ended: what is in the pipe now is its output.
        guard let reading else { return }
        var left = try reading.readableBytes()
        while left > 0, try take(reading, buffer, left, collect) {
            left -= min(left, buffer.count)
        }
    }

    /// Takes some of the output; false when there is no more, or nobody wants it: then COMMAND is to learn
    /// of that as in any pipeline, by a signal.
    private mutating func take(
        _ reading: PipeEnd, _ buffer: UnsafeMutableRawBufferPointer, _ most: Int,
        _ collect: (UnsafeRawBufferPointer) -> Bool
    ) throws(Errno) -> Bool {
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(min(most, buffer.count)))
        let count = try readDescriptor(reading.number, into: part)
        guard count > 0 else { return false }
        let bytes = UnsafeRawBufferPointer(rebasing: part.prefix(count))
        let isCollected = collect(bytes)
        output.add(bytes)
        return isCollected || output.error == nil
    }
}

/// What is passed on to our own standard output.
struct PassedOn {
    let descriptor: Int32
    private var bytes: [UInt8] = []
    private var start = 0
    /// Why no more can be passed on.
    private(set) var error: Errno?

    init(to descriptor: Int32) { self.descriptor = descriptor }

    var isEmpty: Bool { start == bytes.count }

    mutating func add(_ more: UnsafeRawBufferPointer) {
        guard error == nil else { return }
        if isEmpty {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        }
        bytes.append(contentsOf: more)
    }

    /// Writes as much as a pipe that has room takes without making us wait (`pipe(7)`), so that signals
    /// go on being passed on.
    mutating func writeSome() { write(upTo: 4096) }

    /// Writes what is left, waiting for the reader.
    mutating func writeAll() {
        while !isEmpty { write(upTo: bytes.count) }
    }

    private mutating func write(upTo most: Int) {
        let part = bytes[start..<min(bytes.count, start + most)]
        do throws(Errno) {
            try part.span.withUnsafeBytes { (part) throws(Errno) in
                try writeDescriptor(descriptor, part)
            }
            start += part.count
        } catch {
            self.error = error
            start = bytes.count
        }
    }

    /// What the user is told; nil where all was passed on, or its reader has had enough.
    var failure: Failure? {
        guard let error, error != .brokenPipe else { return nil }
        return Failure(.ownFailure, "cannot write to standard output: \(error.message)")
    }
}
