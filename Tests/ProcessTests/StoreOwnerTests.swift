import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Whose store it is, and in whose directories one is made.
@Suite(.ownThreads) struct StoreOwnerTests {
    /// A command line run as a user of that group and those supplementary groups.
    private func asUser(_ user: Int, _ group: Int, _ groups: String = "") -> String {
        "setpriv --reuid \(user) --regid \(group) "
            + (groups.isEmpty ? "--clear-groups" : "--groups \(groups)")
    }

    // Root may open whatever it likes, but would leave its values to a stranger.
    @Test(
        .enabled(if: canBeNobody, "needs root, setpriv, and a build that others may run"),
        arguments: ["0750", "0770"])
    func rootIsRefusedASharedStoreOfAStranger(mode: String) {
        let stage = Stage()
        chmod(stage.directory.path, 0o1777)
        let made = stage.script("\(asUser(65534, 65534)) flock-cache init --mode \(mode)")
        #expect(made.code == 0, "\(made)")
        for command in ["claim k", "get k", "list", "stats", "reap", "init --mode \(mode)"] {
            let outcome = stage.script("\(asUser(0, 0, "0,4")) flock-cache \(command)")
            #expect(outcome.code == 77, "\(command): \(outcome)")
            #expect(
                outcome.error.contains(
                    "\(stage.store): it belongs to user 65534 and group 65534, with mode 0\(2000 + (Int(mode) ?? 0)), "
                        + "and this process is user 0, not a member of group 65534"),
                "\(command): \(outcome)")
        }
        let secret = stage.run("run", "token", "--", "echo", "root-secret")
        #expect(secret.code == 125 && secret.output.isEmpty, "\(secret)")
        #expect(stage.script("\(asUser(65534, 65534)) flock-cache get token").code == 1)

