#if Async

import Glibc
import TestSupport
import Testing

@testable import TestHelpers

/// What does not compile, and what does, in programs that use the library.
@Suite(.ownThreads, .enabled(if: Compiler.works, "needs swiftc and the built module"))
struct CompileTests {
    private static let settings = [
        [], ["-enable-upcoming-feature", "NonisolatedNonsendingByDefault"],
    ]

    /// Calls that wait, each to be preceded by `try` or `try await`.
    private static let calls = [
        #"store.computeIfAbsent("key") { "value".utf8 }"#,
        #"store.computeIfAbsent("key", maxAge: .seconds(60), wait: .forever) { [1, 2] }"#,
        #"store.claim("key", wait: .upTo(.seconds(1)))"#,
        #"store.lock(["a", "b"])"#,
        #"store.acquireLease("a", timeToLive: .seconds(1))"#,
        #"store.acquireLease("a", timeToLive: .seconds(1), slots: 3, wait: .forever)"#,
        #"store.lock(["a"], mode: .shared, wait: .forever)"#,
        #"store.withLock("a") { 7 }"#,
        #"store.withLock("a", "b", mode: .exclusive, wait: .upTo(.seconds(5))) { () throws -> Int in 7 }"#,
        #"store.claim("key", maxAge: .seconds(60), staleAfter: .seconds(60), wait: .standard)"#,
        #"store.withLock(["a", "b"], wait: .forever) { 7 }"#,
    ]

    /// Calls that change the store: they wait for nobody but who is stopped in the middle of a change.
    private static let changes = [
        #"store.claim("key")"#, #"store.claimIfAvailable("key")"#,
        #"store.put([1], for: "key")"#, #"store.update("key") { _ in [1] }"#,
        #"store.increment("key", by: 2)"#, #"store.remove("key")"#, #"store.reap()"#,
        #"store.reap(onReaped: { print($0.key) })"#,
        #"store.acquireLeaseIfAvailable("key", timeToLive: .seconds(1), slots: 2)"#,
        #"store.journal("log").append([1])"#, #"store.journal("log").append(contentsOf: [[1]])"#,
        #"store.journal("log").trim(keeping: 1)"#, #"store.journal("log").remove()"#,
    ]

    @Test(arguments: calls, settings)
    func waitingCallsInAsynchronousCodeMustBeAwaited(_ call: String, _ settings: [String]) {
        let without = Compiler.check(
            "func f(store: Store) async throws { _ = try \(call) }", settings)
        #expect(without.code != 0, "\(call)")
        #expect(without.error.contains("await"), "\(without)")
        let with = Compiler.check(
            "func f(store: Store) async throws { _ = try await \(call) }", settings)
        #expect(with.code == 0, "\(with)")
    }

    @Test(arguments: calls, settings)
    func waitingCallsInSynchronousCodeAreNot(_ call: String, _ settings: [String]) {
        let outcome = Compiler.check("func f(store: Store) throws { _ = try \(call) }", settings)
        #expect(outcome.code == 0, "\(outcome)")
    }

    @Test(arguments: settings)
    func asynchronousFormsCompileWhereverTheyAreCalled(_ settings: [String]) {
        let outcome = Compiler.check(
            """
            struct Upload: Sendable { func id() async throws -> String { "id" } }
            func g(_ store: Store, _ upload: Upload) async throws -> Store.Value {
                try await store.computeIfAbsent("key") { try await upload.id().utf8 }
            }
            @MainActor final class Model {
                var count = 0
                let store: Store
                init(_ store: Store) { self.store = store }
                func load() async throws -> Store.Value {
                    try await store.computeIfAbsent("key") { count += 1; return "\\(count)".utf8 }
                }
                func loadAsync(_ upload: Upload) async throws -> Store.Value {
                    try await store.computeIfAbsent("key") {
                        count += 1
                        return try await upload.id().utf8
                    }
                }
            }
            actor Worker {
                var count = 0
                func lock(_ store: Store) async throws {
                    try await store.withLock("a") { count += 1 }
                    try await store.withLock("a", "b") { count += 1; await Task.yield() }
                    let held = try await store.lock(["a", "b"])
                    count += 1
                    held.release()
                }
                func load(_ store: Store) async throws -> Store.Value {
                    try await store.computeIfAbsent("key") { count += 1; return [UInt8(count)] }
                }
                func work(_ store: Store) async throws {
                    switch try await store.claim("key", wait: .forever) {
                    case .won(let claim): try await claim.finalize("value".utf8)
                    case .ready(let entry): print(entry.value.count)
                    case .pending(let holder): print(holder)
                    }
                }
            }
            func h(_ store: Store) {
                Task { _ = try await store.computeIfAbsent("key") { "value".utf8 } }
                Task.detached { _ = try await store.claim("key", wait: .standard) }
            }
            """, settings)
        #expect(outcome.code == 0, "\(outcome)")
    }

