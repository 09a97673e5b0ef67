import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// The command as a container's process 1, to which the kernel gives every process whose parent has ended.
@Suite(.ownThreads, .enabled(if: canUnshare, "needs root and unshare"))
struct FirstProcessTests {
    @Test(arguments: ["run k --", "lock k --", "lease run k --ttl 1h --"])
    func orphansAreReapedAndTheCodeComesThrough(line: String) {
        let stage = Stage()
        // Each orphan is seen to be gone, not only to have ended, before the next begins.
        let command = """
            for i in 1 2 3 4 5; do
                (sleep 0.01 & echo $! >$WORK/orphan)
                read pid <$WORK/orphan
                timeout 20 sh -c "while [ -e /proc/$pid ]; do sleep 0.01; done" || exit 1
            done
            exit 7
            """
        let container = TestSupport.run(
            "unshare",
            [
                "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c",
                "exec flock-cache \(line) bash -c '\(command)'",
            ], environment: stage.variables)
        #expect(container.code == 7, "\(line): \(container)")
    }

    // What ends before COMMAND does, and at the same time, takes nothing away from its end.
    @Test func theEndOfTheCommandIsSeenAmongThoseOfOrphans() {
        let stage = Stage()
        let container = TestSupport.run(
            "unshare",
            [
                "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c",
                """
                for i in 1 2 3; do true & done
                exec flock-cache run k -- bash -c 'for i in 1 2 3 4 5 6; do (true &) ; done; echo v'
                """,
            ], environment: stage.variables)
        #expect(container.code == 0 && container.text == "v\n", "\(container)")
        #expect(stage.run("get", "k").text == "v\n")
    }
}
