import Glibc

/// Another process with a store open, which does what it is told line by line; see `Tests/Peer`.
package struct PeerProcess: Sendable {
    /// It as a child of this process.
    package let process: Child

    /// Starts one; `wrapper` is a command that starts it in its turn.
    ///
    /// Returns when it greets, unless that is not to be waited for.
    package init(
        _ store: String, wrapper: [String] = [], environment: [String: String] = [:],
        greets: Bool = true
    ) {
        let words = wrapper + [builtProducts + "/flock-cache-peer", store]
        process = Child(words[0], Array(words.dropFirst()), environment: environment)
        guard !greets || process.line() == "hello" else {
            fatalError("the peer did not start: \(process.restOfError())")
        }
    }

    /// Gives an order and returns the answer; empty when the peer has ended.
    package func ask(_ order: String) -> String {
        process.tell(order)
        return process.line() ?? ""
    }

    /// Ends it by a signal, as the kernel would.
    package func kill() {
        process.kill(SIGKILL)
        _ = process.wait()
    }

    /// Ends it by itself, giving nothing up.
    package func exit() {
        process.tell("exit")
        _ = process.wait()
    }
}

/// Holds processes back until all of them are there: they wait for a shared lock of a file.
package final class Gate: Sendable {
    /// The file.
    package let path: String
    private let file: Int32

    /// A closed gate.
    package init(_ path: String) {
        self.path = path
        file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0, flock(file, LOCK_EX) == 0 else { fatalError("gate: errno \(errno)") }
    }

    deinit { close(file) }

    /// Lets through whoever waits and whoever comes.
    package func open() { flock(file, LOCK_UN) }

    /// Gives all peers an order that waits at the gate, lets them through together, and returns their
    /// answers.
    package func release(_ peers: [PeerProcess], _ order: (Int) -> String) -> [String] {
        for (index, peer) in peers.enumerated() { peer.process.tell(order(index)) }
        for peer in peers { guard peer.process.line() == "ready" else { return [] } }
        flock(file, LOCK_UN)
        let answers = peers.map { $0.process.line() ?? "" }
        // All have answered, so all have let go of it.
        flock(file, LOCK_EX)
        return answers
    }
}
