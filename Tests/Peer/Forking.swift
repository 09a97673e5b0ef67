import FlockCache
import Glibc
import Synchronization
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

    /// A child that waits for a key while threads of the parent do.
    func forkToWait(_ key: String) throws -> String {
        final class Waits: Sendable { let begun = Atomic<Int>(0) }
        let waits = Waits()
        var configuration = Store.Configuration()
        configuration.onWait = { _, _ in
            Self.say("waiting")
            waits.begun.add(1, ordering: .relaxed)
        }
        let store = try Store(at: CommandLine.arguments[1], configuration: configuration)
        let wait: @Sendable (String) -> Void = { who in
            let value = try? store.computeIfAbsent(Store.Key(key), wait: .upTo(.seconds(30))) {
                "of the \(who)".utf8
            }
            let text = value.map { String(decoding: $0, as: UTF8.self) } ?? "nothing"
            Self.say("\(who) \(text) \(Self.bootTime)")
        }
        let threads = (0..<2).map { _ in startThread { wait("thread") } }
        while waits.begun.load(ordering: .relaxed) < 2 { yieldToOthers() }
        let child = forkProcess()
        if child == 0 {
            wait("child")
            _exit(0)
        }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        for thread in threads { pthread_join(thread, nil) }
        return "\(status)"
    }

    private func pauseAsChild() -> Never {
        Self.say("child \(getpid())")
        while true { pause() }
    }
}
