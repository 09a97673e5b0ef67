import Testing
import TestSupport

@testable import TestHelpers

/// What works on a full disk: all that needs no new blocks, where the file system writes in place only on request
/// (btrfs), and needs room to make a file (XFS).
@Suite(.ownThreads(minutes: 5), .enabled(if: canMount, "needs root, unshare and mount"))
struct FullDiskTests {
    private let stage = Stage()

    /// Runs a script in a store on a file system of its own, with a function that fills it.
    private func run(on type: String, megabytes: Int, _ script: String) -> Outcome {
        stage.script(
            """
            unshare -m bash -c '
                set -e; cd $WORK; truncate -s \(megabytes)M image; mkfs.\(type) -q image > /dev/null
                mkdir m; mount -o loop image m; export FLOCK_CACHE_DIR=$WORK/m/s
                fill() {
                    size=$((64 << 20)); n=0
                    while [ $size -ge 4096 ]; do
                        n=$((n + 1)); fallocate -l $size m/fill-$n 2> /dev/null || size=$((size / 2))
                    done
                    dd if=/dev/zero of=m/rest bs=4k 2> /dev/null || :
                    sync -f m
                }
                set +e; \(script)
                umount m'
            """)
    }

    @Test(
        .enabled(if: isInstalled("mkfs.btrfs"), "needs btrfs-progs"),
        arguments: ["", "--mode 0770"])
    func onBtrfsClaimsAndLeasesEnd(settings: String) {
        let outcome = run(
            on: "btrfs", megabytes: 128,
            """
            flock-cache init \(settings); flock-cache put value v > /dev/null
            c=$(flock-cache claim k --owner none --stale-after 1h); g=$(flock-cache lease acquire l --ttl 1h)
            lsattr -d m/s/locks m/s/leases | cut -c1-22 | grep -c C
            fill
            flock-cache finalize k --generation $c --file /bin/bash 2> /dev/null; echo full $?
            for n in 1 2 3 4 5 6 7 8; do flock-cache lease renew l --generation $g || echo renew $?; done
            flock-cache lease release l --generation $g; echo release $?
            flock-cache abandon k --generation $c; echo abandon $?
            flock-cache remove value; echo remove $?
            flock-cache reap --max-bytes 1; echo reap $?
            flock-cache stats
            """)
        #expect(
            outcome.text
                == "2\nfull 74\nrelease 0\nabandon 0\nremove 0\nreap 0\npending 0\nready 0\nbytes 0\n",
            "\(outcome)")
    }

    @Test(.enabled(if: isInstalled("mkfs.xfs"), "needs xfsprogs"))
    func onXFSEveryLockCanBeHad() {
        let outcome = run(
            on: "xfs", megabytes: 320,
            """
            flock-cache put value v > /dev/null; g=$(flock-cache lease acquire l --ttl 1h); fill
            flock-cache lease release l --generation $g; flock-cache reap; echo reap $?
            flock-cache put another v > /dev/null 2>&1; echo full $?
            for n in $(seq 128); do flock-cache lock key-$n -- true || echo lock $?; done
            """)
        #expect(outcome.text == "reap 0\nfull 74\n", "\(outcome)")
    }

    /// Where no file can be made there is no queue, and who waits for a lease asks from time to time.
    @Test func withoutAFileALeaseIsWaitedForAllTheSame() {
        let outcome = stage.script(
            """
            unshare -m bash -c '
                cd $WORK; mkdir m; mount -t tmpfs -o nr_inodes=60 none m; export FLOCK_CACHE_DIR=$WORK/m/s
                g=$(flock-cache lease acquire l --ttl 1h); n=0
                while : > m/fill-$n; do n=$((n + 1)); done 2> /dev/null
                flock-cache lease acquire l --ttl 1h -w 20ms 2> /dev/null; echo held $?
                (flock-cache lease acquire l --ttl 1h -w 60s > got; echo had $?) &
                flock-cache lease release l --generation $g; echo release $?
                wait; umount m'
            """)
        #expect(outcome.text == "held 124\nrelease 0\nhad 0\n", "\(outcome)")
    }
}
