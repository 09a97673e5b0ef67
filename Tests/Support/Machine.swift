import Glibc

// What this machine lets a test do; tests that need more are skipped where it is missing, visibly.

/// Whether the tests run as root.
package let isRoot = geteuid() == 0

/// Whether a PID namespace of one's own can be had.
package let canUnshare =
    isRoot && isInstalled("unshare")
    && run("unshare", ["-p", "-f", "--mount-proc", "true"]).code == 0

/// Whether the next process number of a namespace can be chosen.
package let canChooseProcessNumber =
    canUnshare
    && run(
        "unshare",
        ["-p", "-f", "--mount-proc", "sh", "-c", "echo 400 >/proc/sys/kernel/ns_last_pid"]
    ).code == 0

/// Whether file systems can be mounted, in a mount namespace of the test's own.
package let canMount =
    isRoot && isInstalled("unshare") && isInstalled("mount")
    && run("unshare", ["-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]).code == 0

/// Whether this is the first PID namespace of the machine: its inode is the kernel's PROC_PID_INIT_INO.
package let isFirstNamespace: Bool = {
    var status = stat()
    return stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == 0xefff_fffc
}()

/// Whether a time namespace of one's own can be had.
package let canUnshareTime =
    isRoot && isInstalled("unshare")
    && run("unshare", ["-T", "--boottime", "10", "true"]).code == 0

/// The words that run a program in a time namespace whose clocks differ by so many seconds from
/// the test's.
///
/// The kernel refuses a clock below zero, so a machine that booted a minute ago cannot be set back
/// an hour: the clocks then go back by three quarters of the time since boot. The kernel counts
/// offsets from the machine's first time namespace, and the test may run in another one.
package func inTimeNamespace(shiftedBy seconds: Int) -> [String] {
    func offset(_ clock: String, _ id: clockid_t) -> Int {
        var now = timespec()
        clock_gettime(id, &now)
        return ownOffset(of: clock) + max(seconds, -now.tv_sec * 3 / 4)
    }
    return [
        "unshare", "-T", "-f", "--boottime", "\(offset("boottime", CLOCK_BOOTTIME))",
        "--monotonic", "\(offset("monotonic", CLOCK_MONOTONIC))",
    ]
}

/// How many seconds a clock of this time namespace is ahead of the machine's.
private func ownOffset(of clock: String) -> Int {
    let lines = contents(of: "/proc/self/timens_offsets") ?? []
    for line in lines.split(separator: 10) {
        let words = line.split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
        if words.count == 3, words[0] == clock, let seconds = Int(words[1]) { return seconds }
    }
    return 0
}

/// The shells that scripts are written for, as far as they are installed.
package let shells = ["bash", "dash"].filter(isInstalled)

/// Waits until a process has ended, and leaves it unreaped.
package func waitForZombie(_ process: pid_t) {
    var information = siginfo_t()
    while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
}

/// Compiles a C program once and returns its path; nil where there is no compiler.
///
/// It lies with the built products under that name, so that a run leaves nothing elsewhere.
package func compile(_ source: String, as name: String) -> String? {
    guard let compiler = ["cc", "gcc", "clang"].first(where: isInstalled) else { return nil }
    let path = builtProducts + "/" + name
    let fresh = "\(path).\(getpid())"
    // It looks for its assembler and linker.
    let environment = ["PATH": "/usr/local/bin:/usr/bin:/bin"]
    let outcome = run(
        compiler, ["-x", "c", "-pthread", "-o", fresh, "-"], environment: environment,
        input: source)
    guard outcome.code == 0, rename(fresh, path) == 0 else { return nil }
    return path
}

extension Child {
    /// Waits for its end and for that of all its output.
    package func finish() -> Outcome {
        let output = rest()
        let error = restOfError()
        return Outcome(ending: wait(), output: output, error: error)
    }
}