        // A member may, by its own group or by a supplementary one.
        for groups in [asUser(0, 65534), asUser(0, 0, "4,65534")] {
            let outcome = stage.script("\(groups) flock-cache get k")
            #expect(outcome.code == 1, "\(outcome)")
        }
        let member = stage.script("\(asUser(12345, 65534)) flock-cache claim k")
        #expect(member.code == (mode == "0770" ? 0 : 77), "\(member)")
        let stranger = stage.script("\(asUser(12345, 12345)) flock-cache get k")
        #expect(stranger.code == 77, "\(stranger)")
        #expect(stranger.error.contains("not a member of group 65534"), "\(stranger)")
    }

    // Its own shared stores are for all that the kernel lets in.
    @Test(.enabled(if: canBeNobody, "needs root, setpriv, and a build that others may run"))
    func aSharedStoreOfRootIsUsedByItsGroup() {
        let stage = Stage()
        chmod(stage.directory.path, 0o755)
        let made = stage.script(
            "mkdir $FLOCK_CACHE_DIR; chgrp 65534 $FLOCK_CACHE_DIR; flock-cache init --mode 0770")
        #expect(made.code == 0, "\(made)")
        #expect(stage.run("claim", "--owner", "\(getpid())", "k").code == 0)
        #expect(stage.script("\(asUser(12345, 65534)) flock-cache claim l").code == 0)
    }

    /// What the places in another user's home are: by `HOME`, by name, and by what root made there before.
    private static let homes: [[String: String]] = [
        ["HOME": "home"], ["HOME": "home", "FLOCK_CACHE_DIR": "home/a/b/c"],
        ["HOME": "home", "XDG_CACHE_HOME": "home/.cache"],
        ["HOME": "home", "FLOCK_CACHE_DIR": "home/of-root/store"],
        ["HOME": "home", "FLOCK_CACHE_DIR": "link/store"],
    ]

    @Test(
        .enabled(if: canBeNobody, "needs root, setpriv, and a build that others may run"),
        arguments: homes)
    func rootMakesNothingInAnotherUsersHome(variables: [String: String]) {
        var stage = Stage()
        chmod(stage.directory.path, 0o755)
        let home = stage.directory("home")
        mkdir(home, 0o755)
        mkdir(home + "/of-root", 0o755)
        chown(home, 65534, 65534)
        symlink("home", stage.directory("link"))
        stage.variables["FLOCK_CACHE_DIR"] = nil
        for (name, path) in variables { stage.variables[name] = stage.directory(path) }
        #expect(stage.run("get", "k").code == 1)
        for command in ["claim k", "init", "init --mode 0770"] {
            let outcome = stage.script("flock-cache \(command)")
            #expect(outcome.code == 78, "\(command): \(outcome)")
            #expect(
                outcome.error.contains("\(home), the home directory of user 65534"), "\(outcome)")
            #expect(outcome.error.contains("nothing was made"), "\(outcome)")
        }
        #expect(stage.run("lock", "k", "--", "true").code == 125)
        #expect(names(in: home) == ["of-root"])
        #expect(names(in: home + "/of-root").isEmpty)
        if variables.count == 1 {
            let user = stage.script("\(asUser(65534, 65534)) flock-cache lock k -- true")
            #expect(user.code == 0, "\(user)")
            // Nor does root use what the user has there.
            let root = stage.run("claim", "k")
            #expect(root.code == 77 && root.error.contains("belongs to user 65534"), "\(root)")
        }
    }

    @Test(.enabled(if: canMount, "needs root, unshare and mount"))
    func aHomeIsKnownByTheListOfUsers() {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                echo "somebody:x:65534:65534:a user:$WORK/home:/bin/sh" >$WORK/passwd
                mount --bind $WORK/passwd /etc/passwd
                mkdir $WORK/home $WORK/other; chown 65534 $WORK/home $WORK/other
                flock-cache --store $WORK/home/store claim k; echo $?
                flock-cache --store $WORK/other/store claim -q k >/dev/null; echo $?
                """,
            ], environment: stage.variables)
        #expect(outcome.text == "78\n0\n", "\(outcome)")
        #expect(names(in: stage.directory("home")).isEmpty)
    }

    @Test(.enabled(if: isRoot, "needs root"))
    func nothingIsMadeInAnEmptyDirectoryOfAnotherUser() {
        let stage = Stage()
        mkdir(stage.store, 0o700)
        chown(stage.store, 65534, 65534)
        for command in ["claim k", "init", "init --mode 0770"] {
            let outcome = stage.script("flock-cache \(command)")
            #expect(outcome.code == 77, "\(command): \(outcome)")
            #expect(outcome.error.contains("belongs to user 65534"), "\(outcome)")
        }
        #expect(names(in: stage.store).isEmpty)
    }

    @Test(arguments: ["relative", "~", "~/x", "./x", "/nonexistent/home", "/dev/null", ""])
    func aHomeThatIsNoDirectoryIsRefused(home: String) {
        var stage = Stage()
        stage.variables["FLOCK_CACHE_DIR"] = nil
        stage.variables["HOME"] = home
        // A relative one is ignored, as the specification of base directories has it.
        stage.variables["XDG_CACHE_HOME"] = "relative"
        for command in ["claim k", "get k", "list"] {
            let outcome = stage.script("cd $WORK; flock-cache \(command)")
            #expect(outcome.code == 78, "\(command): \(outcome)")
            #expect(outcome.error.contains("HOME is"), "\(command): \(outcome)")
            #expect(outcome.error.contains("FLOCK_CACHE_DIR"), "\(command): \(outcome)")
        }
        #expect(stage.script("cd $WORK; flock-cache lock k -- true").code == 125)
        #expect(names(in: stage.directory.path).isEmpty)
        #expect(names(in: "/nonexistent").isEmpty)
    }

    @Test(arguments: ["~", "~/x", "~somebody/x"])
    func aTildeThatNoShellReplacedIsExplained(path: String) {
        let stage = Stage()
        for (line, code) in [
            ("flock-cache --store='\(path)'", 64), ("flock-cache --store '\(path)'", 64),
            ("FLOCK_CACHE_DIR='\(path)' flock-cache", 78),
        ] as [(String, Int32)] {
            for command in ["claim k", "get k"] {
                let outcome = stage.script("cd $WORK; \(line) \(command)")
                #expect(outcome.code == code, "\(line): \(outcome)")
                #expect(outcome.error.contains("only a shell replaces '~'"), "\(line): \(outcome)")
            }
        }
        #expect(names(in: stage.directory.path).isEmpty)
        // Which a directory of that name may still be.
        #expect(stage.script("cd $WORK; flock-cache --store ./'\(path)' claim k").code == 0)
    }
}
