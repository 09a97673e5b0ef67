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
