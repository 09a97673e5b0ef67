import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Clocks that go wrong neither shorten nor prolong a lease of the same boot.
@Suite(.ownThreads) struct LeaseTimeTests {
    private let stage = Stage()

    /// Milliseconds by a clock that nobody sets.
    private var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }

    /// Acquires for a second with one command, and waits for it with another; how much longer than a second
    /// that took, in milliseconds.
    private func error(
        of time: Double = 1000, acquiring: [String], waiting: [String],
        _ acquire: [String: String] = [:], _ wait: [String: String] = [:]
    ) throws -> (early: Double, late: Double) {
        let key = "key-\(UInt64.random(in: 0 ... .max))"
        let command = builtProducts + "/flock-cache"
        func run(_ wrapper: [String], _ arguments: [String], _ more: [String: String]) -> Outcome {
            let words = wrapper + [command] + arguments
            return TestSupport.run(
                words[0], Array(words.dropFirst()),
                environment: stage.variables.merging(more) { $1 })
        }
        let before = now
        let first = run(acquiring, ["lease", "acquire", key, "--ttl", "\(time)ms"], acquire)
        let after = now
        let generation = String(try #require(first.generation, "\(first)"))
        // All who look agree on whether it is over.
        #expect(run(waiting, ["lease", "check", key, "--generation", generation], wait).code == 0)
        #expect(run(waiting, ["lease", "acquire", key, "--ttl", "1s"], wait).code == 75)
        let second = run(waiting, ["lease", "acquire", key, "--ttl", "1m", "-w", "1m"], wait)
        let end = now
        #expect(try #require(second.generation, "\(second)") > #require(first.generation))
        #expect(
            run(acquiring, ["lease", "check", key, "--generation", generation], acquire).code == 76)
        // It began between `before` and `after`, so it was over between these and the time later.
        return (end - before - time, end - after - time)
    }

    private static let steps = [7200, -7200, 315_576_000, -315_576_000]

    #if DEBUG
    @Test(arguments: steps, [true, false])
    func aStepOfTheWallClockChangesNothing(seconds: Int, ofHolder: Bool) throws {
        let wrong = ["FLOCK_CACHE_WALL_CLOCK": "\(seconds)"]
        let (early, late) = try error(
            acquiring: [], waiting: [], ofHolder ? wrong : [:], ofHolder ? [:] : wrong)
        print("wall clock \(seconds) s: the lease was over between \(early) and \(late) ms late")
        #expect(early >= 0 && late <= 100)
    }
    #endif

    /// Another time namespace has a boot clock of its own.
    @Test(
        .enabled(if: canUnshareTime, "needs root and time namespaces"),
        arguments: [100_000, -3600], [true, false])
    func anotherTimeNamespaceChangesNothing(seconds: Int, ofHolder: Bool) throws {
        let elsewhere = inTimeNamespace(shiftedBy: seconds)
        let (early, late) = try error(
            acquiring: ofHolder ? elsewhere : [], waiting: ofHolder ? [] : elsewhere)
        print(
            "time namespace \(seconds) s: the lease was over between \(early) and \(late) ms late")
        #expect(early >= 0 && late <= 100)
    }

    #if DEBUG
    /// Both at once, in two namespaces of which neither is the machine's.
    @Test(.enabled(if: canUnshareTime, "needs root and time namespaces"))
    func twoNamespacesWithWrongWallClocksAgree() throws {
        let (early, late) = try error(
            acquiring: inTimeNamespace(shiftedBy: 5000),
            waiting: inTimeNamespace(shiftedBy: -3000),
            ["FLOCK_CACHE_WALL_CLOCK": "-315576000"], ["FLOCK_CACHE_WALL_CLOCK": "7200"])
        #expect(early >= 0 && late <= 100, "\(early) \(late)")
    }

    /// Generations rise with a clock that was ten years ahead and is right again.
    @Test func generationsRiseThroughStepsOfTheClock() throws {
        var last: UInt64 = 0
        for step in ["0", "315576000", "-315576000", "7200", "0"] {
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache", ["lease", "acquire", "k", "--ttl", "1h"],
                environment: stage.variables.merging(["FLOCK_CACHE_WALL_CLOCK": step]) { $1 })
            let generation = try #require(outcome.generation, "\(outcome)")
            #expect(generation > last)
            last = generation
            #expect(stage.run("lease", "release", "k", "--generation", "\(generation)").code == 0)
        }
    }
    #endif
}

/// A full device, in a mount namespace of the test's own.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct LeaseMountTests {
    /// What was leased before is renewed, released, and over when its time is; nothing new is had.
    @Test(arguments: ["tmpfs", "ext4"]) func onAFullDeviceALeaseEndsAsElsewhere(_ kind: String) {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/m
                export FLOCK_CACHE_DIR=$WORK/m/store
                if [ \(kind) = tmpfs ]; then
                    mount -t tmpfs -o size=512k none $WORK/m || exit 77
                else
                    truncate -s 4M $WORK/image
                    mkfs.ext4 -q $WORK/image 2>/dev/null && mount -o loop $WORK/image $WORK/m || exit 77
                fi
                a=$(flock-cache lease acquire released --ttl 1h)
                b=$(flock-cache lease acquire over --ttl 1500ms)
                c=$(flock-cache lease acquire renewed --ttl 1h)
                cat /dev/zero >$WORK/m/fill 2>/dev/null
                # Also what a file of a few bytes would take.
                for i in $(seq 200); do echo x >$WORK/m/fill$i; done 2>/dev/null
                say() { timeout 20 flock-cache lease "$@" >/dev/null 2>$WORK/error; echo "$1 $2 $?"; }
                say acquire new --ttl 1h
                grep -c 'No space left on device' $WORK/error
                say renew renewed --generation $c
                say check renewed --generation $c
                say release released --generation $a
                say check released --generation $a
                say acquire released --ttl 1h
                say acquire over --ttl 1h -w 1m
                say check over --generation $b
                rm $WORK/m/fill*
                say acquire new --ttl 1h
                """,
            ], environment: stage.variables)
        if outcome.code == 77 {
            print("\(kind) cannot be mounted here: \(outcome.error)")
            return
        }
        let expected = [
            "acquire new 74", "1", "renew renewed 0", "check renewed 0", "release released 0",
            "check released 76", "acquire released 0", "acquire over 0", "check over 76",
            "acquire new 0",
        ]
        #expect(outcome.text.split(separator: "\n").map(String.init) == expected, "\(outcome)")
    }
}
