import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import TestHelpers

/// Two machines of one name that share a store on a network: nothing goes by the name, all by the boot.
///
/// The other one is a mount namespace in which the kernel tells another boot. Its numbers of processes are ours, so a
/// judgement by them would be seen; so would one by the name, which is the same.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct TwoMachinesTests {
    private var stage = Stage()

    init() {
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "26985"
    }

    private func here(_ script: String) -> Outcome { stage.script(script) }

    private func there(_ script: String) -> Outcome {
        TestSupport.run(
            "unshare",
            [
                "-m", "-u", "bash", "-c",
                """
                echo 11111111-2222-3333-4444-555555555555 >$WORK/boot
                mount --bind $WORK/boot /proc/sys/kernel/random/boot_id || exit 99
                \(script)
                """,
            ], environment: stage.variables)
    }

    private func acquire(_ more: String) -> String {
        "flock-cache lease acquire key --ttl 700ms \(more)"
    }

    /// Each watches the other's lease for its whole time, also when it only looks from time to time.
    @Test func aLeaseGoesFromOneToTheOtherAndBack() throws {
        let first = here(acquire(""))
        let mine = try #require(first.generation, "\(first)")
        let start = BootTime.now
        #expect(there(acquire("")).code == 75)
        let second = there(acquire("-w 60s"))
        let theirs = try #require(second.generation, "\(second)")
        #expect(theirs > mine && start.milliseconds() >= 690)
        for action in ["check", "renew"] {
            let lost = here("flock-cache lease \(action) key --generation \(mine)")
            #expect(lost.code == 76, "\(lost)")
        }
        let granted = BootTime.now
        #expect(here(acquire("")).code == 75)
        let third = here(acquire("-w 60s"))
        #expect(try #require(third.generation, "\(third)") > theirs)
        #expect(granted.milliseconds() >= 690)
        // A release tells both at once.
        #expect(
            here("flock-cache lease release key --generation \(third.generation ?? 0)").code == 0)
        #expect(there(acquire("")).code == 0)
    }

    /// The number of an owner is one of its machine: alive or dead, over there it cannot be told.
    @Test func anOwnerIsJudgedOnItsOwnMachine() throws {
        let owner = Child("sleep", ["1000"])
        #expect(here("flock-cache lease acquire key --owner \(owner.id)").code == 0)
        let ask = "flock-cache lease acquire key --owner $$"
        #expect(here(ask).code == 75 && there(ask).code == 75)
        owner.kill(SIGKILL)
        _ = owner.wait()
        let busy = there(ask)
        #expect(busy.code == 75 && busy.error.contains("liveness unknown"), "\(busy)")
        #expect(here(ask).code == 0)
    }

    /// A claim of a session is judged by its byte, which the file system locks for both.
    @Test func aSessionIsJudgedByBoth() throws {
        let holder = Child(
            builtProducts + "/flock-cache",
            ["run", "key", "--", "bash", "-c", "echo begun; read line"],
            environment: stage.variables)
        #expect(holder.line() == "begun")
        #expect(there("flock-cache claim key").code == 75)
        holder.kill(SIGKILL)
        _ = holder.wait()
        let won = there("flock-cache claim key --owner none --stale-after 1h")
        #expect(won.code == 0 && won.generation != nil, "\(won)")
        #expect(here("flock-cache claim key").code == 75)
    }
}
