import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `who` shows every lock that is held, also where nobody has noted whose it is.
@Suite(.ownThreads(minutes: 5)) struct WholeWhoTests {
    private let stage = Stage()

    /// Of some two notes have one place on the board, and only the later one is there.
    @Test func aThousandLocksAreListed() throws {
        let outcome = stage.script(
            """
            ulimit -n 4096
            flock-cache lock $(seq -f key-%g 1000) -- flock-cache who
            """)
        let rows = outcome.text.split(separator: "\n").map { $0.split(separator: "\t") }
        #expect(outcome.code == 0 && rows.count == 1000, "\(rows.count): \(outcome.error)")
        #expect(rows.allSatisfy { $0.count == 10 && $0[0] == "lock" })
        let named = Set(rows.map { $0[1] }).subtracting(["…"])
        let unnamed = rows.count { $0[1] == "…" }
        #expect(named.count + unnamed == 1000 && named.count > 800, "\(named.count)")
        #expect(named.allSatisfy { $0.hasPrefix("key-") })
        print("of 1000 locks \(unnamed) have no note")
        #expect(outcome.error.contains("\(unnamed) locks are held whose keys are not known"))
    }

    @Test func withoutABoardEachIsListedWithoutItsKey() {
        let holders = [
            stage.hold("k"), stage.hold("-s", "r"), stage.hold("--slots", "9", "s"),
            stage.hold("--slots", "9", "s"),
        ]
        #expect(unlink(stage.store + "/board") == 0)
        let outcome = stage.run("who")
        let kinds = outcome.text.split(separator: "\n").map { $0.split(separator: "\t") }
        #expect(kinds.map { $0[0] }.sorted() == ["lock", "lock", "lock", "shared"], "\(outcome)")
        let rest = ["…", "-", "-", "-", "-", "-", "-", "-", "unknown"]
        #expect(kinds.allSatisfy { $0[1...].map(String.init) == rest }, "\(outcome)")
        #expect(outcome.error.contains("4 locks are held whose keys are not known"), "\(outcome)")
        #expect(stage.run("who", "-q").error.isEmpty)
        #expect(stage.who("s").map { $0[0...1] } == [["slot-0", "s"], ["slot-1", "s"]])
        #expect(stage.who("r").map { $0[0...1] } == [["shared", "r"]])
        #expect(stage.run("who", "other").code == 1)
        for holder in holders { #expect(holder.outcome().code == 0) }
        let free = stage.run("who")
        #expect(free.code == 0 && free.output.isEmpty && free.error.isEmpty, "\(free)")
    }

    /// What others have noted is read there.
    @Test(.enabled(if: canMount, "needs root, unshare and mount"))
    func onAReadOnlyMountKeysAreNamed() {
        let holders = [stage.hold("k"), stage.hold("-s", "r")]
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/ro
                mount --bind $FLOCK_CACHE_DIR $WORK/ro && mount -o remount,ro,bind $WORK/ro || exit 77
                export FLOCK_CACHE_DIR=$WORK/ro
                flock-cache who | cut -f 1-3 | sort
                flock-cache who k | cut -f 1-3
                flock-cache who other; echo $?
                """,
            ], environment: stage.variables)
        let (k, r) = ("lock\tk\t\(holders[0].id)", "shared\tr\t\(holders[1].id)")
        #expect(outcome.text == "\(k)\n\(r)\n\(k)\n1\n" && outcome.error.isEmpty, "\(outcome)")
        for holder in holders { #expect(holder.outcome().code == 0) }
    }

    /// btrfs carries no board.
    @Test(.enabled(if: canMount, "needs root, unshare and mount"))
    func onBtrfsEachIsListed() {
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/m
                truncate -s 128M $WORK/image
                mkfs.btrfs -q $WORK/image >/dev/null 2>&1 && mount -o loop $WORK/image $WORK/m || exit 77
                export FLOCK_CACHE_DIR=$WORK/m/store
                flock-cache lock k -- flock-cache lock -s r -- flock-cache lock --slots 2 s -- bash -c '
                    flock-cache lease acquire lease --ttl 1h >/dev/null
                    flock-cache who | cut -f 1-2 | sort
                    flock-cache who k | cut -f 1-2
                    flock-cache who s | cut -f 1-2
                    flock-cache -q who other; echo $?'
                mount -o remount,ro $WORK/m
                flock-cache who | cut -f 1-2
                umount $WORK/m
                """,
            ], environment: stage.variables)
        if outcome.code == 77 {
            print("btrfs cannot be mounted here: \(outcome.error)")
            return
        }
        #expect(
            outcome.text.split(separator: "\n").map(String.init) == [
                "lease\tlease", "lock\t…", "lock\t…", "shared\t…", "lock\tk", "lock\ts", "1",
                "lease\tlease",
            ], "\(outcome)")
        #expect(outcome.error.contains("3 locks are held whose keys are not known"), "\(outcome)")
    }
}
