import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Runs a program under a filter that refuses system calls, as containers and sandboxed services have one.
///
/// Each rule is `NAME:ERRNO`, or `NAME:ERRNO:ARGUMENT:MASK:VALUE` for calls of which an argument masked so is
/// that (hexadecimal).
private let filter = """
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stddef.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    static struct sock_filter code[256];
    static unsigned short length;
    static void add(unsigned short what, unsigned char yes, unsigned char no, unsigned value) {
        code[length++] = (struct sock_filter){what, yes, no, value};
    }
    static int number(const char *name) {
        static const struct { const char *name; int number; } calls[] = {
            {"pidfd_open", SYS_pidfd_open}, {"openat2", SYS_openat2}, {"mkdirat", SYS_mkdirat},
            {"fchmod", SYS_fchmod}, {"fcntl", SYS_fcntl},
        };
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
            if (strcmp(calls[i].name, name) == 0) return calls[i].number;
        return -1;
    }
    int main(int argc, char **argv) {
        int i = 1;
        for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
            char name[32];
            unsigned error, argument, mask, value;
            int fields = sscanf(argv[i], "%31[^:]:%u:%u:%x:%x", name, &error, &argument, &mask, &value);
            if ((fields != 2 && fields != 5) || number(name) < 0 || length > 200) return 99;
            add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
            add(BPF_JMP | BPF_JEQ | BPF_K, 0, fields == 2 ? 1 : 4, (unsigned)number(name));
            if (fields == 5) {
                add(BPF_LD | BPF_W | BPF_ABS, 0, 0,
                    offsetof(struct seccomp_data, args) + 8 * argument);
                add(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
                add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
            }
            add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error);
        }
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        struct sock_fprog program = {length, code};
        if (i + 1 >= argc || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
            return 98;
        execvp(argv[i + 1], argv + i + 1);
        return 97;
    }
    """

/// nil where there is no compiler, or no filters: of little-endian machines only.
private let filterProgram: String? = {
    guard let path = compile(filter, as: "refusing-filter"),
        run(path, ["pidfd_open:1", "--", "true"], environment: ["PATH": "/usr/bin:/bin"]).code == 0
    else { return nil }
    return path
}()

/// What containers and sandboxed services forbid.
@Suite(.ownThreads, .enabled(if: filterProgram != nil, "needs a C compiler and seccomp"))
struct SandboxTests {
    private func filtered(_ stage: Stage, _ rules: [String], _ script: String) -> Outcome {
        TestSupport.run(
            filterProgram ?? "", rules + ["--", "bash", "-c", script], environment: stage.variables)
    }

    // Old container runtimes refuse it with EPERM, kernels before 5.3 with ENOSYS.
    @Test(arguments: [EPERM, ENOSYS])
    func withoutProcessDescriptorsACommandIsRun(errno: Int32) {
        let stage = Stage()
        let rules = ["pidfd_open:\(errno)"]
        for line in ["run k --", "lock k --", "lease run k --ttl 1h --"] {
            let outcome = filtered(
                stage, rules, "flock-cache \(line) sh -c 'echo done; echo x >>$WORK/started'")
            #expect(outcome.code == 0 && outcome.text == "done\n", "\(line): \(outcome)")
            #expect(contents(of: stage.directory("started")) == Array("x\n".utf8), "\(line)")
            unlink(stage.directory("started"))
        }
        let failing = filtered(stage, rules, "flock-cache lock k -- sh -c 'exit 7'")
        #expect(failing.code == 7, "\(failing)")
        let missing = filtered(stage, rules, "flock-cache lock k -- /no/such/program")
        #expect(missing.code == 127, "\(missing)")
    }

    @Test(arguments: [EPERM, ENOSYS])
    func withoutProcessDescriptorsAClaimBelongsToTheScriptAndEndsWithIt(errno: Int32) throws {
        let stage = Stage()
        let rules = ["pidfd_open:\(errno)"]
        let line = "id=$(true; flock-cache claim k); echo claimed; read never"
        let script = Child(
            try #require(filterProgram), rules + ["--", "bash", "-c", line],
            environment: stage.variables)
        #expect(script.line() == "claimed", "\(script.restOfError())")
        // Whoever is not filtered judges as whoever is: by the time at which the owner started.
        let record = String(decoding: try stage.record("k.pending"), as: UTF8.self)
        #expect(record.contains("started: "), "\(record)")
        let losers = [stage.run("claim", "k"), filtered(stage, rules, "flock-cache claim k; exit")]
        for loser in losers {
            #expect(loser.code == 75, "\(loser)")
            #expect(loser.error.contains("pid \(script.id) (bash)"), "\(loser)")
        }
        #expect(filtered(stage, rules, "flock-cache reap").text.isEmpty)
        script.kill(SIGKILL)
        _ = script.wait()
        let reaped = filtered(stage, rules, "flock-cache reap")
        #expect(reaped.text == "k\tdead-process\n", "\(reaped)")
        #expect(stage.run("claim", "k").code == 0)
    }

