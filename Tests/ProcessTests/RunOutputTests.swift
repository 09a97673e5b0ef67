import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// What a command prints under `run`: of any size, passed on, and the value.
@Suite(.ownThreads) struct RunOutputTests {
    @Test func muchOutputIsPassedOnAndKeptWithoutBeingHeldInMemory() {
        let stage = Stage()
        let megabytes = wantsLongTests ? 1024 : 64
        let outcome = stage.script(
            """
            set -e
            \(ownMemory)
            head -c \(megabytes)M /dev/urandom >$WORK/value
            mkfifo $WORK/out
            flock-cache run k -- cat $WORK/value >$WORK/out &
            exec 3<$WORK/out
            { head -c $((\(megabytes - 1) << 20)) <&3
              own_memory $! >&2
              cat <&3; } 2>$WORK/peak | cmp - $WORK/value
            wait $!
            flock-cache get k | cmp - $WORK/value
            cat $WORK/peak
            """)
        #expect(outcome.code == 0, "\(outcome)")
        let peak = Int(outcome.text.dropLast()) ?? .max
        print("\(megabytes) MiB: run used \(peak) KiB")
        #expect(peak < ownMemoryBound)
    }

    @Test(arguments: [0, 1, 65535, 65536, 65537, 300_000])
    func anyBytesAreTheValue(size: Int) {
        let stage = Stage()
        let outcome = stage.script(
            """
            head -c \(size) /dev/urandom >$WORK/value
            flock-cache run k -- cat $WORK/value | cmp - $WORK/value || exit 10
            flock-cache run k -- echo never | cmp - $WORK/value || exit 11
            flock-cache get k | cmp - $WORK/value || exit 12
            """)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(stage.entryFiles.count == 1)
    }

    @Test func aReaderThatHasHadEnoughTakesNothingFromTheOthers() {
        let stage = Stage()
        let outcome = stage.script(
            #"flock-cache run k -- seq 100000 | head -n 1; echo "${PIPESTATUS[0]}""#)
        #expect(outcome.text == "1\n0\n", "\(outcome)")
        #expect(outcome.error == "")
        #expect(stage.script("flock-cache get k | cmp - <(seq 100000)").code == 0)
    }

    @Test func aFullOutputIsToldAndTheValueIsThereForTheOthers() {
        let stage = Stage()
        let outcome = stage.script("flock-cache run k -- echo value >/dev/full")
        #expect(outcome.code == 125, "\(outcome)")
        #expect(outcome.error.contains("standard output"), "\(outcome)")
        #expect(stage.run("get", "k").text == "value\n")
        // Of a failing command the code is what counts.
        #expect(stage.script("flock-cache run f -- sh -c 'echo x; exit 3' >/dev/full").code == 3)
    }

    @Test func aReaderThatDoesNotReadDelaysNobodyElse() {
        let stage = Stage()
        let outcome = stage.script(
            """
            mkfifo $WORK/out
            flock-cache run k -- seq 200000 >$WORK/out &
            exec 3<$WORK/out
            until [ -n "$(flock-cache list)" ]; do :; done
            flock-cache run k -- echo never | cmp - <(seq 200000) || exit 10
            # What was not read yet is still to come.
            cmp - <(seq 200000) <&3 || exit 11
            wait $!
            """)
        #expect(outcome.code == 0, "\(outcome)")
    }

    @Test func aCommandThatClosesItsOutputGoesOn() {
        let stage = Stage()
        let outcome = stage.script(
            #"flock-cache run k -- sh -c 'echo value; exec >&-; echo ran >"$WORK/after"; exit 4'"#)
        #expect(outcome.code == 4, "\(outcome)")
        #expect(outcome.text == "value\n")
        #expect(contents(of: stage.directory("after")) != nil)
    }

    @Test(.enabled(if: isRoot))
    func aFullDiskKeepsNothingFromTheReader() {
        let stage = Stage()
        let outcome = stage.script(
            """
            mkdir $WORK/small && mount -t tmpfs -o size=1m none $WORK/small || exit 99
            trap 'umount $WORK/small' EXIT
            export FLOCK_CACHE_DIR=$WORK/small/store
            flock-cache run k -- head -c 4M /dev/zero | wc -c
            echo "${PIPESTATUS[0]}"
            flock-cache stats
            find $WORK/small -name '.tmp-*'
            flock-cache run k -- echo small
            """)
        guard outcome.code != 99 else { return }
        #expect(
            outcome.text == "4194304\n125\npending 0\nready 0\nbytes 0\nsmall\n", "\(outcome)")
        #expect(outcome.error.contains("No space left"), "\(outcome)")
    }

    @Test func endlessOutputThatNobodyWantsEnds() {
        // Over the limit of a value it is nobody's any more when its reader has gone as well. A smaller
        // limit on files stands for the one of 1 GiB.
        let stage = Stage()
        let outcome = stage.script(
            """
            ulimit -f 1024
            flock-cache run k -- yes | head -n 1
            echo "${PIPESTATUS[0]}"
            """)
        #expect(outcome.text == "y\n141\n", "\(outcome)")
        #expect(stage.run("get", "k").code == 1)
        #expect(stage.entryFiles.isEmpty)
    }
}
