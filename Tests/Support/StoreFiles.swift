import Glibc

/// What a store's files say, read by their names and text alone: the second opinion that tests compare
/// the library with.
package struct StoreFiles: Equatable, Sendable, CustomStringConvertible {
    /// Claims: those that a value is not newer than.
    package private(set) var pending = 0
    /// Values.
    package private(set) var ready = 0
    /// The sizes of the values' files.
    package private(set) var bytes = 0
    /// Records being written.
    package private(set) var temporaries = 0

    /// Counts the files of a store.
    package init(_ store: String) {
        for shard in names(in: store + "/entries") {
            let directory = "\(store)/entries/\(shard)"
            let found = Set(names(in: directory))
            for name in found {
                if name.hasPrefix(".tmp-") {
                    temporaries += 1
                } else if name.hasSuffix(".pending") {
                    let entry = directory + "/" + name.dropLast(8)
                    let isClaim =
                        !found.contains(String(name.dropLast(8)))
                        || wholeGeneration(of: directory + "/" + name)
                            > wholeGeneration(of: entry)
                    if isClaim { pending += 1 }
                } else {
                    ready += 1
                    bytes += size(of: directory + "/" + name)
                }
            }
        }
    }

    /// For failures.
    package var description: String {
        "\(pending) pending, \(ready) ready, \(bytes) bytes, \(temporaries) temporaries"
    }
}

/// What the files of one key say.
package enum KeyFiles: Equatable, Sendable, CustomStringConvertible {
    /// No files.
    case absent
    /// A claim that is not whole.
    case torn
    /// A claim.
    case pending(UInt64)
    /// A value.
    case ready(UInt64, [UInt8])
    /// A value and a newer claim.
    case both(UInt64, [UInt8], pending: UInt64)

    /// Reads them; `path` is that of the READY file.
    package init(_ path: String) {
        let pending = contents(of: path + ".pending").map { wholeGeneration(in: $0) }
        guard let record = contents(of: path), let value = value(in: record) else {
            switch pending {
            case nil: self = .absent
            case 0?: self = .torn
            case let generation?: self = .pending(generation)
            }
            return
        }
        let generation = wholeGeneration(in: record)
        if let pending, pending > generation {
            self = .both(generation, value, pending: pending)
        } else {
            self = .ready(generation, value)
        }
    }

    /// The highest generation in them.
    package var generation: UInt64 {
        switch self {
        case .absent, .torn: 0
        case .pending(let generation), .ready(let generation, _), .both(_, _, let generation):
            generation
        }
    }

    /// For failures.
    package var description: String {
        switch self {
        case .absent: "absent"
        case .torn: "torn"
        case .pending(let generation): "pending \(generation)"
        case .ready(let generation, let value): "ready \(generation), \(value.count) bytes"
        case .both(let old, _, let new): "ready \(old), pending \(new)"
        }
    }
}

/// What should not be left in a store without live users: claims, records being written, markers.
package func leftovers(in store: String) -> [String] {
    var found = names(in: store).filter { $0.hasPrefix(".") }
    for shard in names(in: store + "/entries") {
        found += names(in: "\(store)/entries/\(shard)").filter {
            $0.hasPrefix(".") || $0.hasSuffix(".pending")
        }
    }
    return found
}

/// The size of a file; 0 if there is none.
package func size(of path: String) -> Int {
    var status = stat()
    return lstat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Sets when a file was last modified, in seconds before now and nanoseconds of that second.
package func setModified(_ path: String, secondsAgo: Int, nanoseconds: Int = 0) {
    let moment = timespec(tv_sec: time(nil) - secondsAgo, tv_nsec: nanoseconds)
    guard utimensat(AT_FDCWD, path, [moment, moment], 0) == 0 else {
        fatalError("utimensat \(path): errno \(errno)")
    }
}

private func wholeGeneration(of path: String) -> UInt64 {
    contents(of: path).map { wholeGeneration(in: $0) } ?? 0
}

/// The generation of a record whose claim section is there to its end; 0 otherwise.
private func wholeGeneration(in record: [UInt8]) -> UInt64 {
    if let counter = counter(in: record) { return counter.generation }
    let lines = record.prefix(1024).split(separator: 10, omittingEmptySubsequences: false)
    guard lines.dropLast().contains(where: { $0.starts(with: "check: ".utf8) && $0.count == 15 }),
        let line = lines.first(where: { $0.starts(with: "generation: ".utf8) })
    else { return 0 }
    return UInt64(String(decoding: line.dropFirst(12), as: UTF8.self)) ?? 0
}

/// What follows the line of the value's check.
private func value(in record: [UInt8]) -> [UInt8]? {
    if let counter = counter(in: record) { return Array(String(counter.number).utf8) }
    let mark = Array("\nvalue-check: ".utf8)
    guard
        let start = record.indices.dropLast(mark.count).first(where: {
            record[$0] == 10 && record[$0...].starts(with: mark)
        }), record.count >= start + mark.count + 9
    else { return nil }
    return Array(record[(start + mark.count + 9)...])
}

/// The number of a record with two cells of 100 bytes, of which the one with the higher generation counts.
private func counter(in record: [UInt8]) -> (number: Int64, generation: UInt64)? {
    guard record.count == 1636 else { return nil }
    let lines = record[..<1024].split(separator: 10)
    guard lines.contains(where: { $0.elementsEqual("counter: 1024 1536".utf8) }) else { return nil }
    func field(_ name: String, _ lines: [ArraySlice<UInt8>]) -> String? {
        lines.first { $0.starts(with: "\(name): ".utf8) }
            .map { String(decoding: $0.dropFirst(name.count + 2), as: UTF8.self) }
    }
    let cells = [1024, 1536].compactMap { start -> (number: Int64, generation: UInt64)? in
        let lines = record[start..<(start + 100)].split(separator: 10)
        guard lines.count == 4, field("check", lines)?.count == 8,
            let number = field("number", lines).flatMap({ Int64($0) }),
            let generation = field("generation", lines).flatMap({ UInt64($0) })
        else { return nil }
        return (number, generation)
    }
    return cells.max { $0.generation < $1.generation }
}
