import FlockCache
import Glibc
import Synchronization
import TestSupport

// Swift hides fork, because little may be done in the child. What is done here a C program would do too.
@_silgen_name("fork") private func forkProcess() -> Int32

// A fork that calls no handlers, as a program does that calls clone(2) itself.
@_silgen_name("_Fork") private func forkUnseen() -> Int32

private final class Flag: Sendable {
    let isRaised = Atomic<Bool>(false)
}

/// A lock that is held between two orders.
private final class KeptLock {
    nonisolated(unsafe) static var kept: KeptLock?
    let lock: HeldLock

    init(_ lock: consuming HeldLock) { self.lock = lock }
}

extension Peer {
    /// Children that take a lock each, forked while another thread takes and releases others; returns how
    /// many did not come to an end.
    func forkToLock(_ count: Int) throws -> String {
        let store = store
        try store.lock(["main"]).release()
        // Threads that are some multiple of a power of two apart may share something.
        for number in 0..<63 {
            let key = Store.Key("\(number)")
            pthread_join(startThread { _ = try? store.lockIfAvailable([key]) }, nil)
        }
        startThread { while true { _ = try? store.lockIfAvailable(["busy"]) } }
        var stuck = 0
        for _ in 0..<count {
            let child = forkProcess()
            if child == 0 {
                _ = try? store.lockIfAvailable(["child"])
                _exit(0)
            }
            if !waitUntil({ waitpid(child, nil, WNOHANG) == child }, seconds: 5) {
                stuck += 1
                kill(child, SIGKILL)
                waitpid(child, nil, 0)
                break
            }
        }
        return "stuck \(stuck)"
    }

    /// Takes a lock, and has another thread start a program that cannot begin before somebody reads from a
    /// FIFO.
    func lockAndSpawn(_ fifo: String) throws -> String {
        KeptLock.kept = KeptLock(try store.lock(["k"]))
        startThread {
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            posix_spawn_file_actions_addopen(&actions, 9, fifo, O_WRONLY, 0)
            var process: pid_t = 0
            let name = strdup("true")
            posix_spawn(&process, "/bin/true", &actions, nil, [name, nil], [nil])
            waitpid(process, nil, 0)
        }
        return "spawning"
    }

    /// Waits for a lock in a thread, and meanwhile forks a child that keeps every descriptor; says "held" when the
    /// thread has the lock.
    func lockAndForkUnseen(_ key: String) throws -> String {
        let flag = Flag()
        var configuration = Store.Configuration()
        // It is in the queue then.
        configuration.onWait = { _, _ in flag.isRaised.store(true, ordering: .releasing) }
        let waiting = try Store(at: CommandLine.arguments[1], configuration: configuration)
        startThread {
            guard let lock = try? waiting.lock([Store.Key(key)], wait: .forever) else { return }
            KeptLock.kept = KeptLock(lock)
            Peer.say("held")
        }
        while !flag.isRaised.load(ordering: .acquiring) { yieldToOthers() }
        let child = forkUnseen()
        if child == 0 { while true { pause() } }
        return "forked \(child)"
    }

    func unlock() -> String {
        KeptLock.kept = nil
        return "released"
    }

    private func waitUntil(_ condition: () -> Bool, seconds: Int) -> Bool {
        let start = time(nil)
        while !condition() {
            if time(nil) > start + seconds { return false }
            yieldToOthers()
        }
        return true
    }
}