    @Test(arguments: settings)
    func changesInAsynchronousCodeMustBeAwaited(_ settings: [String]) {
        func outcome(_ head: String, _ effects: String) -> Outcome {
            let lines = Self.changes.map { "_ = \(effects) \($0)" }.joined(separator: "\n")
            return Compiler.check(
                "func f(store: Store) \(head) {\n\(lines)\n}", settings)
        }
        let without = outcome("async throws", "try")
        let refused = without.error.split(separator: "\n").count {
            $0.contains(": error: expression is 'async' but is not marked with 'await'")
        }
        #expect(refused == Self.changes.count, "\(without)")
        let with = outcome("async throws", "try await")
        #expect(with.code == 0, "\(with)")
        let synchronous = outcome("throws", "try")
        #expect(synchronous.code == 0, "\(synchronous)")
    }

    /// What ends claims and leases is awaited, but in `defer`, which cannot wait.
    @Test(arguments: settings)
    func guardsAreAwaitedToo(_ settings: [String]) {
        let outcome = Compiler.check(
            """
            func f(store: Store) async throws {
                if let claim = try await store.claimIfAvailable("key", staleAfter: .seconds(1)) {
                    try await claim.renew()
                    try await claim.finalize([1])
                }
                if let claim = try await store.claimIfAvailable("key") {
                    try await claim.finalize(contentsOfFile: "/etc/hostname")
                }
                switch try await store.claim("key") {
                case .won(let claim): try await claim.abandon()
                case .ready, .pending: break
                }
                let lease = try await store.acquireLease("key", timeToLive: .seconds(1))
                defer { try? lease.release() }
                try await lease.renew()
                try await store.update("key") { entry in
                    await Task.yield()
                    return entry.map { [UInt8]($0.value) }
                }
            }
            """, settings)
        #expect(outcome.code == 0, "\(outcome)")
        for call in ["claim.finalize([1])", "claim.abandon()"] {
            let refused = Compiler.check(
                """
                func f(store: Store) async throws {
                    if let claim = try await store.claimIfAvailable("key") { try \(call) }
                }
                """, settings)
            #expect(refused.code != 0 && refused.error.contains("await"), "\(refused)")
        }
    }

    /// What does not wait is the same in both.
    @Test(arguments: settings)
    func callsThatDoNotWaitNeedNoAwait(_ settings: [String]) {
        let outcome = Compiler.check(
            """
            func f(store: Store) async throws {
                _ = try store.entry(for: "key")
                _ = try store.counts()
                _ = try store.entries()
                _ = try store.journal("log").records()
                _ = try store.lockIfAvailable(["key"], mode: .slots(3))
                _ = try store.holders(of: "key")
                _ = try store.isCurrent(5, ofLease: "key")
                _ = try await store.withLease("key", timeToLive: .seconds(1)) { "\\($0)" }
            }
            """, settings)
        #expect(outcome.code == 0, "\(outcome)")
    }
}

/// The static command is built without the trait `Async`, so as not to link the concurrency library.
@Suite(.ownThreads) struct TraitTests {
    @Test func asynchronousCodeIsOnlyThereWithTheTrait() {
        let parts = #filePath.split(separator: "/").dropLast(3)
        let sources = "/" + parts.joined(separator: "/") + "/Sources"
        var found = 0
        // What the documentation shows is not built.
        for path in files(in: sources) where path.hasSuffix(".swift") && !path.contains(".docc/") {
            // How deep in conditions, and how deep the one for the trait is; 0 for outside.
            var (depth, inside) = (0, 0)
            let text = String(decoding: contents(of: path) ?? [], as: UTF8.self)
            for line in text.split(separator: "\n") {
                let words = line.split { !$0.isLetter && $0 != "#" && $0 != "/" }.map(String.init)
                switch words.first {
                case "//", "///": continue
                case "#if":
                    depth += 1
                    if words.dropFirst().first == "Async" { inside = depth }
                case "#endif":
                    if inside == depth { inside = 0 }
                    depth -= 1
                // The availability of what waits names `await`, and hints name both.
                case "available", "message", "Write": continue
                default:
                    guard words.contains(where: ["async", "await", "Task"].contains) else {
                        continue
                    }
                    found += 1
                    #expect(inside > 0, "\(path): \(line)")
                }
            }
        }
        #expect(found > 5)
    }

    private func files(in path: String) -> [String] {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return [path] }
        return names(in: path).flatMap { files(in: path + "/" + $0) }
    }
}

#endif
