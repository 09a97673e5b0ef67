import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The same locks, taken by a program that knows only where they lie.
@Suite(.ownThreads(minutes: 5), .enabled(if: hasPython, "needs python3"))
struct CommandLockFormatTests {
    private let stage = Stage()
    private static let keys = ["k", "other key", "ä", String(repeating: "long", count: 1000)]

    private func holding(_ key: String, _ kind: String, slot: Int = 0) -> Child {
        let text = key.utf8.map { "\\x" + (String($0, radix: 16)) }.joined()
        let child = stage.startPython(
            "take(b'\(text)', fcntl.\(kind), \(slot)); print('held', flush=True); sys.stdin.read()")
        #expect(child.line() == "held")
        return child
    }

    @Test(arguments: keys) func itIsExcludedByAnother(key: String) {
        #expect(stage.lock("x", "--", "true").code == 0)
        let holder = holding(key, "F_WRLCK")
        #expect(stage.lock("-n", key, "--", "true").code == 75)
        #expect(stage.lock("-n", "-s", key, "--", "true").code == 75)
        #expect(stage.lock("-w", "30ms", key, "--", "true").code == 124)
        #expect(stage.run("who", key).code == 0)
        let waiter = stage.startLock(key, "--", "echo", "got")
        // Nobody wakes it: it looks by itself.
        #expect(waitUntil { sleeps(waiter.id) })
        #expect(holder.outcome().code == 0)
        let outcome = waiter.finish()
        #expect(outcome.code == 0 && outcome.text == "got\n", "\(outcome)")
    }

    @Test(arguments: keys) func itExcludesAnother(key: String) {
        let text = key.utf8.map { "\\x" + (String($0, radix: 16)) }.joined()
        let attempt = """
            try: take(b'\(text)', fcntl.%); print("free")
            except BlockingIOError: print("busy")
            """
        func ask(_ kind: String) -> String { stage.python(attempt.replacing("%", with: kind)).text }
        let holder = stage.hold(key)
        #expect(ask("F_WRLCK") == "busy\n" && ask("F_RDLCK") == "busy\n")
        #expect(holder.outcome().code == 0)
        #expect(ask("F_WRLCK") == "free\n")
        let reader = stage.hold("-s", key)
        #expect(ask("F_WRLCK") == "busy\n" && ask("F_RDLCK") == "free\n")
        #expect(reader.outcome().code == 0)
    }

    @Test func readersShareAndSlotsAreTheNextBytes() {
        #expect(stage.lock("x", "--", "true").code == 0)
        let reader = holding("k", "F_RDLCK")
        #expect(stage.lock("-n", "-s", "k", "--", "true").code == 0)
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        #expect(reader.outcome().code == 0)
        let slot = holding("s", "F_WRLCK", slot: 0)
        let outcome = stage.lock("--slots", "3", "s", "--", "printenv", "FLOCK_CACHE_SLOT")
        #expect(outcome.text == "1\n", "\(outcome)")
        #expect(slot.outcome().code == 0)
    }
}
