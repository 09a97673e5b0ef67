import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A holder whose machine was suspended, or that was stopped, for longer than its lease lasts.
///
/// It is told within a second of resuming, and before the lease is renewed: a renewal would succeed where no other
/// process has asked for the lease meanwhile, and hide that the work ran unprotected.
@Suite(.ownThreads) struct LeaseSuspendTests {
    private let stage = Stage()
    private var path: String { stage.store }

    /// The longest that a holder may take to learn of it, in milliseconds: a second, and a busy machine's delay.
    private let bound = 1200.0

    /// Runs the command where the clock may jump.
    private func command(_ suspend: Suspend, _ arguments: [String]) -> Outcome {
        TestSupport.run(
            builtProducts + "/flock-cache", arguments,
            environment: stage.variables.merging(suspend.variables) { $1 })
    }

    /// With a rival that is granted the lease at once, and with none.
    @Test(arguments: [true, false]) func leaseRunEndsItsCommand(hasRival: Bool) throws {
        let suspend = try #require(Suspend(in: stage.directory))
        let holder = Child(
            builtProducts + "/flock-cache",
            [
                "lease", "run", "key", "--ttl", "60s", "--", "bash", "-c",
                "trap 'echo told; exit 0' TERM; echo begun; while :; do read -t 0.02 line; done",
            ], environment: stage.variables.merging(suspend.variables) { $1 })
        #expect(holder.line() == "begun")
        suspend.sleep(3600)
        let start = BootTime.now
        if hasRival {
            #expect(command(suspend, ["lease", "acquire", "key", "--ttl", "1h"]).code == 0)
        }
        #expect(holder.line() == "told")
        let late = start.milliseconds()
        print("told \(late) ms after resuming")
        #expect(late < bound)
        let outcome = holder.finish()
        #expect(outcome.code == 76 && outcome.error.contains("expired"), "\(outcome)")
        let who = command(suspend, ["who", "key"])
        #expect((who.code == 0) == hasRival, "nothing was renewed, and nobody else's released")
    }

    /// A holder that only asks how much time is left.
    @Test func timeLeftIsZeroAtOnce() throws {
        let suspend = try #require(Suspend(in: stage.directory))
        let peer = PeerProcess(path, environment: suspend.variables)
        #expect(peer.ask("lease 60000 0 key").hasPrefix("granted "))
        #expect((Int(peer.ask("lease-left")) ?? 0) > 50_000)
        suspend.sleep(3600)
        #expect(peer.ask("lease-left") == "0")
        // It may be renewed by who knows that: nobody has got it.
        #expect(peer.ask("lease-renew") == "renewed")
        #expect((Int(peer.ask("lease-left")) ?? 0) > 50_000)
    }

    #if Async
    @Test(arguments: [true, false]) func aTaskIsCancelled(hasRival: Bool) throws {
        let suspend = try #require(Suspend(in: stage.directory))
        let peer = PeerProcess(path, environment: suspend.variables)
        #expect(peer.ask("lease-kept 60000 key").hasPrefix("begun "))
        suspend.sleep(3600)
        let start = BootTime.now
        if hasRival {
            #expect(command(suspend, ["lease", "acquire", "key", "--ttl", "1h"]).code == 0)
        }
        #expect(peer.process.line() == "cancelled")
        let late = start.milliseconds()
        print("cancelled \(late) ms after resuming")
        #expect(late < bound)
        #expect(peer.process.line() == "lost")
        #expect((command(suspend, ["who", "key"]).code == 0) == hasRival)
    }

    /// Stopped at its N-th call for as long as it takes a rival to get the lease: begun before that, and told at once
    /// when it goes on; or never begun.
    ///
    /// Other threads may be anywhere when one is stopped: one may just have seen that the lease is not over, and begin
    /// when it goes on. Nothing can prevent that; it happens rarely, and is told at once too.
    @Test func aStoppedTaskIsToldWhenItGoesOn() throws {
        var random = Seeded("LeaseSuspendTests.task")
        var (beside, missed): ([Int], [Int]) = ([], [])
        let numbers = Self.calls(60...200, using: &random)
        for number in numbers {
            let key = "key-\(number)"
            let peer = PeerProcess(
                path, environment: ["FLOCK_CACHE_FAULT": "\(number):STOP"], greets: false)
            peer.process.tell("lease-kept 300 \(key)")
            // It ends when it has answered.
            peer.process.closeInput()
            guard peer.process.waitForStop() else {
                // On a busy machine the lease was over before it came that far.
                let answer = String(decoding: peer.process.rest(), as: UTF8.self)
                let last = answer.split(separator: "\n").last ?? ""
                #expect(last == "lost" || last.hasPrefix("cannot"), "call \(number): \(answer)")
                missed.append(number)
                continue
            }
            // In the middle of a change it keeps everybody out.
            if anyMutexIsHeld(path) { continue }
            let rival = stage.run("lease", "acquire", key, "--ttl", "1h", "-w", "30s")
            #expect(rival.code == 0, "call \(number): \(rival)")
            let start = BootTime.now
            peer.process.kill(SIGCONT)
            var lines: [String] = []
            while let line = peer.process.line() {
                let words = line.split(separator: " ")
                if words.first == "begun", let moment = words.last.flatMap({ Int64($0) }) {
                    if moment >= start.nanoseconds { beside.append(number) }
                }
                if line == "cancelled" {
                    #expect(start.milliseconds() < bound, "call \(number)")
                }
                lines.append(String(words[0]))
                if !["hello", "begun", "cancelled"].contains(lines.last) { break }
            }
            // Granted and over before its task began, it is lost as well; or it never had it.
            let ends = [
                ["hello", "begun", "cancelled", "lost"], ["hello", "lost"], ["hello", "cannot"],
            ]
            #expect(ends.contains(lines), "call \(number): \(lines)")
            peer.kill()
        }
        #expect(beside.count <= 1, "begun beside the rival, stopped at the calls \(beside)")
        Self.expectFew(missed, of: numbers)
    }
    #endif

