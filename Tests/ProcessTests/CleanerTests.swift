import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// Cleaners of old files, such as `systemd-tmpfiles`, in a store that is in use.
@Suite(.ownThreads) struct CleanerTests {
    private let stage = Stage()

    /// Has the cleaner remove all that is older than a microsecond from a directory.
    ///
    /// - Parameter passedOver: what it is told to leave alone.
    private func clean(_ path: String, passingOver passedOver: [String] = []) {
        let lines = ["e \(path) - - - 1us"] + passedOver.map { "x \(stage.store)/\($0)" }
        let file = TemporaryDirectory()
        write((lines.joined(separator: "\n") + "\n").utf8, to: file("clean.conf"))
        let outcome = TestSupport.run(
            "systemd-tmpfiles", ["--clean", file("clean.conf")], environment: stage.variables)
        #expect(outcome.code == 0, "\(outcome)")
    }

    /// A configuration that names a directory above the store, and one that names the store itself, whose
    /// own `flock(2)` is then not asked for; its entries and marker are left alone, which have no locks.
    @Test(
        .enabled(if: isInstalled("systemd-tmpfiles"), "needs systemd-tmpfiles"),
        arguments: ["above", "the store"])
    func aLockAndAComputationAreHeldAfterCleaning(place: String) {
        let cleaned = { (name: String) in
            place == "above"
                ? clean(stage.directory.path)
                : clean(stage.store, passingOver: ["flock-cache", "entries"])
        }
        let locker = stage.start("exec flock-cache lock k -- sh -c 'echo held; read go'")
        let runner = stage.start("exec flock-cache run r -- sh -c 'echo one; read go'")
        #expect(locker.line() == "held" && runner.line() == "one")
        cleaned(place)
        #expect(stage.run("lock", "-n", "k", "--", "true").code == 75)
        #expect(stage.run("run", "-n", "r", "--", "echo", "two").code == 75)
        locker.tell("go")
        runner.tell("go")
        #expect(locker.wait() == .exit(0))
        #expect(runner.wait() == .exit(0))
        #expect(stage.run("get", "r").text == "one\n")
        // The cleaner was there: what nobody uses is gone.
        cleaned(place)
        #expect(names(in: stage.store + "/locks").isEmpty)
    }

    /// A command that takes the place of flock-cache keeps the cleaner out itself.
    @Test(.enabled(if: isInstalled("systemd-tmpfiles"), "needs systemd-tmpfiles"))
    func aLockThatACommandInheritedIsHeldAfterCleaning() {
        let locker = stage.start("exec flock-cache lock -F k -- sh -c 'echo held; read go'")
        #expect(locker.line() == "held")
        clean(stage.store, passingOver: ["flock-cache", "entries"])
        #expect(stage.run("lock", "-n", "k", "--", "true").code == 75)
    }

    /// A cleaner that is stopped inside, or another program that keeps the directories for itself.
    @Test(arguments: ["", "/locks"])
    func aDirectoryThatIsLockedForGoodDelaysAndPreventsNothing(place: String) {
        stage.publish("ready", "value")
        let directory = open(stage.store + place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(directory) }
        #expect(flock(directory, LOCK_EX | LOCK_NB) == 0)
        #expect(stage.run("lock", "-n", "k", "--", "true").code == 0)
        #expect(stage.run("run", "k", "--", "echo", "one").text == "one\n")
    }

    private func times(_ name: String) -> [Int] {
        var status = stat()
        #expect(stat("\(stage.store)/\(name)", &status) == 0, "\(name)")
        return [status.st_atim.tv_sec, status.st_mtim.tv_sec]
    }

    private func makeOld(_ age: String, _ name: String = ".") {
        let outcome = stage.script("find $FLOCK_CACHE_DIR/\(name) -exec touch -d '\(age) ago' {} +")
        #expect(outcome.code == 0, "\(outcome)")
    }