    // A claim made where there are pidfds names an inode that the filtered cannot ask for.
    @Test func withoutProcessDescriptorsAnEndedOwnerIsSeenAndALiveOneKept() throws {
        let stage = Stage()
        let owner = stage.start("flock-cache claim k >/dev/null; echo claimed; read never")
        #expect(owner.line() == "claimed")
        #expect(
            String(decoding: try stage.record("k.pending"), as: UTF8.self).contains("process: "))
        #expect(filtered(stage, ["pidfd_open:1"], "flock-cache claim k; exit").code == 75)
        owner.kill(SIGKILL)
        _ = owner.wait()
        let next = filtered(stage, ["pidfd_open:1"], "flock-cache claim k; exit")
        #expect(next.code == 0, "\(next)")
    }

    // systemd's RestrictSUIDSGID=, which DynamicUser= implies: no call may name the set-group-id bit.
    private static let restrictingSetGroup = [
        "openat2:\(ENOSYS)", "mkdirat:\(EPERM):2:400:400", "fchmod:\(EPERM):1:400:400",
    ]

    @Test(arguments: ["0", "077"])
    func aSharedStoreIsUsedWhereTheSetGroupBitMayNotBeNamed(mask: String) throws {
        let stage = Stage()
        #expect(stage.run("init", "--mode", "0770").code == 0)
        let outcome = filtered(
            stage, Self.restrictingSetGroup,
            """
            umask \(mask)
            flock-cache claim k >/dev/null && flock-cache finalize k v && flock-cache get k &&
                flock-cache lock k -- echo " locked" && flock-cache lease run k --ttl 1h -- echo leased
            """)
        #expect(outcome.code == 0 && outcome.text == "v locked\nleased\n", "\(outcome)")
        let directories = TestSupport.run(
            "find", [stage.store, "-type", "d", "-printf", "%m\\n"], environment: stage.variables)
        #expect(Set(directories.text.split(separator: "\n")) == ["2770"], "\(directories)")
        // The others of the group go on in what was made.
        #expect(stage.run("claim", "k").text == "v")
    }

    @Test func aSharedStoreIsNotMadeWhereTheSetGroupBitMayNotBeNamed() {
        let stage = Stage()
        let outcome = filtered(
            stage, Self.restrictingSetGroup, "flock-cache init --mode 0770; echo $?; ls -A $WORK")
        #expect(outcome.text == "77\n", "\(outcome)")
        // A store whose directory lost the bit would hand down the wrong group: what is made there gets its own
        // name only when it is right.
        #expect(stage.run("init", "--mode", "0770").code == 0)
        chmod(stage.store, 0o770)
        let under = filtered(stage, Self.restrictingSetGroup, "flock-cache claim k; exit")
        #expect(under.code == 77, "\(under)")
        #expect(names(in: stage.store + "/entries").isEmpty)
        // A directory in it that lost the bit hands nothing down.
        chmod(stage.store, 0o2770)
        chmod(stage.store + "/entries", 0o770)
        let beside = filtered(stage, Self.restrictingSetGroup, "flock-cache claim k; exit")
        #expect(beside.code == 0, "\(beside)")
        let made = TestSupport.run(
            "find", [stage.store + "/entries", "-mindepth", "1", "-type", "d", "-printf", "%m\n"],
            environment: stage.variables)
        #expect(made.text == "2770\n", "\(made)")
    }

    @Test func aDirectoryThatCannotBeMadeIsNamedWhereItWouldLie() {
        let stage = Stage()
        stage.publish("other", "v")
        let outcome = filtered(stage, ["mkdirat:\(EPERM)"], "flock-cache claim k; exit")
        #expect(outcome.code == 77, "\(outcome)")
        #expect(
            outcome.error.contains("cannot make the directory at \(stage.store)/entries/"),
            "\(outcome)")
    }

    // AppArmor without the permission `k` says what CIFS says of a lock that somebody has.
    @Test func aForbiddenLockIsNoLockOfSomebodyElse() {
        let stage = Stage()
        stage.publish("old", "v")
        let setting = "fcntl:\(EACCES):1:ffffffff:25"
        for rules in [[setting], [setting, "fcntl:\(EACCES):1:ffffffff:24"]] {
            for (line, code) in [
                ("lock -n k -- true", 125), ("lock k -- true", 125), ("claim k", 77),
                ("run k -- true", 125), ("stats", 77),
            ] {
                let outcome = filtered(stage, rules, "flock-cache \(line); exit")
                #expect(outcome.code == Int32(code), "\(line): \(outcome)")
                #expect(outcome.error.contains("Permission denied"), "\(line): \(outcome)")
                #expect(outcome.error.contains("a security module forbids"), "\(line): \(outcome)")
                #expect(!outcome.error.contains("somebody"), "\(line): \(outcome)")
            }
            #expect(filtered(stage, rules, "flock-cache get old").text == "v")
        }
        // The same answer where somebody has it means what it says.
        let holder = stage.start("flock-cache lock k -- sh -c 'echo held; read never'")
        #expect(holder.line() == "held")
        let busy = filtered(stage, [setting], "flock-cache lock -n k -- true; exit")
        #expect(busy.code == 75, "\(busy)")
    }
}
