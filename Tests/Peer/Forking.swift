import FlockCache
import Glibc
import TestSupport

// Swift hides fork, because little may be done in the child. What is done here a C program would do too.
@_silgen_name("fork") private func forkProcess() -> Int32

extension Peer {
    /// A child that only waits for a signal.
    ///
    /// It says itself that it runs: then it has done whatever a fork makes it do first.
    func forkToPause() -> String {
        if forkProcess() == 0 { pauseAsChild() }
        return "forked"
    }

    /// Children forked while other threads are in the middle of changes.
    func forkOften(_ count: Int) throws -> String {
        let store = store
        for thread in 0..<2 {
            startThread {
                var number = 0
                // Each thread has one claim, so that there is something to take over.
                var last: [Kept] = []
                while true {
                    number += 1
                    let key = Store.Key("busy-\(thread)-\(number % 50)")
                    if case .won(let claim)? = try? store.claim(key) {
                        if number % 3 > 0 {
                            _ = try? claim.finalize("value".utf8)
                        } else {
                            last.removeAll()
                            last.append(Kept(claim))
                        }
                    } else {
                        _ = try? store.remove(key)
                    }
                }
            }
        }
        for _ in 0..<count where forkProcess() == 0 { pauseAsChild() }
        return "forked"
    }

    /// A child that does with the claim it inherited what ends a claim, and then works by itself.
    mutating func forkInert(_ key: String) -> String {
        let child = forkProcess()
        if child == 0 {
            var results: [String] = []
            if let inherited = claim.take() {
                do throws(StoreError) {
                    try inherited.finalize("of the child".utf8)
                    results.append("finalized")
                } catch {
                    results.append("\(error.code)")
                }
            }
            do throws(StoreError) {
                if case .won(let mine) = try store.claim(Store.Key(key)) {
                    try mine.finalize("of the child".utf8)
                    results.append("published")
                }
            } catch {
                results.append("\(error)")
            }
            Self.say("child " + results.joined(separator: " "))
            _exit(0)
        }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        let dropping = forkProcess()
        if dropping == 0 {
            claim = nil
            Self.say("child dropped")
            _exit(0)
        }
        waitpid(dropping, &status, 0)
        return "forked"
    }

    private func pauseAsChild() -> Never {
        Self.say("child \(getpid())")
        while true { pause() }
    }
}
