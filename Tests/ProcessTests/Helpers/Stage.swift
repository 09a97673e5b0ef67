// What tests with processes share. Here: the command as scripts and other programs see it. `LockStage`: locks and
// terminals. `FaultBench`: a fault at each system call. `OwnerProgram`, `SignalProgram`: C programs that own
// claims and count signals.

import Testing
import TestSupport

/// A store of its own, and the command as scripts and other programs see it.
struct Stage: Staged {
    let directory = TemporaryDirectory()
    var variables: [String: String] = [:]

    init() {
        // Nothing of the test's own environment: a variable set there must not decide a test.
        variables["PATH"] =
            builtProducts + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables["FLOCK_CACHE_DIR"] = store
        variables["WORK"] = directory.path
    }

    var store: String { directory("store") }

    /// Runs the command; whoever it claims for is the test itself, which lives.
    @discardableResult
    func run(_ arguments: String..., input: String? = nil) -> Outcome {
        TestSupport.run(
            builtProducts + "/flock-cache", arguments, environment: variables, input: input)
    }

    /// Runs a script to its end.
    @discardableResult
    func script(_ text: String, in shell: String = "bash", _ arguments: String...) -> Outcome {
        TestSupport.run(shell, ["-c", text, "script"] + arguments, environment: variables)
    }

    /// Starts a script, whose end is for the test to bring about.
    func start(_ text: String, in shell: String = "bash") -> Child {
        Child(shell, ["-c", text, "script"], environment: variables)
    }

    /// Starts a script in a PID namespace of its own, as a container's first process.
    func startElsewhere(_ text: String) -> Child {
        Child(
            "unshare", ["-p", "-f", "--kill-child", "--mount-proc", "bash", "-c", text],
            environment: variables)
    }

    /// Claims a key and publishes a value.
    func publish(_ key: String, _ value: String) {
        let claim = run("claim", "--", key)
        #expect(claim.code == 0, "\(claim)")
        let finalize = run("finalize", "--", key, value)
        #expect(finalize.code == 0, "\(finalize)")
    }
}

/// Options that make `setpriv` run a program as a user who owns nothing.
let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]

/// Whether the command can be run as another user; not where the build lies in a private directory.
let canBeNobody =
    isRoot && isInstalled("setpriv")
    && run("setpriv", nobody + [builtProducts + "/flock-cache", "version"]).code == 0