    /// `lease run` stopped at its N-th call, for as long as it takes a rival to get the lease.
    ///
    /// COMMAND never begins after the rival was granted it, and has ended soon after `lease run` goes on.
    @Test func aStoppedRunEndsItsCommandWhenItGoesOn() throws {
        var random = Seeded("LeaseSuspendTests.run")
        let numbers = Self.calls(1...220, using: &random)
        var expired: [Int] = []
        for number in numbers {
            let (key, log) = ("key-\(number)", stage.directory("log-\(number)"))
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):STOP"
            let holder = Child(
                builtProducts + "/flock-cache",
                [
                    "lease", "run", key, "-n", "--ttl", "300ms", "--", "env", "-u",
                    "FLOCK_CACHE_FAULT", "bash", "-c", "echo $$ >\(log); exec sleep 600",
                ], environment: variables)
            guard holder.waitForStop() else {
                #expect(holder.finish().code == 76, "call \(number)")
                expired.append(number)
                continue
            }
            // In the middle of a change it keeps everybody out.
            if anyMutexIsHeld(path) { continue }
            let rival = stage.run("lease", "acquire", key, "--ttl", "1h", "-w", "30s")
            #expect(rival.code == 0, "call \(number): \(rival)")
            // What has begun by now did before the rival had the lease, or as the one who stopped.
            let before = contents(of: log) != nil
            holder.kill(SIGCONT)
            let start = BootTime.now
            let outcome = holder.finish()
            #expect([75, 76].contains(outcome.code), "call \(number): \(outcome)")
            #expect(start.milliseconds() < bound, "call \(number): \(outcome)")
            let words = String(decoding: contents(of: log) ?? [], as: UTF8.self)
            if let command = pid_t(words.filter(\.isNumber)) {
                #expect(before, "call \(number): COMMAND has begun beside the rival")
                #expect(kill(command, 0) != 0, "call \(number): COMMAND has ended")
            }
            let generation = String(try #require(rival.generation))
            #expect(stage.run("lease", "check", key, "--generation", generation).code == 0)
        }
        Self.expectFew(expired, of: numbers)
    }

    /// On a busy machine a lease may be over before the call is reached, and then `lease run` ends as it must.
    private static func expectFew(_ expired: [Int], of numbers: [Int]) {
        #expect(expired.count < numbers.count, "of \(numbers) not reached: \(expired)")
    }

    /// `lease run` killed at its N-th call takes COMMAND with it; the next gets the lease when its time is over, with
    /// a higher generation.
    @Test func aKilledRunLeavesALeaseThatRunsOut() throws {
        var random = Seeded("LeaseSuspendTests.kill")
        var last: Store.Generation = 0
        let numbers = Self.calls(1...220, using: &random)
        var expired: [Int] = []
        for number in numbers {
            let log = stage.directory("log-\(number)")
            var variables = stage.variables
            variables["FLOCK_CACHE_FAULT"] = "\(number):KILL"
            let holder = Child(
                builtProducts + "/flock-cache",
                [
                    "lease", "run", "key", "-w", "30s", "--ttl", "150ms", "--", "env", "-u",
                    "FLOCK_CACHE_FAULT", "bash", "-c", "echo $$ >\(log); exec sleep 600",
                ], environment: variables)
            let outcome = holder.finish()
            if outcome.code == 76 { expired.append(number) }
            #expect(
                outcome.ending == .signal(SIGKILL) || outcome.code == 76,
                "call \(number): \(outcome)")
            let words = String(decoding: contents(of: log) ?? [], as: UTF8.self)
            if let command = pid_t(words.filter(\.isNumber)) {
                #expect(waitUntil { kill(command, 0) != 0 }, "call \(number): COMMAND has ended")
            }
            let next = stage.run("lease", "acquire", "key", "--ttl", "1h", "-w", "30s")
            let generation = try #require(next.generation, "call \(number): \(next)")
            #expect(generation > last, "call \(number)")
            last = generation
            #expect(
                stage.run("lease", "release", "key", "--generation", "\(generation)").code == 0)
        }
        Self.expectFew(expired, of: numbers)
    }

    /// Some calls; in the long form all.
    private static func calls(
        _ range: ClosedRange<Int>, using random: inout Seeded
    ) -> [Int] {
        wantsLongTests ? Array(range) : Array(range.shuffled(using: &random).prefix(6)).sorted()
    }
}
