import Glibc

/// The requests that come in at a port of this machine.
///
/// They are read by a thread of their own: tasks must not block the threads that they share.
struct Listener: Sendable {
    /// Ends after `stop`.
    let requests: AsyncStream<Request>
    let port: UInt16
    private let socket: Int32
    private let continuation: AsyncStream<Request>.Continuation

    /// Begins to listen, at port 0 where the system wants to; nil where that is refused.
    init?(port: UInt16) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard let port = Self.bind(socket, port), listen(socket, 128) == 0 else { return nil }
        self.port = port
        (requests, continuation) = AsyncStream.makeStream()
        startThread { [socket, continuation] in Self.accept(socket, continuation) }
    }

    /// Takes no more requests; those that have come are answered.
    func stop() {
        shutdown(socket, Int32(SHUT_RDWR))
        continuation.finish()
    }

    /// Binds a socket to a port of this machine, and returns the port.
    private static func bind(_ socket: Int32, _ port: UInt16) -> UInt16? {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(socket, $0, size) == 0 && getsockname(socket, $0, &size) == 0
            }
        }
        return isBound ? UInt16(bigEndian: address.sin_port) : nil
    }

    private static func accept(
        _ socket: Int32, _ continuation: AsyncStream<Request>.Continuation
    ) {
        while true {
            let connection = Glibc.accept(socket, nil, nil)
            // It was shut down.
            if connection < 0 && errno == EINVAL { return }
            guard connection >= 0 else { continue }
            guard let request = Request(connection: connection),
                case .enqueued = continuation.yield(request)
            else {
                close(connection)
                continue
            }
        }
    }
}
