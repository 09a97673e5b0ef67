// A document service for many tenants: every instance of it is a program like this one, and they share a directory.
//
//   example-documents STORE INSTANCES TENANTS
//
// Starts so many instances as tasks, each of which creates, edits and moves documents of so many tenants, and prints
// what came of it. Run several of these at once: the sums hold for all of them together.

import FlockCache
import Glibc

/// The documents of one tenant.
struct DocumentService: Sendable {
    let store: Store
    let tenant: String
    /// How many bytes the documents of the tenant may have.
    let mostBytes: Int64

    enum Created: Equatable { case created, slugTaken, overQuota }

    /// Creates a document, unless its slug is taken or the tenant has no room for it.
    ///
    /// Under a lock of the tenant's: what one who finds the slug taken has reserved meanwhile must not make another's
    /// document one too many.
    func create(_ slug: String, _ text: String) async throws -> Created {
        let size = Int64(text.utf8.count)
        return try await store.withLock(accounting) {
            guard
                case .incremented = try await store.increment(used, by: size, within: 0...mostBytes)
            else { return .overQuota }
            if case .updated = try await store.put(text.utf8, for: key(slug), if: .absent) {
                return .created
            }
            try await store.increment(used, by: -size)
            return .slugTaken
        }
    }

    /// Changes a document as a text editor does: nobody is kept out, and who was slower does it again.
    func edit(_ slug: String, _ change: (String) -> String) async throws {
        try await store.update(key(slug)) { entry in
            entry.map { Array(change(String(decoding: $0.value, as: UTF8.self)).utf8) }
        }
    }

    /// Moves the last line of one document to the end of another; others who take the locks of the two see both before
    /// it or both after it.
    func moveLine(from: String, to: String) async throws {
        // Named in any order: they are taken in one.
        try await store.withLock(key(from), key(to), wait: .upTo(.seconds(5))) {
            guard let line = try text(from)?.split(separator: "\n").last else { return }
            try await edit(to) { $0 + line + "\n" }
            // Others may have edited it meanwhile: editing takes no lock.
            try await edit(from) { text in
                var lines = text.split(separator: "\n")
                if let last = lines.lastIndex(of: line) { lines.remove(at: last) }
                return lines.map { $0 + "\n" }.joined()
            }
        }
    }

    /// Counts what the tenant has used: an instance that was killed while it created a document may have left the sum
    /// too high.
    func recount() async throws -> Int {
        try await store.withLock(accounting) {
            var (count, bytes) = (0, 0)
            var documents = try store.entries(.ready, prefix: key(""))
            while let document = try documents.next() {
                bytes += try store.entry(for: document.key)?.value.count ?? 0
                count += 1
            }
            try await store.put(String(bytes).utf8, for: used)
            return count
        }
    }

    func text(_ slug: String) throws -> String? {
        try store.entry(for: key(slug)).map { String(decoding: $0.value, as: UTF8.self) }
    }

    private var used: Store.Key { Store.Key("used/\(tenant)") }
    private var accounting: Store.Key { Store.Key("accounting/\(tenant)") }
    private func key(_ slug: String) -> Store.Key { Store.Key("document/\(tenant)/\(slug)") }
}

/// Renders documents; at most four at a time in all programs that use the store.
struct Renderer: Sendable {
    let store: Store

    func render<R: Sendable>(_ body: nonisolated(nonsending) () async throws -> R) async throws -> R
    {
        try await store.withLock("renderers", mode: .slots(4), body)
    }
}

actor Results {
    private(set) var created = 0
    private(set) var taken = 0
    private(set) var refused = 0
    private(set) var mostRendering = 0
    private var rendering = 0

    func count(_ result: DocumentService.Created) {
        switch result {
        case .created: created += 1
        case .slugTaken: taken += 1
        case .overQuota: refused += 1
        }
    }

    func begin() {
        rendering += 1
        mostRendering = max(mostRendering, rendering)
    }

    func end() { rendering -= 1 }
}

@main struct Documents {
    static func main() async throws {
        let words = CommandLine.arguments
        guard words.count > 3, let instances = Int(words[2]), let tenants = Int(words[3]) else {
            print("usage: example-documents STORE INSTANCES TENANTS")
            exit(64)
        }
        let store = try Store(at: words[1])
        let results = Results()
        let services = (0..<tenants).map {
            DocumentService(store: store, tenant: "tenant-\($0)", mostBytes: 1000)
        }
        try await withThrowingTaskGroup { group in
            for _ in 0..<instances {
                group.addTask { try await serve(services, Renderer(store: store), results) }
            }
            try await group.waitForAll()
        }
        print("created \(await results.created)")
        print("taken \(await results.taken)")
        print("refused \(await results.refused)")
        print("rendering at once \(await results.mostRendering)")
        for service in services { print(service.tenant, try await service.recount()) }
    }

    private static func serve(
        _ services: [DocumentService], _ renderer: Renderer, _ results: Results
    ) async throws {
        for service in services {
            // Every instance asks for the same ten slugs, of 150 bytes each: there is room for six.
            for number in 0..<10 {
                let text = String(repeating: ".", count: 149) + "\n"
                await results.count(try await service.create("page-\(number)", text))
            }
            try await service.edit("page-0") { $0 + "edited\n" }
            try await service.moveLine(from: "page-0", to: "page-1")
            try await service.moveLine(from: "page-1", to: "page-0")
            try await renderer.render {
                await results.begin()
                await Task.yield()
                await results.end()
            }
        }
    }
}
