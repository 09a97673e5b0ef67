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
}
