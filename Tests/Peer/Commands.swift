import FlockCacheCommand
import Glibc

// Swift hides fork, because little may be done in the child. This process has one thread, and has done nothing but
// read lines: a child begins as a started command does, without the milliseconds of a debug build's linking.
@_silgen_name("fork") private func forkProcess() -> Int32

/// Runs commands, each in a child of its own: a line of standard input is a fault, a file for the output,
/// one for the errors, and arguments, with tabs between them; a line of standard output is how it ended.
enum Commands {
    static func serve() -> Never {
        Peer.say("hello")
        while let line = readLine() {
            let words = line.split(separator: "\t", omittingEmptySubsequences: false).map(
                String.init)
            let child = forkProcess()
            if child == 0 { run(words) }
            guard child > 0 else { fatalError("fork: errno \(errno)") }
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0 {
                guard errno == EINTR else { fatalError("waitpid: errno \(errno)") }
            }
            let signal = status & 0x7f
            Peer.say(signal == 0 ? "exit \(status >> 8 & 0xff)" : "signal \(signal)")
        }
        _exit(0)
    }

    private static func run(_ words: [String]) -> Never {
        replace(0, by: "/dev/null", O_RDONLY)
        replace(1, by: words[1], O_WRONLY | O_CREAT | O_TRUNC)
        replace(2, by: words[2], O_WRONLY | O_CREAT | O_TRUNC)
        setenv("FLOCK_CACHE_FAULT", words[0], 1)
        Command.prepareProcess()
        let environment = Environment(arguments: words.dropFirst(3).map { Array($0.utf8) }) {
            name in
            getenv("\(name)").map { Array(String(cString: $0).utf8) }
        }
        _exit(Command.run(environment))
    }

    private static func replace(_ descriptor: Int32, by path: String, _ flags: Int32) {
        let file = open(path, flags | O_CLOEXEC, 0o600)
        guard file >= 0, dup2(file, descriptor) >= 0 else { fatalError("\(path): errno \(errno)") }
        close(file)
    }
}
