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
