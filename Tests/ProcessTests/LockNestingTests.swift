import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Locks taken by what runs under locks: what could wait for ever is refused, and nothing else.
@Suite(.ownThreads(minutes: 5)) struct LockNestingTests {
    private let stage = Stage()
    private static let options = [[], ["-s"], ["-F"], ["--slots", "3"]]

    /// Runs `lock` with a script in a child of a child.
    private func under(_ options: [String], _ keys: [String], _ script: String) -> Outcome {
        TestSupport.run(
            builtProducts + "/flock-cache",
            ["lock"] + options + keys + [
                "--", "sh", "-c", "(sh -c '\(script)'; exit $?); exit $?",
            ],
            environment: stage.variables)
    }

    @Test(arguments: options) func downwardIsRefusedWithBothNames(options: [String]) {
        let outcome = under(options, ["beta"], "flock-cache lock -w 1m alpha -- echo never")
        #expect(outcome.code == 125 && outcome.output.isEmpty, "\(outcome)")
        #expect(outcome.error.contains("alpha") && outcome.error.contains("beta"), "\(outcome)")
        #expect(outcome.error.contains("pid "), "\(outcome)")
        // Where it would be free, too: otherwise it shows only when it is too late.
        #expect(stage.isFree("alpha") && stage.isFree("beta"))
    }

    @Test(arguments: options) func theSameIsRefused(options: [String]) {
        for inner in ["", "-s", "--slots 3", "-F"] {
            let outcome = under(options, ["k"], "flock-cache lock \(inner) -w 1m k -- echo never")
            #expect(outcome.code == 125 && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.error.contains("wait for itself"), "\(outcome)")
        }
    }

    @Test(arguments: options) func upwardAndWhatDoesNotWaitIsFine(options: [String]) {
        let outcome = under(
            options, ["m"],
            """
            flock-cache lock n -- flock-cache lock -w 5 o p -- echo up
            flock-cache lock -n a -- echo down; flock-cache lock -w 0 a -- echo down
            flock-cache lock -n m -- echo same || echo $?
            """)
        let same = options == ["-s"] || options.contains("3") ? nil : "up\ndown\ndown\n75\n"
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.text.hasPrefix("up\ndown\ndown\n"), "\(outcome)")
        if let same { #expect(outcome.text == same, "\(outcome)") }
    }

    @Test func severalAreTakenInAnyOrderAndTwice() {
        let outcome = stage.lock("c", "a", "b", "a", "c", "--", "printenv", "FLOCK_CACHE_KEY")
        #expect(outcome.code == 0 && outcome.text == "a\n", "\(outcome)")
        // The least of those asked for and the least of those held decide.
        #expect(under([], ["b", "d"], "flock-cache lock c e -- echo never").code == 125)
        #expect(under([], ["b", "d"], "flock-cache lock d e -- echo never").code == 125)
        #expect(under([], ["b", "d"], "flock-cache lock f e -- echo fine").text == "fine\n")
        // Bytes decide, not letters, and a key is above what it begins with.
        #expect(under([], ["a"], "flock-cache lock B -- echo never").code == 125)
        #expect(under([], ["k10"], "flock-cache lock k9 -- echo fine").text == "fine\n")
        #expect(under([], ["k"], "flock-cache lock kk -- echo fine").text == "fine\n")
        #expect(under([], ["kk"], "flock-cache lock k -- echo never").code == 125)
    }

    @Test func twoThatNameTheSameInOtherOrdersDoNotWaitForEachOther() {
        let loops = ["a b c", "c b a", "b c a", "c a"].map { keys in
            stage.start(
                "for i in $(seq 30); do flock-cache lock -w 20 \(keys) -- true || exit; done")
        }
        for loop in loops { #expect(loop.finish().code == 0) }
    }

    // MARK: What no longer counts

    @Test func whatIsNotHeldAnyMoreRefusesNothing() throws {
        let held = String(stage.lock("m", "--", "printenv", "FLOCK_CACHE_HELD").text.dropLast())
        #expect(held.hasPrefix("lock/"))
        var later = stage
        later.variables["FLOCK_CACHE_HELD"] = held
        // Its session is dead; and it is dead still while another holds the lock.
        #expect(later.lock("a", "--", "true").code == 0)
        let holder = stage.hold("m")
        #expect(later.lock("a", "--", "true").code == 0)
        #expect(later.lock("-w", "20ms", "m", "--", "true").code == 124)
        #expect(holder.outcome().code == 0)
        for text in [
            "lock", "lock/", "lock/zz/1/2/x/k", "lock/0/0/0/x/", "/ / /", "lock/1/1/1/1/%",
            "\u{7f}",
        ] {
            later.variables["FLOCK_CACHE_HELD"] = "\(text) \(held) \(text)"
            #expect(later.lock("a", "--", "true").code == 0, "\(text)")
        }
    }

    // The session lives, and what it holds differs from what the variable says.
    @Test func aLiveSessionWithoutTheLockRefusesNothing() throws {
        let holder = stage.startLock("b", "--", "sh", "-c", "echo $FLOCK_CACHE_HELD; exec cat")
        let held = try #require(holder.line())
        var other = stage
        for text in [
            held.replacing("/x/b", with: "/x/c"), held.replacing("/x/b", with: "/7/b"),
            held.replacing("/x/b", with: "/9223372036854775807/b"),
            held.replacing("/x/b", with: "/4611686018427387904/b"),
            held.replacing("/x/b", with: "/x/\(String(repeating: "b", count: 5000))"),
        ] {
            other.variables["FLOCK_CACHE_HELD"] = text
            let outcome = other.lock("a", "--", "true")
            #expect(outcome.code == 0, "\(text.prefix(80)): \(outcome)")
        }
        other.variables["FLOCK_CACHE_HELD"] = "x \(held) y"
        #expect(other.lock("a", "--", "true").code == 125)
        #expect(holder.outcome().code == 0)
    }

    @Test func anotherStoreIsAnotherOrder() {
        let outcome = stage.lock(
            "b", "--", "sh", "-c",
            "flock-cache --store $WORK/other lock b -- flock-cache --store $WORK/other lock c -- echo fine"
        )
        #expect(outcome.code == 0 && outcome.text == "fine\n", "\(outcome)")
        // The same store under another name.
        let same = stage.lock(
            "b", "--", "sh", "-c",
            "ln -s $WORK $WORK/link; flock-cache --store $WORK/link/store lock a -- true")
        #expect(same.code == 125, "\(same)")
        // In and out again: what is held here still counts.
        let back = stage.lock(
            "b", "--", "sh", "-c",
            "flock-cache --store $WORK/other lock z -- flock-cache --store $WORK/store lock a -- true"
        )
        #expect(back.code == 125, "\(back)")
    }

    // MARK: With run

    @Test func runUnderLockAndLockUnderRun() {
        let inner = stage.lock(
            "k", "--", "flock-cache", "run", "v", "--", "sh", "-c",
            "echo $FLOCK_CACHE_KEY; flock-cache lock -w5 j -- echo never; echo $?; flock-cache lock l -- echo up"
        )
        #expect(inner.code == 0 && inner.text == "v\n125\nup\n", "\(inner)")
        let outer = stage.run(
            "run", "w", "--", "flock-cache", "lock", "k", "--", "sh", "-c",
            "echo $FLOCK_CACHE_KEY ${FLOCK_CACHE_GENERATION-none}; flock-cache run -w5 w -- echo never; echo $?"
        )
        #expect(outer.code == 0 && outer.text == "k none\n125\n", "\(outer)")
    }

    // MARK: What COMMAND and its children have of the lock

    @Test func aChildInTheBackgroundDoesNotKeepTheLock() throws {
        let holder = stage.startLock(
            "k", "--", "sh", "-c", "exec 3<&0; (echo begun; exec cat <&3) & exit 4")
        #expect(holder.line() == "begun")
        #expect(holder.wait() == .exit(4))
        #expect(stage.isFree("k"))
        holder.tell("still there")
        #expect(holder.line() == "still there")
        holder.closeInput()
        #expect(holder.line() == nil)
    }

    @Test func withoutForkingEverybodyWhoInheritsTheLockKeepsIt() {
        let holder = stage.startLock(
            "-F", "k", "--", "sh", "-c", "exec 3<&0; (echo begun; exec cat <&3) & exit 4")
        #expect(holder.line() == "begun")
        #expect(holder.wait() == .exit(4))
        #expect(!stage.isFree("k"))
        holder.closeInput()
        #expect(holder.line() == nil)
        #expect(waitUntil { stage.isFree("k") })
    }

    @Test func noDescriptorOfOursIsInherited() {
        write("cd /proc/self/fd && echo *".utf8, to: stage.directory("probe"))
        let direct = stage.script("exec sh $WORK/probe")
        let under = stage.script("exec flock-cache lock k a -- sh $WORK/probe")
        #expect(under.text == direct.text && !direct.text.isEmpty, "\(direct) \(under)")
        let waited = stage.script(
            """
            flock-cache lock k -- sh -c 'echo; until [ -e $WORK/waits ]; do :; done' | { read x
            flock-cache lock k -- sh $WORK/probe <$WORK/probe & until [ "$(flock-cache who k | cut -f7)" = 1 ]; do :; done
            touch $WORK/waits; wait; }
            """)
        #expect(waited.text == direct.text, "\(waited)")
        // With -F the locks, that the session lives, and the directory that keeps cleaners out of both.
        let kept = stage.script("exec flock-cache lock -F k a -- sh -c 'ls -l /proc/self/fd'")
        let ours = kept.text.split(separator: "\n").filter { $0.contains(stage.store) }
        #expect(ours.count == 4 && ours.allSatisfy { $0.contains("/locks") }, "\(kept)")
    }

    @Test func inPlaceTheCommandIsTheHolder() throws {
        let holder = stage.startLock("-F", "k", "--", "sh", "-c", "echo $$; exec cat")
        #expect(holder.line() == "\(holder.id)")
        #expect(!stage.isFree("k"))
        let row = try #require(stage.who("k").first)
        #expect(row[2] == "\(holder.id)" && row[3] == "sh", "\(row)")
        holder.kill(SIGKILL)
        _ = holder.wait()
        #expect(stage.isFree("k"))
    }

    // MARK: The environment

    @Test func theEnvironmentNamesStoreKeyAndSlot() {
        let outcome = stage.script(
            """
            export FLOCK_CACHE_KEY=other FLOCK_CACHE_GENERATION=1 FLOCK_CACHE_SLOT=9 OTHER=kept
            cd $WORK && flock-cache --store store/../store lock $'k /\\xff' -- sh -c 'cd /; env -0' |
                tr '\\0' '\\n' | grep -aE '^(FLOCK|OTHER)' | sort
            """)
        let lines = outcome.output.split(separator: 10).map(Array.init)
        let text = lines.map { String(decoding: $0, as: UTF8.self) }
        #expect(lines.contains(Array("FLOCK_CACHE_KEY=k /".utf8) + [0xff]), "\(outcome)")
        #expect(
            text.contains("FLOCK_CACHE_DIR=\(stage.directory.path)/store/../store"), "\(outcome)")
        #expect(text.contains { $0.hasPrefix("FLOCK_CACHE_HELD=lock/") }, "\(outcome)")
        #expect(text.contains("OTHER=kept") && lines.count == 4, "\(outcome)")
    }

    @Test func slotsAreDistinctAndTheLowestFreeOne() throws {
        func start() -> Child {
            stage.startLock(
                "--slots", "3", "k", "--", "sh", "-c", "echo $FLOCK_CACHE_SLOT; exec cat")
        }
        let holders = (0..<3).map { _ in start() }
        let slots = holders.map { $0.line() ?? "" }
        #expect(slots.sorted() == ["0", "1", "2"])
        #expect(stage.lock("-n", "--slots", "3", "k", "--", "true").code == 75)
        let waiter = start()
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        let index = try #require(slots.firstIndex(of: "1"))
        holders[index].kill(SIGKILL)
        #expect(waiter.line() == "1")
        // The exclusive lock is slot 0.
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        let first = try #require(slots.firstIndex(of: "0"))
        #expect(holders[first].outcome().code == 0)
        #expect(
            stage.lock("-n", "--slots", "3", "k", "--", "printenv", "FLOCK_CACHE_SLOT").text
                == "0\n")
    }

    /// Somebody else has the first slot.
    @Test func aRefusalNamesTheAncestorAndNotAnotherWithASlot() {
        let other = stage.hold("--slots", "2", "b")
        let outcome = stage.script(
            "flock-cache lock --slots 2 b -- sh -c 'echo $PPID; flock-cache lock a -- true'")
        let parent = outcome.text.split(separator: "\n").first ?? "none"
        #expect(outcome.code == 125 && outcome.error.contains("pid \(parent) "), "\(outcome)")
        #expect(other.outcome().code == 0)
    }
}
