import Glibc
import TestSupport
import Testing

@testable import TestHelpers

/// A program with a file creation mask makes the parts of a shared store, and is killed at each of its system calls:
/// what it leaves keeps no other member of the group out.
@Suite(
    .ownThreads(minutes: 5),
    .enabled(if: canBeNobody, "needs root, setpriv, and a build that others may run"))
struct SharedCreationTests {
    private let owner = "setpriv --reuid 1234 --regid 65534 --clear-groups"
    private let member = "setpriv --reuid 12345 --regid 65534 --clear-groups"

    private func stage() -> Stage {
        let stage = Stage()
        chmod(stage.directory.path, 0o1777)
        let made = stage.script("\(owner) flock-cache init --mode 0770")
        #expect(made.code == 0, "\(made)")
        return stage
    }

    /// Gives orders to a program of the owner's with a mask that takes everything from the group.
    private func give(_ orders: [String], _ stage: Stage, fault: String) -> Child.Ending {
        var variables = stage.variables
        variables["FLOCK_CACHE_FAULT"] = fault
        let words = owner.split(separator: " ").map(String.init)
        let peer = PeerProcess(
            stage.store, wrapper: words + ["sh", "-c", "umask 077; exec \"$@\"", "sh"],
            environment: variables, greets: false)
        for order in orders + ["exit"] { peer.process.tell(order) }
        peer.process.closeInput()
        _ = peer.process.rest()
        return peer.process.wait()
    }

    @Test func itKeepsNoOtherMemberOut() {
        let orders = ["claim k", "finalize v", "claim l", "lock x 0 k", "lease 1000 0 k"]
        // The short form kills at every third call, from another one on in each run.
        var random = Seeded("kept out")
        let step = wantsLongTests ? 1 : 3
        var number = 1 - Int.random(in: 1...step, using: &random)
        var ending = Child.Ending.signal(SIGKILL)
        // Until it makes no call more.
        while ending == .signal(SIGKILL), number < 1000 {
            number += step
            let stage = stage()
            ending = give(orders, stage, fault: "\(number):KILL")
            let outcome = stage.script(
                """
                cd $FLOCK_CACHE_DIR
                find . -maxdepth 1 -name '.flock-cache-*' -exec touch -d '2 hours ago' {} +
                \(member) bash -c '
                    for key in k l m; do flock-cache run -q $key -- true >/dev/null; echo $key $?; done
                    flock-cache lock -n k -- true; echo lock $?
                    flock-cache lease acquire k --ttl 1h -w 30s >/dev/null; echo lease $?'
                \(owner) flock-cache reap; ls -A
                """)
            // What it left under private names has gone.
            #expect(
                outcome.text
                    == """
                    k 0
                    l 0
                    m 0
                    lock 0
                    lease 0
                    board
                    entries
                    flock-cache
                    leases
                    locks

                    """, "killed at call \(number): \(outcome)")
        }
        #expect(ending == .exit(0) && number > 50, "\(number): \(ending)")
    }
}
