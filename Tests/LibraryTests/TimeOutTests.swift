import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A wait ends when its time is over: never earlier, whatever signals come, and not much later.
@Suite(.ownThreads) struct TimeOutTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    /// Waits of 10, 30 and 100 ms.
    private static let limits = (wantsLongTests ? 1...20 : 1...3).flatMap { _ in [10, 30, 100] }

    /// Milliseconds that each wait took longer than its limit.
    private func excess(_ store: Store, _ key: Store.Key) throws -> [Double] {
        try Self.limits.map { limit in
            let begin = BootTime.now
            let told = try store.claim(key, for: .milliseconds(limit))
            let time = begin.milliseconds()
            #expect(told == .pending)
            #expect(time >= Double(limit))
            return time - Double(limit)
        }
    }

    @Test(arguments: [true, false])
    func waitsDoNotEndEarly(withABoard: Bool) throws {
        let store = try Store(at: path)
        let kept = try store.win("key")
        if !withABoard { mkdir(path + "/board", 0o700) }
        let excess = try excess(store, "key")
        print("waits ended late by \(median(excess)) ms (median), \(excess.max() ?? 0) ms at most")
        #expect(median(excess) < 20)
        try kept?.abandon()
    }

    @Test(arguments: [true, false])
    func waitsUnderAStormOfSignalsDoNotEndEarly(withABoard: Bool) throws {
        // Not restarted: each signal ends the system call it meets.
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGUSR1, &action, nil)
        let store = try Store(at: path)
        let kept = try store.win("key")
        if !withABoard { mkdir(path + "/board", 0o700) }
        let (target, isOver) = (Counter(), Counter())
        let waiter = WaitingThread { _ in
            target.add(Int(bitPattern: pthread_self()))
            defer { isOver.add(1) }
            return try self.excess(store, "key")
        }
        #expect(waitUntil { target.value != 0 })
        var signals = 0
        while isOver.value == 0 {
            pthread_kill(pthread_t(bitPattern: target.value), SIGUSR1)
            signals += 1
            usleep(50)
        }
        let excess = try waiter.result()
        print("\(signals) signals; waits ended late by \(excess.max() ?? 0) ms at most")
        #expect(signals > 100)
        try kept?.abandon()
    }

    /// Also of times that cannot be told by the clock.
    @Test(arguments: [
        Duration.zero, .seconds(-1), .nanoseconds(Int64.min), .seconds(Int64.min),
    ])
    func aWaitOfNoTimeDoesNotWait(limit: Duration) throws {
        var configuration = Store.Configuration()
        let waits = Counter()
        configuration.onWait = { _, _ in waits.add(1) }
        let store = try Store(at: path, configuration: configuration)
        let kept = try store.win("key")
        #expect(try store.claim("key", for: limit) == .pending)
        #expect(
            try Waited(store.session.wait(for: "key", waiting: limit, alsoAbsent: true)) == .pending
        )
        #expect(
            try Waited(store.session.wait(for: "other", waiting: limit, alsoAbsent: true))
                == .pending)
        #expect(
            storeError { _ = try store.computeIfAbsent("key", wait: .upTo(limit)) { "".utf8 } }?
                .code
                == .timedOut)
        #expect(waits.value == 0)
        #expect(!names(in: path).contains("board"), "nobody waited")
        try kept?.abandon()
        // What is free is taken at once.
        #expect(try store.claim("key", for: limit).isWon)
    }

    @Test(arguments: [Duration.seconds(Int64.max), .nanoseconds(Int64.max)])
    func aWaitOfAllTimeEndsWithTheClaim(limit: Duration) throws {
        let store = try Store(at: path)
        let kept = try store.win("key")
        let waiters = [
            store.claimInThread("key", wait: limit), store.claimInThread("key", wait: nil),
        ]
        for waiter in waiters { #expect(waiter.waitForSleep()) }
        try kept?.finalize("value".utf8)
        for waiter in waiters { #expect(try waiter.result() == .ready(Array("value".utf8))) }
    }

    @Test func theWaitIsTheConfiguredOneWhereNoneIsGiven() throws {
        var configuration = Store.Configuration()
        configuration.wait = .upTo(.milliseconds(20))
        let waits = Counter()
        configuration.onWait = { key, holder in
            #expect(key == "key" && holder?.processID == getpid())
            waits.add(1)
        }
        let store = try Store(at: path, configuration: configuration)
        let kept = try store.win("key")
        let begin = BootTime.now
        let error = storeError { _ = try store.computeIfAbsent("key") { "".utf8 } }
        #expect(begin.milliseconds() >= 20)
        #expect(error?.code == .timedOut && error?.holder?.processID == getpid())
        #expect(waits.value == 1)
        try kept?.abandon()
    }

    /// What is published after the call is fresh, however long the call had to wait for it.
    @Test func anAgeCountsFromTheCall() throws {
        let store = try Store(at: path)
        #expect(try store.claimAndFinalize("key", "old".utf8).isWon)
        let kept = try store.win("key", maxAge: .zero)
        let waiter = store.claimInThread("key", maxAge: .zero)
        #expect(waiter.waitForSleep())
        #expect(try store.bytes(of: "key") == Array("old".utf8))
        try kept?.finalize("new".utf8)
        #expect(try waiter.result() == .ready(Array("new".utf8)))
        // A call that begins now wants a newer one.
        #expect(try store.claimInThread("key", maxAge: .zero).result().isWon)
        #expect(try store.bytes(of: "key") == Array("waiter".utf8))
        #expect(
            try store.claimInThread("key", maxAge: .seconds(60)).result()
                == .ready(Array("waiter".utf8)))
    }
}

extension Store {
    /// Claims a key, waiting; what is won is given up.
    fileprivate func claim(_ key: Key, for limit: Duration) throws -> Told {
        switch try claim(key, wait: .upTo(limit)) {
        case .won(let claim): .won(claim.generation)
        case .ready(let entry): .ready(entry.value.copied)
        case .pending: .pending
        }
    }
}

extension Session {
    func wait(for key: Store.Key, waiting: Duration?, alsoAbsent: Bool) throws -> WaitOutcome {
        try wait(for: key, waiting: waiting, alsoAbsent: alsoAbsent, whileWaiting: { _, _ in })
    }
}
