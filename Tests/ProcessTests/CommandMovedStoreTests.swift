import Glibc
import TestSupport
import Testing

@testable import TestHelpers

/// A store that other processes find at its path no longer, while it is in use.
@Suite(.ownThreads(minutes: 5)) struct CommandMovedStoreTests {
    /// How the store at its path becomes another one.
    enum Move: CaseIterable {
        case removed, renamed, parentRenamed, linkChanged

        /// Where the store is to be named, before it is made.
        func prepare(_ stage: inout Stage) {
            let place = stage.directory("place")
            mkdir(place, 0o700)
            mkdir(stage.directory("other"), 0o700)
            switch self {
            case .linkChanged:
                mkdir(stage.directory("first"), 0o700)
                symlink("first", stage.directory("link"))
                stage.variables["FLOCK_CACHE_DIR"] = stage.directory("link")
            default: stage.variables["FLOCK_CACHE_DIR"] = place + "/store"
            }
        }

        func make(_ stage: Stage) {
            let store = stage.directory("place/store")
            switch self {
            case .removed: removeTree(store)
            case .renamed: #expect(rename(store, stage.directory("other/store")) == 0)
            case .parentRenamed:
                #expect(rename(stage.directory("place"), stage.directory("elsewhere")) == 0)
            case .linkChanged:
                unlink(stage.directory("link"))
                #expect(symlink("other", stage.directory("link")) == 0)
            }
        }
    }

    private func stage(_ move: Move) -> Stage {
        var stage = Stage()
        move.prepare(&stage)
        return stage
    }

    @Test(arguments: Move.allCases) func theHolderOfALockIsTold(move: Move) {
        let stage = stage(move)
        let holder = stage.hold("k")
        move.make(stage)
        #expect(stage.lock("-n", "k", "--", "true").code == 0, "in another store")
        let outcome = holder.outcome()
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.error.contains("was removed") || outcome.error.contains("was moved"))
    }

    @Test(arguments: Move.allCases) func aWaiterGoesOnInTheNewStore(move: Move) {
        let stage = stage(move)
        let holder = stage.hold("k")
        let waiter = stage.startLock("k", "--", "sh", "-c", "echo got; exec cat")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        move.make(stage)
        #expect(waiter.line() == "got", "although the lock is held in the moved store")
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        #expect(holder.outcome().code == 76)
        #expect(waiter.outcome().code == 0)
    }

    @Test(arguments: Move.allCases, [10, 200_000])
    func aValueThatNobodyWouldFindIsNotPublished(move: Move, size: Int) {
        let stage = stage(move)
        let runner = stage.start(
            "exec flock-cache run k -- sh -c 'echo begun; read go; head -c \(size) /dev/zero'")
        #expect(runner.line() == "begun")
        move.make(stage)
        runner.tell("")
        let outcome = runner.outcome()
        #expect(outcome.code == 76, "\(outcome.ending) \(outcome.error)")
        #expect(outcome.output.count == size, "its own caller gets the value")
        #expect(outcome.error.contains("was moved or removed"), "\(outcome.error)")
        #expect(stage.run("get", "k").code == 1)
    }

    @Test(arguments: Move.allCases) func theHolderOfALeaseIsTold(move: Move) {
        let stage = stage(move)
        let holder = stage.start(
            "exec flock-cache lease run k --ttl 1h -- sh -c 'echo begun; read go'")
        #expect(holder.line() == "begun")
        move.make(stage)
        let rival = stage.run("lease", "acquire", "k", "--ttl", "1h")
        #expect(rival.code == 0, "\(rival)")
        holder.tell("")
        let outcome = holder.outcome()
        #expect(outcome.code == 76, "\(outcome)")
        let generation = "\(rival.generation ?? 0)"
        #expect(stage.run("lease", "check", "k", "--generation", generation).code == 0)
    }

    /// A renewal in a store that nobody finds keeps no lease.
    @Test func theCommandUnderALeaseOfAMovedStoreIsEnded() {
        let stage = stage(.renamed)
        let holder = stage.start(
            "exec flock-cache lease run k --ttl 900ms -- sh -c 'echo begun; exec sleep 1000'")
        #expect(holder.line() == "begun")
        Move.renamed.make(stage)
        let outcome = holder.outcome()
        #expect(outcome.code == 76, "\(outcome)")
    }

    /// The files keep their names, in a directory that nobody looks into.
    @Test func theHolderIsToldOfADirectoryOfLocksThatWasReplaced() {
        let stage = Stage()
        let holder = stage.hold("k")
        #expect(rename(stage.store + "/locks", stage.store + "/old") == 0)
        #expect(mkdir(stage.store + "/locks", 0o700) == 0)
        #expect(stage.lock("-n", "k", "--", "true").code == 0)
        #expect(holder.outcome().code == 76)
    }

    @Test func aRelativePathMeansTheSameStoreWhereverTheCommandGoes() {
        let stage = Stage()
        let outcome = stage.script(
            """
            cd $WORK; export FLOCK_CACHE_DIR=here
            flock-cache lock k -- sh -c 'cd /; flock-cache lock -n k -- true; echo $?'; echo $?
            flock-cache lock k -- sh -c 'mv here there'; echo $?
            """)
        #expect(outcome.text == "75\n0\n76\n", "\(outcome)")
    }
}
