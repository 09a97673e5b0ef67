// Stores of tasks that several programs share, one store for each database, and listeners that see every change.
//
//   example-tasks STORE put DATABASE USER JOB TEXT       stores a task; prints the generation it got
//   example-tasks STORE list DATABASE                    prints "KEY TEXT" for each task
//   example-tasks STORE listen DATABASE COUNT [NUMBER]   prints "NUMBER KEY GENERATION" for COUNT changes, from NUMBER on
//
// The names of databases are compared without case. A user has one task for a job: storing it again replaces it.

import FlockCache
import Glibc

/// The tasks of one database.
struct TaskStore: Sendable {
    private let store: Store
    private let database: String

    /// Gets the task store of a database, or creates it; of all that do so at once one creates it.
    init(_ path: String, database name: String) async throws {
        var configuration = Store.Configuration()
        // For listeners. Only a store that is made here takes the setting.
        configuration.journalsChanges = true
        store = try Store(at: path, configuration: configuration)
        database = try Self.part(name.lowercased())
        _ = try await store.computeIfAbsent(Store.Key("database/\(database)")) {
            "created by \(getpid())".utf8
        }
    }

    /// Stores a task in place of the one that the user had for the job; returns its generation.
    func put(_ text: String, user: String, job: String) async throws -> Store.Generation {
        let key = Store.Key("task/\(database)/\(try Self.part(user))/\(try Self.part(job))")
        switch try await store.put(text.utf8, for: key) {
        case .updated(let entry): return entry.generation
        // Nothing here claims a task, so only another program can have done that.
        case .unchanged, .pending: throw TaskError.claimed(key)
        }
    }

    /// Passes each task on, in no order.
    func forEachTask(_ body: (Entry) throws -> Void) throws {
        var tasks = try store.entries(.ready, prefix: prefix)
        while let found = try tasks.next() {
            // It may have been removed since it was listed.
            if let entry = try store.entry(for: found.key) { try body(entry) }
        }
    }

    /// The changes of tasks by all programs.
    ///
    /// A listener that was away goes on after the last number it has seen.
    func changes(from number: UInt64? = nil) -> Store.Changes {
        store.changes(prefix: prefix, from: number)
    }

    private var prefix: Store.Key { Store.Key("task/\(database)/") }

    /// A name as a part of a key: a slash in it would be taken for the next part.
    private static func part(_ name: String) throws -> String {
        guard !name.isEmpty, !name.contains("/") else { throw TaskError.badName(name) }
        return name
    }
}

enum TaskError: Error {
    case badName(String)
    case claimed(Store.Key)
}

@main struct Tasks {
    static func main() async {
        let words = Array(CommandLine.arguments.dropFirst())
        guard words.count > 2 else { usage() }
        do {
            let tasks = try await TaskStore(words[0], database: words[2])
            switch (words[1], words.count) {
            case ("put", 6):
                print(try await tasks.put(words[5], user: words[3], job: words[4]))
            case ("list", 3):
                try tasks.forEachTask {
                    print(plain($0.key), String(decoding: $0.value, as: UTF8.self))
                }
            case ("listen", 4...5):
                try await listen(
                    tasks, Int(words[3]) ?? 1, words.count > 4 ? UInt64(words[4]) : nil)
            default: usage()
            }
        } catch {
            complain("\(error)")
            exit(1)
        }
    }

    private static func listen(_ tasks: TaskStore, _ count: Int, _ number: UInt64?) async throws {
        var left = count
        for try await change in tasks.changes(from: number) where change.event == .put {
            print(change.position, plain(change.key), change.generation)
            left -= 1
            if left == 0 { return }
        }
    }

    /// A key's description is percent-encoded, as on disk; these keys are text.
    private static func plain(_ key: Store.Key) -> String {
        String(decoding: key.bytes, as: UTF8.self)
    }

    private static func usage() -> Never {
        complain("usage: example-tasks STORE put|list|listen DATABASE …")
        exit(64)
    }

    private static func complain(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = write(2, bytes, bytes.count)
    }
}
