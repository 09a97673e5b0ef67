import FlockCacheCommand
import Glibc
import TestSupport
import Testing

/// A store of its own, and the command run in this process: a test that looks only at codes, texts and files
/// needs no other.
///
/// Each run has an environment and descriptors of its own, so that tests run beside one another. What
/// belongs to the process is not to be tested here: signals, the umask, the descriptors 0 to 2, the
/// working directory, the calling program, a COMMAND. The stage of `ProcessTests` is for these.
struct Stage: Staged {
    let directory = TemporaryDirectory()
    var variables: [String: String]

    init() {
        // The parent of this process, whatever it is, is not the one that claims.
        variables = [
            "FLOCK_CACHE_DIR": directory("store"), "FLOCK_CACHE_OWNER": "\(getpid())",
        ]
    }

    var store: String { directory("store") }

    /// Runs the command.
    @discardableResult
    func run(_ arguments: String...) -> Outcome { run(arguments) }

    /// Runs the command with the words of a line, as a shell would see them.
    @discardableResult
    func line(_ line: String) -> Outcome { run(words(of: line)) }

    @discardableResult
    func run(_ arguments: [String]) -> Outcome {
        let scratch = TemporaryDirectory()
        let (input, output, error) = (
            File(scratch("in")), File(scratch("out")), File(scratch("err"))
        )
        let variables = variables
        let environment = Environment(arguments: arguments.map { Array($0.utf8) }) { name in
            variables["\(name)"].map { Array($0.utf8) }
        }
        environment.input = input.descriptor
        environment.output = output.descriptor
        environment.error = error.descriptor
        let code = withExtendedLifetime((input, output, error)) { Command.run(environment) }
        return Outcome(
            ending: .exit(code), output: contents(of: scratch("out")) ?? [],
            error: String(decoding: contents(of: scratch("err")) ?? [], as: UTF8.self))
    }

    /// Quotes are single ones, and of variables there are those of the stage.
    private func words(of line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var isQuoted = false
        for character in line {
            switch character {
            case "'":
                isQuoted.toggle()
                word = word ?? ""
            case " " where !isQuoted:
                if let word { words.append(word) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words.map { word in
            variables.reduce(word) { $0.replacing("$" + $1.key, with: $1.value) }
        }
    }

    /// Claims a key and publishes a value.
    func publish(_ key: String, _ value: String) {
        let claim = run("claim", "--", key)
        #expect(claim.code == 0, "\(claim)")
        let finalize = run("finalize", "--", key, value)
        #expect(finalize.code == 0, "\(finalize)")
    }

    /// Claims a key for a process that has ended.
    func claimForTheDead(_ key: String) {
        let owner = Child("sleep", ["1000"])
        let claim = run("claim", "--owner", "\(owner.id)", "--", key)
        #expect(claim.code == 0, "\(claim)")
        owner.kill(SIGKILL)
        _ = owner.wait()
    }
}

/// A file that is open as long as the value lives.
private final class File {
    let descriptor: Int32

    init(_ path: String) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { fatalError("open: errno \(errno)") }
    }

    deinit { close(descriptor) }
}
