import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Waits that could never end, of locks, leases and computations alike: what `FLOCK_CACHE_HELD` says.
@Suite(.ownThreads(minutes: 5)) struct HeldTests {
    private let stage = Stage()

    /// Command lines that hold a key, up to the COMMAND.
    private static let holders = ["lock %", "lease run % --ttl 1h", "run %"]

    private static func line(_ holder: String, _ key: String, _ options: String = "") -> String {
        "flock-cache \(holder.replacing("%", with: "\(options) \(key)")) --"
    }

    @Test(arguments: ["lease run % --ttl 1h", "run %", "lock %"])
    func whatHoldsItselfIsRefused(holder: String) {
        let line = Self.line(holder, "k")
        for between in ["", "flock-cache lock j -- ", "sh -c '\"$@\"' sh "] {
            if holder.hasPrefix("lock"), between.contains("lock") { continue }
            let outcome = stage.script("timeout 30 \(line) \(between) \(line) echo never")
            #expect(outcome.code == 125 && outcome.text.isEmpty, "\(outcome)")
            #expect(outcome.error.contains("it would wait for itself"), "\(outcome)")
        }
        // Without a wait it is busy; the options of the inner one stand in front.
        let busy = stage.script("\(line) \(Self.line(holder, "k", "-n")) echo never")
        #expect(busy.code == 75 && busy.text.isEmpty, "\(busy)")
    }

    // Two that hold one each, and want the other's: the one that would go down is refused, the other gets it.
    @Test(arguments: holders, holders) func aCircleOfTwoIsRefused(low: String, high: String) throws
    {
        let meet =
            "echo $$ >$WORK/NAME; until [ -e $WORK/a ] && [ -e $WORK/b ]; do sleep 0.01; done;"
        func script(_ name: String, _ outer: String, _ inner: String) -> String {
            let meet = meet.replacing("NAME", with: name)
            return "exec timeout 50 \(outer) sh -c '\(meet) exec \(inner) echo done'"
        }
        let up = stage.start(script("a", Self.line(low, "a"), Self.line(high, "b", "-w 60")))
        let down = stage.start(script("b", Self.line(high, "b"), Self.line(low, "a", "-w 60")))
        let refused = down.finish()
        #expect(refused.code == 125 && refused.output.isEmpty, "\(refused)")
        #expect(refused.error.contains("'a'"), "\(refused)")
        #expect(refused.error.contains("'b'"), "\(refused)")
        let outcome = up.finish()
        #expect(outcome.code == 0 && outcome.text == "done\n", "\(outcome)")
    }

    @Test(arguments: holders, ["lease run % --ttl 1h", "run %"])
    func whatIsFreeIsNotRefusedInAnyOrder(outer: String, inner: String) {
        let line = "\(Self.line(outer, "b")) \(Self.line(inner, "a")) echo fine"
        let outcome = stage.script(line)
        #expect(outcome.code == 0 && outcome.text == "fine\n", "\(outcome)")
    }

    @Test func aReadyValueIsNotWaitedFor() {
        stage.publish("a", "value")
        let outcome = stage.script("flock-cache lock b -- flock-cache run a -- echo never")
        #expect(outcome.code == 0 && outcome.text == "value", "\(outcome)")
    }

    // It is in the environment of what a COMMAND left behind, and no longer held.
    @Test(arguments: holders) func whatIsNoLongerHeldRefusesNothing(holder: String) throws {
        let held = stage.script("\(Self.line(holder, "m")) printenv FLOCK_CACHE_HELD").text
            .dropLast()
        #expect(held.split(separator: " ").count == 1 && held.hasSuffix("/m"), "\(held)")
        stage.run("remove", "m")
        var later = stage
        later.variables["FLOCK_CACHE_HELD"] = String(held)
        let others = Self.holders.map {
            later.start("exec \(Self.line($0, "a")) sh -c 'echo held >&2; exec cat' 2>&1")
        }
        for other in others { #expect(other.line() == "held") }
        for line in Self.holders {
            let outcome = later.script("\(Self.line(line, "a", "-w 20ms")) true")
            #expect(outcome.code == 124, "\(outcome)")
        }
        for other in others {
            other.closeInput()
            #expect(other.finish().code == 0)
        }
    }

    // As long as it is held it counts, also beside another store's.
    @Test(arguments: holders) func whatIsHeldCounts(holder: String) throws {
        let other = stage.start(
            "exec \(Self.line(holder, "m")) sh -c 'echo $FLOCK_CACHE_HELD >&2; exec cat' 2>&1")
        let held = try #require(other.line())
        let blocker = stage.start(
            "exec flock-cache lease run a --ttl 1h -- sh -c 'echo held; exec cat'")
        #expect(blocker.line() == "held")
        var later = stage
        later.variables["FLOCK_CACHE_HELD"] = held
        #expect(later.script("flock-cache lease run -w 60 --ttl 1h a -- true").code == 125)
        let wait = "flock-cache lease run -w 20ms --ttl 1h"
        let parts = held.split(separator: "/").map(String.init)
        let elsewhere = held.replacing("/\(parts[parts.count - 2])/", with: "/1/")
        for text in [elsewhere, held.replacing("/m", with: "/%"), held + "/x", "x" + held] {
            later.variables["FLOCK_CACHE_HELD"] = text
            #expect(later.script("\(wait) a -- true").code == 124, "\(text)")
        }
        for child in [other, blocker] {
            child.closeInput()
            #expect(child.finish().code == 0)
        }
    }
}
