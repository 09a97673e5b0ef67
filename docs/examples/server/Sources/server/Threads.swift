import Glibc

/// The signals that tell the process to end: TERM and INT.
enum EndSignals {
    // Set once, before there is a handler.
    private nonisolated(unsafe) static var writing: Int32 = -1

    /// Calls a closure when one of them comes, on a thread of its own: a handler may do little more than write.
    static func whenOneComes(_ body: @escaping @Sendable () -> Void) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }
        let reading = ends[0]
        writing = ends[1]
        startThread {
            var byte: UInt8 = 0
            while read(reading, &byte, 1) < 0 {}
            body()
        }
        for number in [SIGTERM, SIGINT] {
            signal(number) { _ in
                var byte: UInt8 = 0
                _ = write(EndSignals.writing, &byte, 1)
            }
        }
    }
}

/// Starts a thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Work(body)).toOpaque())
}
