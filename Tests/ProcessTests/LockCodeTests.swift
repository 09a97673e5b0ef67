import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// How `lock` is called, and the codes it ends with.
@Suite(.ownThreads(minutes: 5)) struct LockCodeTests {
    private let stage = Stage()

    @Test(arguments: [
        "lock k -- printf %s x", "lock -- k -- printf %s x", "lock -w 5 k -- printf %s x",
        "lock k -w5 -- printf %s x", "lock -n -w 0 k -- printf %s x", "lock a k b a -- printf %s x",
        "lock -sqE3 k -- printf %s x", "lock --shared --no-wait k -- printf %s x",
        "lock --slots=2 k -- printf %s x", "lock -F k -- printf %s x",
        "lock -w forever k -- printf %s x",
        "lock -- -k -- printf %s x", "--store=$FLOCK_CACHE_DIR lock k -- printf %s x",
    ])
    func theManyWaysToCallIt(line: String) {
        let outcome = stage.script("flock-cache \(line)")
        #expect(outcome.code == 0 && outcome.text == "x", "\(outcome)")
        #expect(outcome.error.isEmpty, "\(outcome)")
    }

    @Test func everythingBehindTheHyphensIsTheCommands() {
        let outcome = stage.lock("k", "--", "printf", "%s.", "-n", "--", "--store=x", "-w")
        #expect(outcome.text == "-n.--.--store=x.-w.", "\(outcome)")
        // Of two the first is ours.
        #expect(stage.lock("k", "--", "--", "x").code == 127)
    }

    // MARK: Codes of COMMAND

    @Test(arguments: [0, 1, 2, 9, 64, 75, 76, 124, 125, 126, 127, 255] as [Int32])
    func theCodeOfTheCommandIsReturned(code: Int32) {
        for option in ["-F", "-s", "-n", "-w5"] {
            #expect(stage.lock(option, "k", "--", "sh", "-c", "exit \(code)").code == code)
            let outcome = stage.lock(option, "-E", "9", "k", "--", "sh", "-c", "exit \(code)")
            #expect(outcome.code == code && outcome.error.isEmpty, "\(outcome)")
        }
    }

    @Test(arguments: [9, 15, 6, 11, 13] as [Int32])
    func aCommandThatDiesByASignalIsTold(signal: Int32) {
        let line = "ulimit -c 0; kill -\(signal) $$"
        #expect(stage.lock("-E", "9", "k", "--", "sh", "-c", line).ending == .signal(signal))
        #expect(stage.lock("-F", "k", "--", "sh", "-c", line).ending == .signal(signal))
        #expect(stage.isFree("k"))
    }

    @Test(.enabled(if: ignoresChildren, "needs an env(1) that can ignore signals"))
    func theCodeComesThroughWhereTheEndOfChildrenIsIgnored() {
        let line = "exec env --ignore-signal=CHLD flock-cache lock"
        for option in ["", "-F"] {
            #expect(stage.script("\(line) \(option) k -- sh -c 'exit 3'").code == 3)
            let mask = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"
            let under = stage.script("\(line) \(option) k -- \(mask)")
            let direct = stage.script("exec env --ignore-signal=CHLD \(mask)")
            #expect(under.code == 0 && under.text == direct.text, "\(under) \(direct)")
        }
    }

    // MARK: Codes of its own

    @Test func busyIsToldApartFromTheCommand() {
        let holder = stage.hold("k")
        let lines: [(String, Int32)] = [
            ("-n k", 75), ("-w 0 k", 75), ("-w0 -n k", 75),
            ("-w 20ms k", 124), ("-w 0.02 k", 124), ("-s -n k", 75), ("--slots 1 -n k", 75),
            ("-v -E 9 -n k", 9), ("-vE 9 -w 20ms k", 9), ("-vn -E75 k", 75), ("-F -n k", 75),
            ("-n -v -E 1 a k", 1), ("-n a k", 75), ("-n k a", 75), ("-vnE0 k", 0),
        ]
        for (line, code) in lines {
            let outcome = stage.script("exec flock-cache lock \(line) -- sh -c 'echo ran; exit 1'")
            #expect(outcome.code == code && outcome.output.isEmpty, "\(line): \(outcome)")
            #expect(outcome.error.contains("pid \(holder.id)"), "\(line): \(outcome)")
            let told = outcome.error.split(separator: "\n").filter {
                !$0.contains("using the store")
            }
            #expect(told.count == 1, "\(line): \(outcome)")
        }
        #expect(stage.lock("-q", "-n", "k", "--", "true").error.isEmpty)
        for line in ["-E 9 -n k", "-E 0 -n k", "-E255 -w 20ms k"] {
            let outcome = stage.script("exec flock-cache lock \(line) -- echo ran")
            #expect([9, 0, 255].contains(outcome.code), "\(line): \(outcome)")
            #expect(outcome.output.isEmpty && outcome.error.isEmpty, "\(line): \(outcome)")
        }
        let json = stage.run("--json", "lock", "-n", "k", "--", "true")
        #expect(json.code == 75 && json.error.isEmpty, "\(json)")
        let start =
            "{\"state\":\"busy\",\"key\":\"k\",\"text\":\"k\",\"holder\":{\"pid\":\(holder.id),"
        #expect(json.text.hasPrefix(start), "\(json)")
        // Another slot is free.
        #expect(stage.lock("-n", "--slots", "2", "k", "--", "true").code == 0)
        #expect(stage.isFree("a"))
        #expect(holder.outcome().code == 0)
        #expect(stage.isFree("k"))
    }

    @Test func theWaitOfTheEnvironmentIsHonoured() {
        let holder = stage.hold("k")
        for (value, code) in [("20ms", 124), ("0", 75), ("0.02", 124), ("soon", 125), ("-1", 125)] {
            let outcome = stage.script("FLOCK_CACHE_WAIT=\(value) flock-cache lock k -- true")
            #expect(outcome.code == Int32(code), "\(value): \(outcome)")
        }
        let own = stage.script("FLOCK_CACHE_WAIT=forever flock-cache lock -w 20ms k -- true")
        #expect(own.code == 124, "\(own)")
        #expect(stage.script("FLOCK_CACHE_WAIT=soon flock-cache lock -n k -- true").code == 75)
        #expect(holder.outcome().code == 0)
    }

    @Test(arguments: [[], ["-F"]])
    func aCommandThatCannotBeStarted(options: [String]) {
        write("not a program".utf8, to: stage.directory("text"))
        let cases: [(String, Int32)] = [
            ("no-such-program", 127), ("/nowhere/program", 127), ("", 127), ("./none", 127),
            (stage.directory("text"), 126), (stage.directory.path, 126), ("/", 126),
            ("/etc/passwd", 126),
        ]
        for (program, code) in cases {
            let outcome = TestSupport.run(
                builtProducts + "/flock-cache", ["lock"] + options + ["-E9", "k", "--", program],
                environment: stage.variables)
            #expect(outcome.code == code, "\(program): \(outcome)")
            #expect(outcome.error.contains("cannot run"), "\(program): \(outcome)")
            #expect(stage.isFree("k"), "\(program)")
        }
    }

    // MARK: Keys

    @Test func keysAreBytesUpTo4096() {
        let longest = String(repeating: "k", count: 4096)
        #expect(stage.lock(longest, "--", "sh", "-c", "test ${#FLOCK_CACHE_KEY} = 4096").code == 0)
        let long = stage.lock(longest + "k", "--", "true")
        #expect(long.code == 125 && long.error.contains("4096"), "\(long)")
        let outcome = stage.script(
            """
            all=$(printf '\\\\x%02x' $(seq 1 255)); key=$(printf "$all")
            flock-cache lock -- "$key" -- sh -c '
                [ "$FLOCK_CACHE_KEY" = "$1" ] && ! flock-cache lock -n -- "$1" -- true' - "$key"
            """)
        #expect(outcome.code == 0, "\(outcome)")
        for key in ["/", "..", ".", " ", "a\nb", "k.pending", "-n", "%", "ä", "*", "\u{1b}[2J"] {
            let outcome = stage.lock("--", key, "--", "printenv", "FLOCK_CACHE_KEY")
            #expect(outcome.code == 0 && outcome.text == key + "\n", "\(outcome)")
        }
    }

    // What is said of a key must not do anything to the terminal.
    @Test func keysAreEscapedInMessages() {
        let key = "\u{1b}]0;x\u{7}\n"
        let holder = stage.hold(key)
        let outcome = stage.lock("-n", key, "--", "true")
        #expect(outcome.code == 75, "\(outcome)")
        #expect(outcome.error.utf8.dropLast().allSatisfy { $0 >= 0x20 }, "\(outcome)")
        #expect(holder.outcome().code == 0)
    }

    // Each needs 12 KiB where it is percent-encoded, and an environment variable has room for 128.
    @Test func manyLongKeysLeaveRoomForTheCommand() {
        let outcome = stage.script(
            """
            long=$(printf '\\\\x01%.0s' $(seq 4090)); keys=()
            for i in 10 11 12 13 14 15 16 17 18 19 20 21 22; do keys+=("$(printf "$long")$i"); done
            exec flock-cache lock -- "${keys[@]}" -- echo ran
            """)
        #expect(outcome.code == 0 && outcome.text == "ran\n", "\(outcome)")
    }

    @Test func manyKeysLeaveRoomForTheCommand() {
        let outcome = stage.script(
            "exec flock-cache lock -- $(printf 'a-key-of-some-length-%d ' $(seq 2500)) -- echo ran")
        #expect(outcome.code == 0 && outcome.text == "ran\n", "\(outcome)")
    }
}

private let ignoresChildren = run("env", ["--ignore-signal=CHLD", "true"]).code == 0
