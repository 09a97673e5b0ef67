import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `lock -F`: the lock lives as long as COMMAND, whatever that does with the descriptors it inherits.
@Suite(.ownThreads, .enabled(if: hasPython, "needs python3")) struct InPlaceTests {
    private let stage = Stage()

    /// Starts a Python program in place of `lock -F`.
    private func start(_ program: String, _ options: String...) -> Child {
        Child(
            builtProducts + "/flock-cache",
            ["lock", "-F"] + options + ["k", "--", "python3", "-c", "import os, sys\n" + program],
            environment: stage.variables)
    }

    // As ssh, sudo and daemons do.
    @Test(arguments: [[], ["-s"], ["--slots", "1"]])
    func aCommandThatClosesItsDescriptorsKeepsTheLock(options: [String]) throws {
        let holder = Child(
            builtProducts + "/flock-cache",
            ["lock", "-F"] + options
                + [
                    "k", "--", "python3", "-c",
                    "import os; os.closerange(3, 1000); print(os.getpid(), flush=True); input()",
                ],
            environment: stage.variables)
        #expect(holder.line() == "\(holder.id)")
        for _ in 0..<20 { #expect(!stage.isFree("k")) }
        let waiter = stage.startLock("k", "--", "echo", "next")
        #expect(waitUntil { stage.waiters(of: "k") == 1 })
        holder.tell("")
        #expect(holder.wait() == .exit(0))
        #expect(waiter.finish().text == "next\n")
    }

    // COMMAND's end and the lock's: nobody who asks behind it is told that it is held.
    @Test func whenCommandHasEndedTheLockIsFree() {
        let outcome = stage.script(
            """
            for i in $(seq \(wantsLongTests ? 1000 : 100)); do
                flock-cache lock -F k -- true; flock-cache lock -n k -- true || echo busy at $i
            done
            """)
        #expect(outcome.text.isEmpty && outcome.code == 0, "\(outcome)")
    }

    @Test(arguments: [SIGKILL, SIGTERM]) func aKilledCommandLeavesTheLockFree(signal: Int32) {
        let holder = start("os.closerange(3, 1000); print('begun', flush=True); input()")
        #expect(holder.line() == "begun")
        holder.kill(signal)
        #expect(holder.wait() == .signal(signal))
        #expect(stage.isFree("k"))
    }

    @Test func whoIsStoppedHoldsTheLock() {
        let holder = start("os.closerange(3, 1000); print('begun', flush=True); input()")
        #expect(holder.line() == "begun")
        kill(holder.id, SIGSTOP)
        #expect(holder.waitForStop())
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        holder.kill(SIGCONT)
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        holder.tell("")
        #expect(holder.wait() == .exit(0))
    }

    // The process that keeps the lock is nobody's child, keeps no pipe open, and no directory.
    @Test func theGuardianIsInNobodysWay() throws {
        let holder = start(
            """
            try: print(os.wait())
            except ChildProcessError: print("no child")
            print(os.getppid(), flush=True)
            sys.stdin.close(); os.close(0); os.close(1); os.close(2)
            import time; time.sleep(600)
            """)
        #expect(holder.line() == "no child")
        #expect(holder.line() == "\(getpid())")
        // Its end of the pipes is COMMAND's alone.
        #expect(holder.rest().isEmpty && holder.restOfError().isEmpty)
        let guardian = try #require(keepers(but: holder.id).first)
        let descriptors = names(in: "/proc/\(guardian)/fd").map {
            target("/proc/\(guardian)/fd/\($0)")
        }
        #expect(
            descriptors.allSatisfy { $0.contains("/locks") || $0.contains("pidfd") },
            "\(descriptors)")
        #expect(target("/proc/\(guardian)/cwd") == "/")
        #expect(!stage.isFree("k"))
        holder.kill(SIGKILL)
        _ = holder.wait()
        #expect(waitUntil { hasEnded(guardian) })
        #expect(stage.isFree("k"))
    }

    // Then what COMMAND has inherited counts, as before.
    @Test func withoutItsGuardianTheDescriptorsCount() throws {
        let holder = start("print('begun', flush=True); input()")
        #expect(holder.line() == "begun")
        let guardian = try #require(keepers(but: holder.id).first)
        kill(guardian, SIGKILL)
        #expect(waitUntil { hasEnded(guardian) })
        #expect(stage.lock("-n", "k", "--", "true").code == 75)
        holder.tell("")
        #expect(holder.wait() == .exit(0))
        #expect(stage.isFree("k"))
    }

    // Killed, or stopped for a while, at each of its calls.
    @Test(arguments: ["KILL", "STOP"]) func atEachOfItsCallsItIsHeldOrFree(fault: String) {
        #expect(stage.lock("k", "--", "true").code == 0)
        for number in 1...400 {
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):\(fault)"
            let holder = Child(
                builtProducts + "/flock-cache",
                ["lock", "-F", "k", "--", "sh", "-c", "echo ran; exec cat"], environment: variables)
            if fault == "STOP" {
                guard waitUntil({ isStopped(holder.id) || isCat(holder.id) }) else { return }
                if isCat(holder.id) { break }
                _ = stage.isFree("k")
                holder.kill(SIGCONT)
                #expect(holder.line() == "ran", "\(number)")
                #expect(!stage.isFree("k"), "\(number)")
            }
            holder.closeInput()
            let outcome = holder.finish()
            #expect(stage.isFree("k"), "\(number)")
            #expect(stage.who().isEmpty, "\(number)")
            if fault == "KILL" && outcome.ending == .exit(0) { break }
            #expect(outcome.ending == (fault == "KILL" ? .signal(SIGKILL) : .exit(0)), "\(number)")
            #expect(number < 400)
        }
    }

    // MARK: Helpers

    /// The processes that have the lock's file open.
    private func keepers(but holder: pid_t) -> [pid_t] {
        let directory = stage.store + "/locks/"
        return names(in: "/proc").compactMap { pid_t($0) }.filter { process in
            process != holder
                && names(in: "/proc/\(process)/fd").contains {
                    target("/proc/\(process)/fd/\($0)").hasPrefix(directory)
                }
        }
    }

    private func target(_ link: String) -> String {
        var bytes = [CChar](repeating: 0, count: 4096)
        let count = readlink(link, &bytes, bytes.count - 1)
        return String(
            decoding: bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

private func isStopped(_ process: pid_t) -> Bool {
    String(decoding: contents(of: "/proc/\(process)/stat") ?? [], as: UTF8.self).contains(") T ")
}

private func isCat(_ process: pid_t) -> Bool {
    contents(of: "/proc/\(process)/comm") == Array("cat\n".utf8)
}
