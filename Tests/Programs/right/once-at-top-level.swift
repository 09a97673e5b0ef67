// main.swift without a word of concurrency: upload each file once.
import FlockCache

func upload(_ path: String) throws -> String { "id-of-\(path)" }

let store = try Store(at: "/tmp/uploads")
for path in CommandLine.arguments.dropFirst() {
    if let claim = try store.claimIfAvailable(path) {
        try claim.finalize(try upload(path).utf8)
    } else if let entry = try store.entry(for: path) {
        print(path, "was uploaded as", entry.value)
    } else {
        print(path, "is being uploaded")
    }
}
