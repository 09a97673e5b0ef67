import Testing
import TestSupport

@testable import TestHelpers

private let canFreeze = canMount && isInstalled("mkfs.ext4")

/// A device that hangs hangs those who use it, and nobody else.
@Suite(
    .ownThreads(minutes: 5), .enabled(if: canFreeze, "needs root, unshare, mount and mkfs.ext4"))
struct FrozenTests {
    let directory = TemporaryDirectory()

    /// Whether the store is made, or is there and lacks only the file of the lock.
    @Test(arguments: ["frozen", "frozen-existing"])
    func openingAStoreDelaysNeitherAnotherOneNorAFork(order: String) {
        let peer = PeerProcess(
            directory("store"),
            wrapper: [
                "unshare", "-m", "sh", "-c",
                """
                set -e
                truncate -s 16M "$0/image"
                mkfs.ext4 -qF "$0/image"
                mkdir "$0/device"
                mount -o loop "$0/image" "$0/device"
                # Should the peer be killed while the device is frozen, nothing else would thaw it.
                setsid sh -c 'sleep 60; fsfreeze -u "$0"' "$0/device" &
                "$@"
                kill -- -$!
                umount "$0/device"
                """, directory.path,
            ])
        #expect(peer.ask("\(order) \(directory("device/store"))") == "beside")
        peer.exit()
    }

    private static let mounting = """
        set -e
        truncate -s 16M "$0/image"
        mkfs.ext4 -qF "$0/image"
        mkdir "$0/device"
        mount -o loop "$0/image" "$0/device"
        # Should it be killed while the device is frozen, nothing else would thaw it.
        setsid sh -c 'sleep 60; fsfreeze -u "$0"' "$0/device" &
        "$@" || result=$?
        kill -- -$!
        umount "$0/device"
        exit ${result:-0}
        """

    /// The lease is renewed on the device: nothing but its time tells that it is over.
    @Test func leaseRunEndsItsCommandThoughTheRenewalHangs() {
        let command = """
            trap 'echo told; fsfreeze -u "$0"; exit' TERM
            fsfreeze -f "$0"; echo begun
            for i in $(seq 600); do sleep 0.05; done
            echo late; fsfreeze -u "$0"
            """
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "sh", "-c", Self.mounting, directory.path, builtProducts + "/flock-cache",
                "--store", directory("device/store"), "lease", "run", "key", "--ttl", "3s",
                "--kill-after", "40s", "--", "bash", "-c", command, directory("device"),
            ])
        // On a busy machine it may be told while it still freezes the device.
        #expect(outcome.text.hasSuffix("told\n") && !outcome.text.contains("late"), "\(outcome)")
        #expect(outcome.code == 76, "\(outcome)")
    }

    /// On a terminal, where it is said soon.
    ///
    /// Where a file system is allowed by name the one of a store that is not there yet may have a server.
    @Test(.enabled(if: isInstalled("python3")))
    func aCommandSaysThatItsFileSystemDoesNotAnswer() {
        let script = """
            import os, pty, subprocess, sys
            command, device, store = sys.argv[1:]
            os.environ["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin"
            subprocess.run(["fsfreeze", "-f", device], check=True)
            pid, terminal = pty.fork()
            if pid == 0:
                os.environ["FLOCK_CACHE_ALLOW_FILE_SYSTEM"] = "any"
                os.execv(command, [command, "--store", store, "put", "k", "second"])
            text = os.read(terminal, 4096).decode()
            subprocess.run(["fsfreeze", "-u", device], check=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.strip())
            subprocess.run([command, "--store", store, "get", "k"], check=True)
            """
        write(script.utf8, to: directory("script.py"))
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "sh", "-c", Self.mounting, directory.path, "python3", "-u",
                directory("script.py"), builtProducts + "/flock-cache", directory("device"),
                directory("device/store"),
            ])
        let expected =
            "0 flock-cache: the file system of the store at \(directory("device/store")) has not "
            + "answered for 2.0 s; this command goes on when it answers; to end it: kill "
        #expect(outcome.text.hasPrefix(expected), "\(outcome)")
        #expect(outcome.text.hasSuffix("\nsecond"), "\(outcome)")
    }

    #if Async
    /// The same of a program's task.
    @Test func withLeaseCancelsItsTaskThoughTheRenewalHangs() {
        let peer = PeerProcess(
            directory("device/store"),
            wrapper: ["unshare", "-m", "sh", "-c", Self.mounting, directory.path])
        peer.process.tell("lease-kept-frozen 600 \(directory("device"))")
        #expect(peer.process.line()?.hasPrefix("begun ") == true)
        #expect(peer.process.line() == "cancelled")
        #expect(peer.process.line() == "thawed")
        #expect(peer.process.line() == "lost")
        peer.exit()
    }
    #endif
}
