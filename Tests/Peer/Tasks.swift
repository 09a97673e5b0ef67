#if Async

import FlockCache
import Glibc
import Synchronization

// What tasks do with a store. In a process of their own, because the threads that tasks share are counted
// and timed here, and those of the tests' process are busy with tests.

extension Peer {
    /// Runs an asynchronous closure to its end, on other threads than this one.
    func inTasks(_ body: @escaping @Sendable (Store) async throws -> String) -> String {
        final class Answer: @unchecked Sendable { var text = "" }
        let answer = Answer()
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return "no pipe" }
        let (reading, writing) = (ends[0], ends[1])
        let store = store
        Task.detached {
            do {
                answer.text = try await body(store)
            } catch {
                answer.text = "error \(error)"
            }
            _ = write(writing, [0], 1)
            close(writing)
        }
        var byte: UInt8 = 0
        _ = read(reading, &byte, 1)
        close(reading)
        return answer.text
    }

    /// Many tasks ask for the values of few keys: `EQUAL COMPUTATIONS THREADS`, the threads being those
    /// that there were more while all waited.
    func values(_ rest: String) throws -> String {
        let numbers = rest.split(separator: " ").compactMap { Int($0) }
        let (count, keys) = (numbers[0], numbers[1])
        let (waiting, computations, threads) = (Tasks.Counter(), Tasks.Counter(), Tasks.Counter())
        let store = try Tasks.store(counting: waiting)
        return inTasks { _ in
            let before = await Tasks.threadsOfTasks()
            let values = try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for task in 0..<count {
                    group.addTask {
                        let value = try await store.computeIfAbsent(Store.Key("key-\(task % keys)"))
                        {
                            () async throws in
                            computations.add(1)
                            // Nobody is served before all wait.
                            while waiting.value < count - keys {
                                try await Task.sleep(for: .milliseconds(1))
                            }
                            threads.raise(to: Tasks.threads)
                            return Array("value of \(task % keys)".utf8)
                        }
                        return (task % keys, String(decoding: value, as: UTF8.self))
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let equal = values.count { $0.1 == "value of \($0.0)" }
            return "\(equal) \(computations.value) \(threads.value - before)"
        }
    }

    /// Tasks wait for a key that is claimed; says "waiting" when all do: `won W ready R pending P error E…`
    /// and then how many milliseconds the last took, and how often another task had its turn meanwhile.
    ///
    /// Who wins finalizes.
    func waitInTasks(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        let (count, limit, key) = (Int(words[0]) ?? 0, Int(words[1]) ?? 0, words[2])
        let waiting = Tasks.Counter()
        let store = try Tasks.store(counting: waiting, says: count)
        return inTasks { _ in
            let begin = Self.bootTime
            let ticker = Task {
                var ticks = 0
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(5))
                    ticks += 1
                }
                return ticks
            }
            let told = await withTaskGroup(of: String.self) { group in
                for _ in 0..<count {
                    group.addTask {
                        await Tasks.claim(store, Store.Key(key), .milliseconds(limit))
                    }
                }
                return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            }
            let time = (Self.bootTime - begin) / 1_000_000
            ticker.cancel()
            let texts = told.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            return (texts + ["\(time)", "\(await ticker.value)"]).joined(separator: " ")
        }
    }

    /// Tasks wait for a key that is claimed, and are cancelled when all do:
    /// `CANCELLED MILLISECONDS THREADS`, the last being those that were still more after a while.
    func cancelTasks(_ rest: String) throws -> String {
        let (number, key) = Self.split(rest)
        let count = Int(number) ?? 0
        let waiting = Tasks.Counter()
        let store = try Tasks.store(counting: waiting)
        return inTasks { _ in
            let before = await Tasks.threadsOfTasks()
            let tasks = (0..<count).map { _ in
                Task { await Tasks.claim(store, Store.Key(key), .seconds(60)) }
            }
            while waiting.value < count { try await Task.sleep(for: .milliseconds(1)) }
            let begin = Self.bootTime
            for task in tasks { task.cancel() }
            var cancelled = 0
            for task in tasks where await task.value == "cancelled" { cancelled += 1 }
            let time = (Self.bootTime - begin) / 1_000_000
            // The thread that looks out for them lingers.
            for _ in 0..<1000 where Tasks.threads > before {
                try await Task.sleep(for: .milliseconds(5))
            }
            return "\(cancelled) \(time) \(max(0, Tasks.threads - before))"
        }
    }

    /// Tasks compute values of keys of their own, KEY-0…, all at once when the file PATH is there; every
    /// other one throws: `published P failed F`, and how often another task had its turn meanwhile.
    ///
    /// Says "computing" when all are.
    func computeInTasks(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        let (path, keys) = (words[0], Array(words.dropFirst()))
        struct Failed: Error {}
        return inTasks { store in
            let computing = Tasks.Counter()
            let ticks = Tasks.Counter()
            let ticker = Task {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(5))
                    if access(path, F_OK) == 0 { ticks.add(1) }
                }
            }
            let told = await withTaskGroup(of: String.self) { group in
                for (index, key) in keys.enumerated() {
                    group.addTask {
                        do {
                            _ = try await store.computeIfAbsent(Store.Key(key)) { () async throws in
                                if computing.add(1) == keys.count { Self.say("computing") }
                                while access(path, F_OK) != 0 {
                                    try await Task.sleep(for: .milliseconds(1))
                                }
                                if index % 2 == 1 { throw Failed() }
                                return Array("value".utf8)
                            }
                            return "published"
                        } catch {
                            return error is Failed ? "failed" : "error-\(error)"
                        }
                    }
                }
                return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            }
            ticker.cancel()
            let texts = told.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            return (texts + ["0", "\(ticks.value)"]).joined(separator: " ")
        }
    }

    /// Tasks follow a journal to its sixth record: `RECORDS THREADS`, all that were read, and the threads that there
    /// were more then.
    ///
    /// Says "following" when each has read the first.
    func followInTasks(_ rest: String) throws -> String {
        let count = Int(rest) ?? 0
        let (read, threads) = (Tasks.Counter(), Tasks.Counter())
        return inTasks { store in
            let before = await Tasks.threadsOfTasks()
            try await withThrowingTaskGroup { group in
                for _ in 0..<count {
                    group.addTask {
                        for try await record in store.journal("log").follow() {
                            if read.add(1) == count { Peer.say("following") }
                            threads.raise(to: Tasks.threads)
                            if record.number == 6 { break }
                        }
                    }
                }
                try await group.waitForAll()
            }
            return "\(read.value) \(threads.value - before)"
        }
    }

    /// Waits of 10, 30 and 100 ms: `EARLY LATEST`, how many ended early, and the microseconds by which the
    /// median was late.
    func timeTasks(_ key: String) throws -> String {
        inTasks { store in
            _ = await Tasks.threadsOfTasks()
            var late: [Int64] = []
            for _ in 0..<5 {
                for limit in [10, 30, 100] as [Int64] {
                    let begin = Self.bootTime
                    let told = await Tasks.claim(store, Store.Key(key), .milliseconds(limit))
                    guard told == "pending" else { return told }
                    late.append((Self.bootTime - begin) / 1000 - limit * 1000)
                }
            }
            return "\(late.count { $0 < 0 }) \(late.sorted()[late.count / 2])"
        }
    }
}

