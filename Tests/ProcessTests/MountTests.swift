import Testing
import TestSupport

@testable import TestHelpers

/// Full and read-only file systems, in a mount namespace of the test's own.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct MountTests {
    /// What a script says: of each command its line, its output and errors, and its code.
    private func inMounts(_ stage: Stage, _ script: String) -> [String: String] {
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/m
                export FLOCK_CACHE_DIR=$WORK/m/store
                say() {
                    echo "@ $*"
                    timeout 20 flock-cache "$@" 2>&1
                    echo " = $?"
                }
                \(script)
                """,
            ], environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
        var answers: [String: String] = [:]
        for part in outcome.text.split(separator: "@ ") {
            let lines = part.split(separator: "\n", maxSplits: 1)
            answers[String(lines[0])] = String(lines.last ?? "")
        }
        return answers
    }

    @Test func onAFullFileSystemReadingAbandoningAndReapingWork() {
        let stage = Stage()
        let answers = inMounts(
            stage,
            """
            mount -t tmpfs -o size=256k none $WORK/m
            flock-cache claim ready >/dev/null
            flock-cache finalize ready value
            flock-cache claim mine >/dev/null
            bash -c 'flock-cache claim dead; true' >/dev/null
            bash -c 'flock-cache claim dead2; true' >/dev/null
            head -c 5000 /dev/zero >$WORK/5000; head -c 100000 /dev/zero >$WORK/100000
            cat /dev/zero >$WORK/m/fill 2>/dev/null
            say claim new
            say get new
            say claim dead
            say finalize mine --file $WORK/5000
            say finalize mine --file $WORK/100000
            say get mine
            say get ready
            say claim ready
            say list
            say stats
            say reap
            say abandon mine
            say remove ready
            say stats -v
            find $WORK/m/store/entries -type f >$WORK/left
            rm $WORK/m/fill
            say claim mine
            """)
        for key in [
            "claim new", "claim dead", "finalize mine --file \(stage.directory.path)/5000",
            "finalize mine --file \(stage.directory.path)/100000",
        ] {
            let answer = answers[key] ?? ""
            #expect(answer.hasSuffix(" = 74\n"), "\(key): \(answer)")
            #expect(answer.contains("No space left on device; make room"), "\(key): \(answer)")
        }
        // What could not be done has changed nothing.
        #expect(answers["get new"] == " = 1\n")
        #expect(answers["get mine"]?.hasSuffix(" = 75\n") == true)
        #expect(answers["get ready"] == "value = 0\n")
        #expect(answers["claim ready"] == "value = 1\n")
        #expect(answers["list"]?.split(separator: "\n").count == 5)
        #expect(answers["stats"]?.hasPrefix("pending 3\nready 1\n") == true, "\(answers)")
        let reaped = Set((answers["reap"] ?? "").split(separator: "\n"))
        #expect(reaped == [" = 0", "dead\tdead-process", "dead2\tdead-process"])
        #expect(answers["abandon mine"] == " = 0\n")
        #expect(answers["remove ready"] == " = 0\n")
        let verbose = (answers["stats -v"] ?? "").split(separator: "\n")
        #expect(verbose.dropFirst() == ["pending 0", "ready 0", "bytes 0", " = 0"], "\(verbose)")
        #expect(contents(of: stage.directory("left")) == [], "temporary files are left")
        #expect(answers["claim mine"]?.hasSuffix(" = 0\n") == true)
    }

    @Test func aStoreThatCannotBeMadeForLackOfRoomIsMadeLater() {
        let stage = Stage()
        let answers = inMounts(
            stage,
            """
            for pages in 2 3 4 5 6 7 8 9 10; do
                mount -t tmpfs -o size=$((4 * pages))k none $WORK/m
                head -c 4096 /dev/zero >$WORK/m/fill
                say claim $pages
                rm $WORK/m/fill
                mount -o remount,size=1m $WORK/m
                say claim $pages -q
                umount $WORK/m
            done
            """)
        for pages in 2...10 {
            let first = answers["claim \(pages)"] ?? ""
            let isFull = first.contains("No space left on device") && first.hasSuffix(" = 74\n")
            let isMade = first.hasSuffix(" = 0\n")
            #expect(isFull || isMade, "\(pages) pages: \(first)")
            #expect(
                answers["claim \(pages) -q"]?.hasSuffix(isMade ? " = 75\n" : " = 0\n") == true,
                "\(pages) pages: \(first) then \(answers["claim \(pages) -q"] ?? "")")
        }
        #expect(answers["claim 2"]?.hasSuffix(" = 74\n") == true)
        #expect(answers["claim 10"]?.hasSuffix(" = 0\n") == true)
    }

    @Test func onAReadOnlyFileSystemReadingWorksAndChangesAreRefused() {
        let stage = Stage()
        let answers = inMounts(
            stage,
            """
            mount -t tmpfs none $WORK/m
            flock-cache claim ready >/dev/null
            flock-cache finalize ready value
            flock-cache claim damaged >/dev/null
            flock-cache finalize damaged value
            flock-cache claim mine >/dev/null
            bash -c 'flock-cache claim dead; true' >/dev/null
            printf x >>$WORK/m/store/entries/*/damaged
            mkdir $WORK/m/empty
            mount -o remount,ro $WORK/m
            say get ready
            say get mine
            say get absent
            say get damaged
            say claim ready
            say claim mine
            say claim absent
            say claim dead
            say claim damaged
            say finalize mine v
            say abandon mine
            say abandon absent
            say remove ready
            say remove absent
            say reap
            say list
            say stats
            say --store $WORK/m/empty claim k
            say --store $WORK/m/new claim k
            say --store $WORK/m/new get k
            """)
        func code(_ line: String) -> String { answers[line].map { String($0.suffix(3)) } ?? "none" }
        #expect(answers["get ready"] == "value = 0\n")
        #expect(answers["claim ready"] == "value = 1\n")
        #expect(code("get mine") == "75\n")
        #expect(answers["get absent"] == " = 1\n")
        #expect(code("claim mine") == "75\n")
        #expect(code("abandon absent") == " 0\n")
        #expect(code("remove absent") == " 0\n")
        // It can only be reported, not set aside.
        #expect(code("get damaged") == "65\n")
        #expect(answers["get damaged"]?.contains("stays where it is") == true)
        #expect(answers["list"]?.hasSuffix(" = 0\n") == true, "\(answers)")
        #expect(answers["stats"]?.hasPrefix("pending 2\nready 2\n") == true, "\(answers)")
        for line in [
            "claim absent", "claim dead", "claim damaged", "finalize mine v", "abandon mine",
            "remove ready", "reap", "--store \(stage.directory.path)/m/empty claim k",
            "--store \(stage.directory.path)/m/new claim k",
        ] {
            #expect(code(line) == "73\n", "\(line): \(answers[line] ?? "")")
            #expect(answers[line]?.contains("Read-only file system") == true, "\(line)")
            #expect(answers[line]?.contains("mounted read-only") == true, "\(line)")
        }
        #expect(code("--store \(stage.directory.path)/m/new get k") == " 1\n")
    }
}
