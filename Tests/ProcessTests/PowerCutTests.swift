import Testing
import TestSupport

@testable import TestHelpers

/// What a power cut may leave of each file that decides something.
///
/// Nothing in it, the first half of it, NULs of its size, its second half alone, no file, no directory. After
/// the restart every command works.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct PowerCutTests {
    /// One line for each command and state: the state, the command, its code, what it printed.
    private func after(_ damages: [String], of files: String) -> [[String]] {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            ["-m", "bash", "-c", Self.script, "script", files] + damages,
            environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome.error)")
        return outcome.text.split(separator: "\n").map { line in
            line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }

    private static let script = """
        export FLOCK_CACHE_DIR
        boot() { tr a-f 0-9 </proc/sys/kernel/random/uuid | sed 's/./a/1' >$WORK/boot; }
        boot; mount --bind $WORK/boot /proc/sys/kernel/random/boot_id
        say() {
            local out; out=$(timeout 30 flock-cache "$@" 2>$WORK/errors); local code=$?
            printf '%s\\t%s\\t%s\\t%s\\n' "$what" "$1 $2" $code "$(tr '\\n\\t' '  ' <<<"$out" | head -c 80) $(
                tr '\\n\\t' '  ' <$WORK/errors)"
        }
        make() {
            boot
            g=$(flock-cache claim k); flock-cache finalize --generation $g k value
            flock-cache claim pending >/dev/null
            flock-cache lease acquire lease --ttl 1h >/dev/null
            flock-cache lease acquire twice --ttl 1h >/dev/null
            flock-cache lease renew twice --generation $(sed -n 's/^generation: //p' leases/*/twice)
            flock-cache lock -n lock -- flock-cache lock -w 0.01 lock -- true 2>/dev/null
        }
        files=$1; shift
        FLOCK_CACHE_DIR=$WORK/model; mkdir $WORK/model; cd $WORK/model; make
        found=$(find . -path "./$files" | sort); cd $WORK; rm -r model
        for file in $found; do for damage; do
            FLOCK_CACHE_DIR=$WORK/store; mkdir $WORK/store; cd $WORK/store; make
            # The names of sessions are random: any of them will do.
            case $file in */sessions-*) file=$(ls ./locks/sessions-* | head -n 1);; esac
            size=$(stat -c %s $file) what="$damage $file"
            case $damage in
                empty) : >$file;;
                half) truncate -s $((size / 2)) $file;;
                nuls) truncate -s 0 $file; truncate -s $size $file;;
                end) dd if=/dev/zero of=$file bs=1 count=$((size / 2)) conv=notrunc status=none;;
                garbage) head -c $size /dev/urandom | dd of=$file conv=notrunc status=none;;
                longer) head -c 3000 /dev/zero >>$file;;
                gone) rm -r $file;;
            esac
            boot
            say get k; say get pending; say stats; say list; say who; say reap --dry-run
            say lease check lease --generation 1; say lease acquire lease --ttl 1h
            say lease acquire twice --ttl 1h
            say claim pending; say claim k; flock-cache abandon k; say run k -- echo computed; say wait k -w 1s
            say lock -n lock -- true; say lock -n other -- true; say reap; say init; say remove k
            say stats
            cd $WORK; rm -r store
        done; done
        """

    /// The codes that each command may end with.
    private func allowed(_ command: String) -> Set<Int32> {
        switch command {
        // A value that is torn is told of once, and then absent.
        case "get k": [0, 1, 65, 75]
        case "get pending": [1, 75]
        case "lease check": [76]
        case "claim k": [0, 1]
        default: [0]
        }
    }

    private func check(_ lines: [[String]], cases: Int) {
        #expect(lines.count == cases * 19, "\(lines.count) commands")
        for line in lines where line.count == 4 {
            let (command, code) = (line[1], Int32(line[2]) ?? -1)
            #expect(allowed(command).contains(code), "\(line)")
            if ["get k", "run k", "wait k"].contains(command) && code == 0 {
                #expect(line[3].hasPrefix("value ") || line[3].hasPrefix("computed"), "\(line)")
            }
        }
    }

    private static let damages = ["empty", "half", "nuls", "end", "garbage", "longer", "gone"]

    @Test func theFileOfTheShards() {
        check(after(Self.damages, of: "locks/shards"), cases: 7)
    }

    @Test func filesThatOnlyCarryLocks() {
        check(after(["empty", "longer", "gone"], of: "locks/[0-9a-f][0-9a-f]"), cases: 3)
    }

    @Test func leases() {
        check(after(Self.damages, of: "leases/*/*"), cases: 14)
    }

    @Test func records() {
        check(after(Self.damages, of: "entries/*/*"), cases: 14)
    }

    @Test func theBoard() {
        check(after(Self.damages, of: "board"), cases: 7)
    }

    @Test func directories() {
        check(after(["gone"], of: "entries/[0-9a-f][0-9a-f]"), cases: 2)
        check(after(["gone"], of: "leases"), cases: 1)
        check(after(["gone"], of: "entries"), cases: 1)
    }

    @Test func theMarker() {
        check(after(["empty", "half", "nuls"], of: "flock-cache"), cases: 3)
    }
}
