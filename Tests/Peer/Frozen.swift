import FlockCache
import Glibc
import Synchronization
import TestSupport

// Swift hides fork; see `Forking`.
@_silgen_name("fork") private func forkProcess() -> Int32

extension Peer {
    /// Opens a store on a file system that is frozen, so that the first call that writes there blocks, and
    /// meanwhile uses the other store and forks.
    ///
    /// `existing` makes the store before: then what blocks is the making of a file of locks. Answers
    /// "beside" when all of it was done while the other thread was blocked, and "behind" when it was done
    /// only after the file system was thawed, as it is after half a minute.
    func openBesideFrozen(_ path: String, existing: Bool) throws -> String {
        // Its board is made then, and a file of locks that is not the one of "beside".
        if existing { try Store(at: path).withLock("some") {} }
        let slash = path.lastIndex(of: "/") ?? path.endIndex
        let device = open(String(path[..<slash]), O_RDONLY)
        defer { close(device) }
        guard ioctl(device, FrozenDevice.freezing, 0) == 0 else { return "cannot freeze: \(errno)" }
        let frozen = FrozenDevice(device)
        let thawing = startThread { frozen.thawWhenTold(within: 30_000) }
        let opening = FrozenThread()
        let thread = startThread {
            opening.begin()
            // Whether it succeeds is not what is looked at.
            _ = try? Store(at: path).withLock("beside") {}
        }
        while !opening.isBlocked { yieldToOthers() }
        let result = Result { try useBesideFrozen(open: path + "-other") }
        let isBeside = !frozen.isThawed.load(ordering: .acquiring)
        frozen.tell()
        pthread_join(thawing, nil)
        pthread_join(thread, nil)
        try result.get()
        return isBeside ? "beside" : "behind"
    }

    /// What must not wait for the frozen file system: locks, claims, opening a store, a fork.
    private func useBesideFrozen(open path: String) throws {
        for number in 0..<64 { try store.withLock(Store.Key("lock-\(number)")) {} }
        try store.put(into: "claimed")
        try Store(at: CommandLine.arguments[1]).withLock("another opening") {}
        let child = forkProcess()
        if child == 0 { _exit(0) }
        var status: Int32 = 0
        waitpid(child, &status, 0)
    }
}

extension Store {
    fileprivate func put(into key: Key) throws {
        if case .won(let claim) = try claim(key) { try claim.finalize([]) }
    }
}

/// A frozen file system, and a thread that thaws it.
final class FrozenDevice: Sendable {
    // _IOWR('X', 119, int) and _IOWR('X', 120, int) of linux/fs.h, which are macros.
    static let freezing: UInt = 0xc004_5877
    private static let thawing: UInt = 0xc004_5878

    let isThawed = Atomic<Bool>(false)
    private let device: Int32
    private let ends: (read: Int32, write: Int32)

    init(_ device: Int32) {
        self.device = device
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { fatalError("pipe: errno \(errno)") }
        self.ends = (ends[0], ends[1])
    }

    convenience init(at path: String) { self.init(open(path, O_RDONLY | O_CLOEXEC)) }

    func freeze() {
        guard ioctl(device, Self.freezing, 0) == 0 else { fatalError("freeze: errno \(errno)") }
    }

    func thaw() { _ = ioctl(device, Self.thawing, 0) }

    deinit {
        close(ends.read)
        close(ends.write)
    }

    func tell() { _ = write(ends.write, "\n", 1) }

    /// Nothing else would end a test whose threads wait for the file system: they cannot be killed.
    func thawWhenTold(within milliseconds: Int32) {
        var request = pollfd(fd: ends.read, events: Int16(POLLIN), revents: 0)
        while poll(&request, 1, milliseconds) < 0 && errno == EINTR {}
        isThawed.store(true, ordering: .releasing)
        _ = ioctl(device, Self.thawing, 0)
    }
}

/// A thread of which can be told whether it is in a call that nothing interrupts.
private final class FrozenThread: Sendable {
    private let id = Atomic<Int32>(0)

    /// Called on that thread: its number, which `gettid` would tell that Swift does not see.
    func begin() {
        var target = [CChar](repeating: 0, count: 64)
        let count = readlink("/proc/thread-self", &target, target.count)
        let text = String(decoding: target.prefix(max(0, count)).map(UInt8.init), as: UTF8.self)
        id.store(text.split(separator: "/").last.flatMap { Int32($0) } ?? 0, ordering: .releasing)
    }

    var isBlocked: Bool {
        let id = id.load(ordering: .acquiring)
        guard id > 0, let status = contents(of: "/proc/self/task/\(id)/stat") else { return false }
        guard String(decoding: status, as: UTF8.self).contains(") D ") else { return false }
        // A read from the device is such a call too, and ends: root sees what is waited for.
        let place = contents(of: "/proc/self/task/\(id)/wchan") ?? []
        return place.count <= 1 || String(decoding: place, as: UTF8.self).contains("rwsem")
    }
}
