import Testing
import TestSupport

@testable import TestHelpers

/// `-q` silences notices, and never errors.
@Suite(.ownThreads) struct QuietTests {
    private let stage = Stage()

    @Test func errorsAreToldAndBusyIsAnAnswer() throws {
        let win = stage.run("claim", "k")
        let generation = "\(win.generation ?? 0)"
        let errors: [(String, Int32)] = [
            ("finalize k v --generation 1", 76), ("abandon k --generation 1", 76),
            ("finalize k --file $WORK/none --generation \(generation)", 74),
            ("lease check l --generation 1", 76), ("lease renew l --generation 1", 76),
            ("--store /proc/self get k", 69), ("--store $WORK/file get k", 66),
            ("lock l -- no-such-program", 127), ("run l -- no-such-program", 127),
            ("--store $WORK/file run l -- true", 125), ("init --durable", 73),
        ]
        write([], to: stage.directory("file"))
        for (line, code) in errors {
            let outcome = stage.script("flock-cache -q \(line)")
            #expect(outcome.code == code && !outcome.error.isEmpty, "\(line): \(outcome)")
        }
        // Another process has it, at once or at the end of a wait: an answer, and no error.
        let busy = [
            "claim -n k", "claim -w 20ms k", "get k", "wait -n k", "wait -w 20ms k", "remove k",
            "run -n k -- true", "run -w 20ms k -- true", "run -n -E 9 k -- true",
            "lock l -- flock-cache -q lock -n l -- true",
            "lock l -- env -u FLOCK_CACHE_HELD flock-cache -q lock -w 20ms l -- true",
            "lease run l --ttl 1h -- flock-cache -q lease acquire l --ttl 1h -n",
            "lease run l --ttl 1h -- flock-cache -q lease acquire l --ttl 1h -w 20ms",
            "lease run l --ttl 1h -- flock-cache -q lease run l -n --ttl 1h -- true",
        ]
        for line in busy {
            let outcome = stage.script("flock-cache -q \(line)")
            #expect([75, 124, 9].contains(outcome.code), "\(line): \(outcome)")
            #expect(outcome.error.isEmpty, "\(line): \(outcome)")
        }
    }
}
