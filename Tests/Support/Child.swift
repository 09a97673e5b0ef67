import Glibc

/// Writing to a child that has ended, which is no matter, would end all tests without a word.
private let ignoresClosedPipes: Void = { signal(SIGPIPE, SIG_IGN) }()

private typealias CloseFrom =
    @convention(c) @Sendable (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32

/// A GNU extension, which the module `Glibc` leaves out.
private let closeFrom: CloseFrom = {
    let name = "posix_spawn_file_actions_addclosefrom_np"
    guard let function = dlsym(UnsafeMutableRawPointer(bitPattern: 0), name) else {
        fatalError("the tests need glibc 2.34 or later, for \(name)")
    }
    return unsafeBitCast(function, to: CloseFrom.self)
}()

/// A process that a test has started; killed and reaped when the value goes away.
package final class Child: @unchecked Sendable {
    // Used by one test at a time.
    package let id: pid_t
    private var input: Int32
    private let output: Int32
    private let error: Int32
    private var status: Ending?
    private var unread: [UInt8] = []

    /// How a process ended.
    package enum Ending: Equatable, Sendable, CustomStringConvertible {
        case exit(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .exit(let code): "exit \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    /// Starts a program with an environment of its own.
    ///
    /// What it prints goes to pipes (output, error) or files, and is read when it is waited for;
    /// keep it under 64 KiB if it is not read before.
    package init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) {
        ignoresClosedPipes
        let (input, output, error) = (Self.pipe(), Self.pipe(), Self.pipe())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.read, 0)
        posix_spawn_file_actions_adddup2(&actions, output.write, 1)
        posix_spawn_file_actions_adddup2(&actions, error.write, 2)
        // What other tests have open at this moment is not this child's: a pipe that it inherited would never end.
        guard closeFrom(&actions, 3) == 0 else { fatalError("no memory") }
        // The test runner may ignore or block signals; a child begins as in a shell.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let words = ([path] + arguments).map { strdup($0) }
        let variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { (words + variables).forEach { free($0) } }
        var process: pid_t = 0
        var result: Int32
        repeat {
            // A script that a test has just written is busy while a child forked meanwhile, which has
            // its descriptor, has not executed yet.
            result = posix_spawnp(
                &process, path, &actions, &attributes, words + [nil], variables + [nil])
        } while result == ETXTBSY
        for descriptor in [input.read, output.write, error.write] { close(descriptor) }
        guard result == 0 else { fatalError("cannot start \(path): errno \(result)") }
        id = process
        self.input = input.write
        self.output = output.read
        self.error = error.read
    }

    deinit {
        if status == nil {
            kill(SIGKILL)
            _ = wait()
        }
        for descriptor in [input, output, error] where descriptor >= 0 { close(descriptor) }
    }

    package func kill(_ signal: Int32) { _ = Glibc.kill(id, signal) }

    /// Passes a line to its standard input.
    package func tell(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = Glibc.write(input, bytes, bytes.count)
    }

    /// Waits until it has read all that it was told: its input is empty again.
    ///
    /// False when that does not happen.
    package func waitUntilInputIsRead() -> Bool {
        waitUntil {
            var unread: Int32 = 0
            return ioctl(input, UInt(FIONREAD), &unread) == 0 && unread == 0
        }
    }

    package func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    /// The next line of its standard output, waiting for it; nil when it has closed it.
    package func line() -> String? {
        while true {
            if let end = unread.firstIndex(of: 10) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(output, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return nil }
            unread.append(contentsOf: buffer[..<count])
        }
    }

    /// Waits for its end.
    package func wait() -> Ending {
        if let status { return status }
        var raw: Int32 = 0
        while waitpid(id, &raw, 0) < 0 && errno == EINTR {}
        let ending: Ending = raw & 0x7f == 0 ? .exit((raw >> 8) & 0xff) : .signal(raw & 0x7f)
        status = ending
        return ending
    }

    /// Waits until it has stopped (true) or ended (false).
    package func waitForStop() -> Bool {
        var raw: Int32 = 0
        while waitpid(id, &raw, WUNTRACED) < 0 && errno == EINTR {}
        if raw & 0xff == 0x7f { return true }
        status = raw & 0x7f == 0 ? .exit((raw >> 8) & 0xff) : .signal(raw & 0x7f)
        return false
    }

    /// Lets it come to its end, and returns what it came to.
    package func outcome() -> Outcome {
        closeInput()
        let output = rest()
        let error = restOfError()
        return Outcome(ending: wait(), output: output, error: error)
    }

    /// What is left of its output, to the end.
    package func rest() -> [UInt8] {
        defer { unread = [] }
        return unread + Self.drain(output)
    }

    package func restOfError() -> String { String(decoding: Self.drain(error), as: UTF8.self) }

    private static func drain(_ descriptor: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    private static func pipe() -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { fatalError("pipe: errno \(errno)") }
        // For what a command that runs in this process starts.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }
}

/// What a program that has ended came to.
package struct Outcome: Sendable, CustomStringConvertible {
    package let ending: Child.Ending
    package let output: [UInt8]
    package let error: String

    package init(ending: Child.Ending, output: [UInt8], error: String) {
        (self.ending, self.output, self.error) = (ending, output, error)
    }

    package var text: String { String(decoding: output, as: UTF8.self) }
    /// The exit code; -1 if it was killed.
    package var code: Int32 { if case .exit(let code) = ending { code } else { -1 } }
    package var description: String { "\(ending), output: \(text), error: \(error)" }
}

/// Runs a program to its end.
@discardableResult
package func run(
    _ path: String, _ arguments: [String], environment: [String: String] = [:],
    input: String? = nil
) -> Outcome {
    let child = Child(path, arguments, environment: environment)
    if let input { child.tell(input) }
    return child.outcome()
}

/// The directory with what was built: the test bundle lies there, and the programs beside it.
package let builtProducts: String = {
    let own = CommandLine.arguments[0]
    guard let slash = own.lastIndex(of: "/") else { return "." }
    return String(own[..<slash])
}()

/// Whether a program is installed, for tests that need one more than Swift.
package func isInstalled(_ program: String) -> Bool {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"].contains {
        access("\($0)/\(program)", X_OK) == 0
    }
}
