import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Where there is no /proc, and where descriptors are short: each is reported as what it is.
@Suite(.ownThreads) struct NoProcTests {
    /// Runs a script in which /proc is an empty directory.
    private func withoutProc(_ stage: Stage, _ script: String) -> Outcome {
        TestSupport.run(
            "unshare",
            ["-m", "bash", "-c", "mount -t tmpfs none /proc || exit 99; \(script)"],
            environment: stage.variables)
    }

    @Test(.enabled(if: canMount, "needs root and mount namespaces"))
    func readingAndLockingNeedNoProc() throws {
        let stage = Stage()
        stage.publish("ready", "v")
        let holder = stage.start("flock-cache claim held; read never")
        #expect(holder.line() != nil)
        let cases: [(String, Int32, String)] = [
            ("version", 0, "0."), ("help", 0, "flock-cache"), ("get ready", 0, "v"),
            ("get none", 1, ""), ("get held", 75, ""),
            ("claim -q --owner none --stale-after 1h ready", 1, "v"),
            ("wait ready", 0, "v"), ("wait -n held", 75, ""), ("list --ready", 0, "ready\tready\t"),
            ("list --pending", 0, "pending\theld\t"), ("run ready -- echo never", 0, "v"),
            ("run -n held -- echo never", 75, ""), ("lock -n l -- echo locked", 0, "locked\n"),
            ("--store store lock -n l -- printenv FLOCK_CACHE_DIR", 0, stage.store + "\n"),
            ("who held", 0, "claim"), ("stats", 0, "pending 1\nready 1\n"),
        ]
        for (line, code, text) in cases {
            let outcome = withoutProc(stage, "cd $WORK; exec flock-cache \(line)")
            #expect(outcome.code == code, "\(line): \(outcome)")
            #expect(text.isEmpty || outcome.text.contains(text), "\(line): \(outcome)")
        }
    }

    @Test(.enabled(if: canMount, "needs root and mount namespaces"))
    func aChangeThatNeedsProcSaysSoAndChangesNothing() {
        let stage = Stage()
        stage.publish("ready", "v")
        let generation = stage.run("claim", "mine").generation ?? 0
        let before = stage.run("list").text
        let cases: [(String, Int32)] = [
            ("claim new", 78), ("claim --owner none --stale-after 1h new", 74),
            ("finalize --generation \(generation) mine v", 74),
            ("abandon --generation \(generation) mine", 74), ("remove ready", 74),
            ("reap --max-entries 0", 74), ("run new -- echo v", 125),
            ("lease acquire l --ttl 1h", 74), ("lease run l --ttl 1h -- true", 125),
        ]
        for (line, code) in cases {
            let outcome = withoutProc(stage, "exec flock-cache \(line)")
            #expect(outcome.code == code, "\(line): \(outcome)")
            #expect(outcome.error.contains("/proc is missing"), "\(line): \(outcome)")
            #expect(outcome.error.contains("mount -t proc proc /proc"), "\(line): \(outcome)")
        }
        let keys = { (text: String) in
            text.split(separator: "\n").map { $0.split(separator: "\t")[1] }
        }
        #expect(keys(stage.run("list").text) == keys(before))
    }

    // A dynamically linked program needs descriptor 3 to be loaded at all.
    @Test(arguments: 4...14)
    func tooFewDescriptorsAreReportedAsThat(limit: Int) {
        let stage = Stage()
        stage.publish("ready", "v")
        let holder = stage.start("flock-cache claim held; read never")
        #expect(holder.line() != nil)
        let own: [Int32] = [0, 71]
        let cases: [(String, [Int32])] = [
            ("claim --owner \(getpid()) new", own), ("claim other", own), ("claim held", [75, 71]),
            ("get ready", own), ("get held", [75, 71]), ("list", own), ("stats", own),
            ("remove none", own), ("reap", own), ("who", own), ("wait ready", own),
            ("claim stale", own), ("finalize stale v", [0, 71, 76]),
            ("run -n r -- echo v", [0, 125]),
            ("lock -n l -- true", [0, 125]), ("lease acquire m --ttl 1h", own),
            ("lease run n --ttl 1h -- true", [0, 125]),
        ]
        stage.script("flock-cache claim stale; true")
        for (line, codes) in cases {
            let outcome = stage.script(
                "ulimit -n \(limit); exec flock-cache \(line) 3>&- 4>&- 5>&-")
            #expect(codes.contains(outcome.code), "\(limit), \(line): \(outcome)")
            if [71, 125].contains(outcome.code) {
                #expect(
                    outcome.error.contains("Too many open files"), "\(limit), \(line): \(outcome)")
                #expect(outcome.error.contains("ulimit -n"), "\(limit), \(line): \(outcome)")
            }
        }
    }
}
