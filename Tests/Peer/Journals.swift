import FlockCache
import Glibc
import Synchronization
import TestSupport

@_silgen_name("fork") private func forkProcess() -> Int32

extension Peer {
    /// Children that append to a journal, forked while threads of the parent do.
    func forkToAppend(_ count: Int, in path: String) throws -> String {
        final class State: Sendable {
            let appended = Atomic<Int>(0)
            let isOver = Atomic<Bool>(false)
            let ended = Atomic<Int>(0)
        }
        let state = State()
        let journal = store.journal("log")
        // What the runtime builds once is there: a fork in the middle of that would stop the child, whatever it calls.
        try journal.append("first".utf8)
        state.appended.add(1, ordering: .relaxed)
        try Store(at: path).journal("log").append("second".utf8)
        state.appended.add(1, ordering: .relaxed)
        for _ in 0..<2 {
            startThread {
                while !state.isOver.load(ordering: .relaxed) {
                    if (try? journal.append("of a thread".utf8)) != nil {
                        state.appended.add(1, ordering: .relaxed)
                    }
                }
                state.ended.add(1, ordering: .relaxed)
            }
        }
        // Also what it builds where the two meet, and where a segment is full.
        guard waitUntil({ state.appended.load(ordering: .relaxed) > 300 }) else { return "slow" }
        var children: [Int32] = []
        for _ in 0..<count {
            let child = forkProcess()
            if child == 0 { _exit((try? journal.append("of a child".utf8)) != nil ? 0 : 1) }
            children.append(child)
        }
        for child in children {
            var status: Int32 = 1
            if !waitUntil({ waitpid(child, &status, WNOHANG) == child }) {
                kill(child, SIGKILL)
                waitpid(child, nil, 0)
                return "stuck"
            }
            if status == 0 { state.appended.add(1, ordering: .relaxed) }
        }
        state.isOver.store(true, ordering: .relaxed)
        while state.ended.load(ordering: .relaxed) < 2 { usleep(100) }
        return "appended \(state.appended.load(ordering: .relaxed))"
    }
}
