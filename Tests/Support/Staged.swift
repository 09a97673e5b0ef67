/// A store that a test looks at as files.
package protocol Staged {
    /// Its path.
    var store: String { get }
}

extension Staged {
    /// The files of the store's entries, as paths.
    package var entryFiles: [String] {
        names(in: store + "/entries").flatMap { shard in
            names(in: "\(store)/entries/\(shard)").map { "\(store)/entries/\(shard)/\($0)" }
        }
    }

    /// The file of a key that needs no encoding, READY or `.pending`.
    package func entryFile(_ name: String) -> String? {
        entryFiles.first { $0.hasSuffix("/" + name) }
    }

    /// What such a file holds.
    package func record(_ name: String) throws -> [UInt8] {
        guard let bytes = entryFile(name).flatMap({ contents(of: $0) }) else {
            throw NoRecord(name: name)
        }
        return bytes
    }
}

/// There is no such record.
private struct NoRecord: Error {
    let name: String
}

extension Outcome {
    /// The generation that a claim printed.
    package var generation: UInt64? { UInt64(text.dropLast()) }
}
