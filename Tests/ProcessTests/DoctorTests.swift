import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `doctor`: what it finds, what it leaves alone, and what it repairs.
@Suite(.ownThreads) struct DoctorTests {
    private let stage = Stage()

    /// The lines of a run, by check.
    private func examine(_ arguments: String...) -> (code: Int32, lines: [String: [Substring]]) {
        let outcome = TestSupport.run(
            builtProducts + "/flock-cache", ["doctor"] + arguments, environment: stage.variables)
        var lines: [String: [Substring]] = [:]
        for line in outcome.text.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            #expect(fields.count == 4, "\(line)")
            #expect(lines[String(fields[1])] == nil, "told twice: \(line)")
            lines[String(fields[1])] = fields
        }
        return (outcome.code, lines)
    }

    private func file(_ name: String) -> String {
        String(stage.script("find $FLOCK_CACHE_DIR -name '\(name)'").text.dropLast())
    }

    @Test func aStoreThatIsWholePasses() {
        stage.publish("k", "v")
        stage.run("increment", "n")
        stage.run("journal", "append", "j", "x")
        stage.run("lease", "acquire", "l", "--ttl", "1h")
        let before = stage.script("cd $FLOCK_CACHE_DIR; find . -type f | sort | xargs cksum").text
        let (code, lines) = examine()
        #expect(code == 0 && lines.values.allSatisfy { $0[0] != "failed" }, "\(lines)")
        let checks: Set<String> = [
            "store", "file-system", "space", "locks", "names", "wake-ups", "kernel", "clock",
            "lock-files",
            "permissions", "records", "changes", "counts", "debris", "leases", "journals",
            "quarantine",
        ]
        #expect(Set(lines.keys) == checks)
        #expect(lines["records"]?[2] == "complete: 2" && lines["leases"]?[2] == "complete: 1")
        #expect(lines["locks"]?[0] == "ok" && lines["names"]?[0] == "ok")
        // What it tries out is gone, and nothing else was touched.
        #expect(
            stage.script("cd $FLOCK_CACHE_DIR; find . -type f | sort | xargs cksum").text == before)
        #expect(stage.run("doctor", "--json").text.split(separator: "\n").count == checks.count)
    }

    @Test func withoutAStoreItExitsWith66AndMakesNone() {
        let outcome = stage.run("doctor")
        #expect(outcome.code == 66 && outcome.error.contains(stage.store), "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty)
    }

    @Test func aCorruptRecordIsFoundAndQuarantinedOnRequestOnly() {
        stage.publish("good", "v")
        stage.publish("bad", "value")
        stage.script("sed -i 's/value$/vblue/' \(file("bad"))")
        for _ in 0..<2 {
            let (code, lines) = examine()
            #expect(code == 1 && lines["records"]?[0] == "failed", "\(lines)")
            #expect(lines["records"]?[2].contains("'bad'") == true)
        }
        let (code, lines) = examine("--repair")
        #expect(code == 0 && lines["records"]?[2].contains("repaired") == true, "\(lines)")
        #expect(stage.run("get", "bad").code == 1)
        #expect(stage.run("get", "good").text == "v")
        #expect(examine().lines["quarantine"]?[0] == "warning")
    }

    @Test func whatWasRemovedByHandIsCountedAgain() {
        stage.publish("k", "v")
        stage.script("rm \(file("k"))")
        let (code, lines) = examine("--repair")
        #expect(code == 0 && lines["counts"]?[0] == "ok", "\(lines)")
        #expect(stage.run("stats").text.hasPrefix("pending 0\nready 0\n"))
    }

    @Test func wrongModesAreNamed() {
        stage.publish("k", "v")
        stage.script("chmod 777 $FLOCK_CACHE_DIR/locks")
        let (code, lines) = examine()
        #expect(code == 1 && lines["permissions"]?[2].contains("locks (0777)") == true, "\(lines)")
        #expect(lines["permissions"]?[3].contains("chmod -R u+rwX,go-rwx \(stage.store)") == true)
        stage.script(String(lines["permissions"]?[3] ?? "false"))
        #expect(examine().lines["permissions"]?[0] == "ok")
    }

    /// Stops a change at a call at which it has the shard's mutex; which one that is, is looked for.
    @Test func aStoppedChangeIsNamedAndAKilledOneCompleted() throws {
        stage.publish("k", "v")
        for call in stride(from: 20, to: 120, by: 4) {
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(call):STOP"
            let change = Child(
                builtProducts + "/flock-cache", ["put", "k", "w"], environment: variables)
            // Otherwise it has ended before its N-th call.
            guard change.waitForStop() else { continue }
            let (code, lines) = examine()
            change.kill(SIGKILL)
            _ = change.wait()
            guard lines["changes"]?[2].contains("pid \(change.id)") == true else { continue }
            #expect(code == 1 && lines["changes"]?[0] == "failed", "\(lines)")
            let after = examine("--repair")
            #expect(after.code == 0 && after.lines["changes"]?[0] == "ok", "\(after)")
            #expect(examine().lines["debris"]?[2] == "none")
            return
        }
        Issue.record("no call stopped it in the middle of a change")
    }

    @Test func aLockFileThatWasRemovedInUseIsFound() {
        let holder = stage.start("flock-cache lock k -- sh -c 'echo held; read end'")
        #expect(holder.line() == "held")
        #expect(examine().lines["lock-files"]?[0] == "ok")
        stage.script("rm $FLOCK_CACHE_DIR/locks/[0-9a-f][0-9a-f]")
        let (code, lines) = examine()
        #expect(code == 1 && lines["lock-files"]?[2].contains("(flock-cache)") == true, "\(lines)")
        holder.closeInput()
        _ = holder.wait()
        #expect(examine().lines["lock-files"]?[0] == "ok")
    }

    @Test(.enabled(if: canUnshare, "needs root and unshare"))
    func fullAndReadOnlyFileSystemsAreNamed() {
        let outcome = stage.script(
            """
            unshare -m sh -c '
                mkdir $WORK/m; mount -t tmpfs -o size=1m none $WORK/m; export FLOCK_CACHE_DIR=$WORK/m/s
                flock-cache put k v > /dev/null
                dd if=/dev/zero of=$WORK/m/big bs=4k 2> /dev/null; flock-cache doctor | grep space
                rm $WORK/m/big; mount -o remount,ro $WORK/m; flock-cache doctor; echo $?'
            """)
        #expect(outcome.text.hasPrefix("failed\tspace\t0 MiB free"), "\(outcome)")
        #expect(outcome.text.contains("warning\tfile-system\ttmpfs (ro,"), "\(outcome)")
        #expect(outcome.text.contains("ok\trecords\tcomplete: 1\t\n"), "\(outcome)")
        #expect(outcome.text.hasSuffix("\n0\n"), "\(outcome)")
    }

    @Test(.enabled(if: canBeNobody)) func aStoreOfAnotherUserIsAFinding() {
        stage.publish("k", "v")
        let outcome = stage.script(
            "chmod 755 $WORK; setpriv \(nobody.joined(separator: " ")) flock-cache doctor")
        #expect(outcome.code == 1 && outcome.text.hasPrefix("failed\tstore\t"), "\(outcome)")
    }

    @Test(.enabled(if: isRoot && canBeNobody)) func whoMayOnlyReadIsTold() {
        let outcome = stage.script(
            """
            chmod 755 $WORK; export FLOCK_CACHE_DIR=$WORK/readable
            flock-cache init --mode 0750; flock-cache put k v > /dev/null
            chgrp -R 65534 $FLOCK_CACHE_DIR
            setpriv --reuid 65534 --regid 65534 --clear-groups flock-cache doctor; echo $?
            """)
        for name in ["locks", "names"] {
            #expect(
                outcome.text.contains("warning\t\(name)\tnot tried: this user may not write here"),
                "\(outcome)")
        }
        #expect(outcome.text.hasSuffix("\n0\n"), "\(outcome)")
    }

    /// Of one machine both see that they are; what they do is the same.
    @Test func twoHostsProveExclusion() {
        let host = stage.start("flock-cache doctor --serve -w 30s; echo $?")
        let guest = stage.run("doctor", "--meet", "-w", "30s")
        #expect(guest.code == 0 && guest.text.contains("exclude one another"), "\(guest)")
        let outcome = host.finish()
        #expect(outcome.text.hasPrefix("warning\tmeeting\ttwo processes of this machine"))
        #expect(outcome.text.hasSuffix("\n0\n"), "\(outcome)")
        #expect(!names(in: stage.store).contains { $0.contains("meeting") })
    }

    @Test func whoMeetsNobodyTimesOut() {
        stage.publish("k", "v")
        for side in ["--serve", "--meet"] {
            let outcome = stage.run("doctor", side, "-w", "100ms")
            #expect(
                outcome.code == 124 && outcome.error.contains("no other host came"), "\(outcome)")
        }
        #expect(!names(in: stage.store).contains { $0.contains("meeting") })
        #expect(stage.run("doctor", "--serve", "--meet").code == 64)
    }

    /// Locks of each host alone, as NFSv3 with `nolock` has them: the other's lock is granted, or not seen.
    @Test func twoThatDoNotExcludeAreFound() throws {
        stage.publish("k", "v")
        let host = stage.start("flock-cache doctor --serve -w 30s; echo $?")
        let file = stage.store + "/.flock-cache-meeting-host"
        #expect(waitUntil { contents(of: file)?.starts(with: "serves ".utf8) == true })
        // One that comes without a lock, as a host whose locks the other does not see.
        let text = String(decoding: contents(of: file) ?? [], as: UTF8.self)
        let number = text.split(separator: " ")[1]
        stage.script(
            """
            cd $FLOCK_CACHE_DIR
            printf 'meets \(number) elsewhere 0\n' > new; mv new .flock-cache-meeting-guest
            """
        )
        let outcome = host.finish()
        #expect(
            outcome.text.hasPrefix(
                "failed\tmeeting\twith elsewhere: the other host's lock is not seen"))
        #expect(outcome.text.hasSuffix("\n1\n"), "\(outcome)")
    }
}