    // What is read alone, too: its files of locks would go first, and then the directory.
    @Test(arguments: ["get ready", "list", "lock k -- true", "claim new"])
    func aStoreInUseHasNoPartThatLooksOld(command: String) {
        stage.publish("ready", "value")
        #expect(stage.run("lock", "k", "--", "true").code == 0)
        let parts =
            ["flock-cache", "board", "locks", "entries"]
            + names(in: stage.store + "/locks").map { "locks/" + $0 }
        #expect(parts.count > 5)
        makeOld("2 hours")
        let old = Int(time(nil)) - 3600
        #expect(parts.allSatisfy { times($0).allSatisfy { $0 < old } })
        #expect(stage.script("flock-cache \(command)").code == 0)
        for part in parts { #expect(times(part).allSatisfy { $0 > old }, "\(part)") }
    }

    // tmpreaper looks at the time of access alone, which nothing sets of a file that is never read.
    @Test func theOlderOfTheTimesCounts() throws {
        #expect(stage.run("lock", "k", "--", "true").code == 0)
        let file = try #require(names(in: stage.store + "/locks").first { $0.utf8.count == 2 })
        let old = Int(time(nil)) - 3600
        #expect(stage.script("touch -a -d '2 hours ago' $FLOCK_CACHE_DIR/locks/\(file)").code == 0)
        #expect(stage.run("lock", "k", "--", "true").code == 0)
        #expect(times("locks/" + file).allSatisfy { $0 > old })
    }

    @Test func timesOfLessThanAnHourAreLeftAsTheyAre() {
        stage.publish("ready", "value")
        #expect(stage.run("lock", "k", "--", "true").code == 0)
        makeOld("50 minutes", "locks")
        makeOld("50 minutes", "flock-cache")
        let files = names(in: stage.store + "/locks").filter { $0.count == 2 }
        let before = files.map { times("locks/" + $0) }
        #expect(stage.run("lock", "k", "--", "true").code == 0)
        #expect(before == files.map { times("locks/" + $0) })
    }

    /// All files of the lock table, not those of sessions.
    private let removal = "rm $FLOCK_CACHE_DIR/locks/[0-9a-f][0-9a-f]"

    @Test(arguments: ["", "-s ", "--slots 2 "])
    func aLockWhoseFileWasRemovedIsToldAtItsRelease(mode: String) {
        let outcome = stage.script("flock-cache lock \(mode)k -- sh -c '\(removal)'")
        #expect(outcome.code == 76, "\(outcome)")
        #expect(outcome.error.contains("cannot keep the lock 'k' at \(stage.store)/locks/"))
        #expect(outcome.error.contains("the file was removed or replaced while the lock was held"))
        // Of the next holder nothing is said.
        #expect(stage.run("lock", "k", "--", "true").code == 0)
    }

    /// Makes the store, and returns when the clock of files shows that claims are younger than it.
    private func makeStore() {
        stage.publish("first", "value")
        let made = fileClock()
        #expect(waitUntil { fileClock() > made + 0.1 })
    }

    /// The time that the kernel writes into a file now, in seconds.
    private func fileClock() -> Double {
        write([], to: stage.directory("clock"))
        var status = stat()
        #expect(stat(stage.directory("clock"), &status) == 0)
        return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
    }

    // Otherwise the claim would be taken over while its holder works.
    @Test func aSessionWhoseFileWasRemovedIsNotTakenForDead() {
        makeStore()
        let runner = stage.start("exec flock-cache run r -- sh -c 'echo one; read go'")
        #expect(runner.line() == "one")
        #expect(stage.script("rm $FLOCK_CACHE_DIR/locks/sessions-*").code == 0)
        let rival = stage.run("claim", "r")
        #expect(rival.code == 75, "\(rival)")
        #expect(stage.run("reap").output.isEmpty)
        runner.tell("go")
        #expect(runner.wait() == .exit(0))
        #expect(stage.run("get", "r").text == "one\n")
    }

    @Test(.enabled(if: hasBirthTimes, "needs times of birth, on tmpfs those of Linux 6.6"))
    func aSessionWhoseFileWasMadeAnewIsNotTakenForDead() {
        makeStore()
        let runner = stage.start("exec flock-cache run r -- sh -c 'echo one; read go'")
        #expect(runner.line() == "one")
        let outcome = stage.script(
            """
            cd $FLOCK_CACHE_DIR/locks && rm sessions-* &&
            for file in $(seq 0 63); do : >$(printf sessions-%02x $file); done
            """)
        #expect(outcome.code == 0, "\(outcome)")
        #expect(stage.run("claim", "r").code == 75)
        // When its process has ended the claim is free.
        runner.kill(SIGKILL)
        _ = runner.wait()
        let next = stage.run("claim", "r")
        #expect(next.code == 0, "\(next)")
    }
}

/// Whether files have times of birth where tests have their stores.
private let hasBirthTimes: Bool = {
    let directory = TemporaryDirectory()
    let outcome = run("stat", ["-c", "%W", directory.path], environment: [:])
    return outcome.code == 0 && outcome.text != "0\n" && outcome.text != "-\n"
}()
