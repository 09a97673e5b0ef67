import Glibc

/// A request that waits for its answer.
struct Request: Sendable {
    let path: String
    private let connection: Int32

    /// Reads a request's first line, which has to come within a second; nil where it is none.
    init?(connection: Int32) {
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(
            connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(connection, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let words = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        guard words.count > 1, words[0] == "GET" else { return nil }
        path = String(words[1])
        self.connection = connection
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
}
