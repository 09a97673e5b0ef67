import FlockCache
import Glibc

/// The computation of a value, which a test steers by the files of a directory.
///
/// Each one adds a line `PROCESS NANOSECONDS` to `log`, and has `one` locked while it runs. Where there is
/// a `gate`, it waits for a shared lock of that. Whoever then finds `fail` removes it and throws.
struct Computation: Sendable {
    let directory: String

    init(_ directory: String) { self.directory = directory }

    struct Failed: Error {}

    /// Returns `of-PROCESS`; `two` when another was running.
    func callAsFunction() throws -> [UInt8] {
        let begin = Peer.bootTime
        let one = open(directory + "/one", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(one) }
        guard flock(one, LOCK_EX | LOCK_NB) == 0 else { return Array("two".utf8) }
        let log = open(directory + "/log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(log) }
        let line = Array("\(getpid()) \(begin)\n".utf8)
        _ = write(log, line, line.count)
        let gate = open(directory + "/gate", O_RDWR | O_CLOEXEC)
        if gate >= 0 {
            flock(gate, LOCK_SH)
            close(gate)
        }
        if unlink(directory + "/fail") == 0 { throw Failed() }
        return Array("of-\(getpid())".utf8)
    }
}

extension Peer {
    /// Nanoseconds of the clock that all processes share.
    static var bootTime: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }

    func value(of key: String, _ computation: Computation) throws -> String {
        var configuration = Store.Configuration()
        configuration.onWait = { _, _ in Self.say("waiting") }
        let store = try Store(at: CommandLine.arguments[1], configuration: configuration)
        do {
            let value = try store.computeIfAbsent(Store.Key(key), wait: .upTo(.seconds(30))) {
                try computation()
            }
            return "value \(String(decoding: value, as: UTF8.self)) \(Self.bootTime)"
        } catch is Computation.Failed {
            return "error failed"
        }
    }
}
