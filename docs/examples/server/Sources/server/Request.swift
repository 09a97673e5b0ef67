import Glibc

/// A request that waits for its answer.
struct Request: Sendable {
    let path: String
    private let connection: Int32

    /// The requests that come in at a port of this machine; nil where it cannot be listened on.
    ///
    /// They are read by a thread of their own: tasks must not block the threads that they share.
    static func listen(on port: UInt16) -> AsyncStream<Request>? {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var yes: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isBound, Glibc.listen(socket, 128) == 0 else { return nil }
        let (stream, continuation) = AsyncStream.makeStream(of: Request.self)
        startThread {
            while true {
                let connection = accept(socket, nil, nil)
                guard connection >= 0 else { continue }
                guard let path = readPath(connection) else {
                    close(connection)
                    continue
                }
                continuation.yield(Request(path: path, connection: connection))
            }
        }
        return stream
    }

    /// Sends the answer, and ends the connection.
    func answer(_ text: String) {
        let answer = Array(
            "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n\(text)"
                .utf8)
        var sent = 0
        while sent < answer.count {
            let count = answer[sent...].withUnsafeBytes {
                write(connection, $0.baseAddress, $0.count)
            }
            guard count > 0 else { break }
            sent += count
        }
        close(connection)
    }

    /// The path of a request's first line, which has to come within a second.
    private static func readPath(_ connection: Int32) -> String? {
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(
            connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(connection, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let words = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        return words.count > 1 && words[0] == "GET" ? String(words[1]) : nil
    }

    private static func startThread(_ body: @escaping @Sendable () -> Void) {
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
}
