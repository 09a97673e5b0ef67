import Testing
import TestSupport

@testable import TestHelpers

/// Values that are not held in memory.
@Suite(.ownThreads) struct LargeValueTests {
    @Test func aLargeValueGoesInAndOutWithoutBeingHeldInMemory() {
        let stage = Stage()
        let megabytes = wantsLongTests ? 1024 : 64
        // Both are measured while they are alive: one waits for more to read, the other to write on.
        let outcome = stage.script(
            """
            set -e
            \(ownMemory)
            peak() { own_memory $!; }
            head -c \(megabytes)M /dev/urandom >$WORK/value
            mkfifo $WORK/in $WORK/out
            out=$(flock-cache claim k)
            flock-cache finalize --generation $out k --file - <$WORK/in &
            exec 3>$WORK/in
            cat $WORK/value >&3
            peak
            exec 3>&-
            wait $!
            flock-cache get k >$WORK/out &
            exec 3<$WORK/out
            { head -c $((\(megabytes - 1) << 20)) <&3; peak >&2; cat <&3; } 2>$WORK/peak |
                cmp - $WORK/value
            wait $!
            cat $WORK/peak
            flock-cache list | cut -f 5
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let numbers = outcome.text.split(separator: "\n").compactMap { Int($0) }
        guard numbers.count == 3 else {
            Issue.record("\(outcome)")
            return
        }
        print("\(megabytes) MiB: finalize used \(numbers[0]) KiB, get \(numbers[1]) KiB")
        #expect(numbers[0] < ownMemoryBound && numbers[1] < ownMemoryBound)
        #expect(numbers[2] == megabytes << 20)
    }

    // Smaller than the buffer, as large, larger; and where appending turns into a file of its own.
    @Test(arguments: [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 262_144, 1_000_000])
    func valuesOfEverySizeComeBackAsTheyWere(size: Int) {
        let stage = Stage()
        let outcome = stage.script(
            """
            head -c \(size) /dev/urandom >$WORK/value
            for key in file input; do flock-cache claim $key >/dev/null || exit 10; done
            flock-cache finalize file --file $WORK/value || exit 11
            cat $WORK/value | flock-cache finalize input --file - || exit 12
            for key in file input; do
                flock-cache get $key | cmp - $WORK/value || exit 13
                flock-cache claim $key | cmp - $WORK/value || exit 14
            done
            """)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(stage.entryFiles.count == 2)
    }

    @Test(.enabled(if: wantsLongTests, "only in the long form"))
    func aValueOfMoreThanAGibibyteIsRefusedAndTheClaimStays() {
        let stage = Stage()
        stage.run("claim", "k")
        #expect(stage.script("truncate -s 1073741825 $WORK/value").code == 0)
        let outcome = stage.run("finalize", "k", "--file", stage.directory("value"))
        #expect(outcome.code == 74, "\(outcome)")
        #expect(outcome.error.contains("at most 1 GiB"), "\(outcome)")
        #expect(stage.entryFiles.map { $0.hasSuffix("/k.pending") } == [true])
    }
}