/// What the orders above have in common.
enum Tasks {
    final class Counter: Sendable {
        private let number = Atomic<Int>(0)
        var value: Int { number.load(ordering: .relaxed) }
        @discardableResult
        func add(_ amount: Int) -> Int { number.add(amount, ordering: .relaxed).newValue }
        func raise(to value: Int) { number.max(value, ordering: .relaxed) }
    }

    /// The store, counting the waits that begin; at so many of them it says "waiting".
    static func store(counting waits: Counter, says count: Int = 0) throws -> Store {
        var configuration = Store.Configuration()
        configuration.onWait = { _, _ in
            if waits.add(1) == count { Peer.say("waiting") }
        }
        return try Store(at: CommandLine.arguments[1], configuration: configuration)
    }

    static func claim(_ store: Store, _ key: Store.Key, _ limit: Duration) async -> String {
        do {
            switch try await store.claim(key, wait: .upTo(limit)) {
            case .won(let claim):
                try await claim.finalize("of-\(getpid())".utf8)
                return "won"
            case .ready: return "ready"
            case .pending: return "pending"
            }
        } catch is CancellationError {
            return "cancelled"
        } catch {
            return "error-\((error as? StoreError)?.code as Any)"
        }
    }

    /// How many threads this process has.
    static var threads: Int {
        guard let directory = opendir("/proc/self/task") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != UInt8(ascii: ".") { count += 1 }
        }
        return count
    }

    /// The same when all those are there that tasks run on.
    static func threadsOfTasks() async -> Int {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<64 { group.addTask { usleep(1000) } }
        }
        return threads
    }
}

#endif
