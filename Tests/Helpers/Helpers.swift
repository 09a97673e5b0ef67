// What tests of the library share. Here: claims, values, paths, counts. `WaitHelpers`: waits on threads of their
// own, counters, medians. `LeaseHelpers`, `LockHelpers`: leases and locks that can be kept in variables.
// `OwnThreads`: on which threads tests run, and how long they took. What needs no inside of the library
// (children, peers, directories, threads, what the machine lets a test do) is in Tests/Support.

import SystemCalls
import TestSupport

@testable import FlockCache

/// What a claim came to, as a value that expectations can compare.
enum Told: Equatable, Sendable {
    case won(Store.Generation)
    case ready([UInt8])
    case pending
    case failed(String)

    var isWon: Bool { if case .won = self { true } else { false } }
}

extension Store {
    /// Claims a key, and finalizes it with a value if it was won.
    func claimAndFinalize(_ key: Key, _ value: some Collection<UInt8>) throws -> Told {
        switch try claim(key) {
        case .won(let claim):
            let generation = claim.generation
            try claim.finalize(value)
            return .won(generation)
        case .ready(let entry): return .ready(entry.value.copied)
        case .pending: return .pending
        }
    }

    /// Claims a key and keeps the claim; nil if it is not won.
    func win(_ key: Key, maxAge: Duration? = nil, staleAfter: Duration? = nil) throws -> Kept? {
        switch try claim(key, maxAge: maxAge, staleAfter: staleAfter) {
        case .won(let claim): Kept(claim)
        default: nil
        }
    }

    /// The bytes of a READY key.
    func bytes(of key: Key) throws -> [UInt8]? { try entry(for: key)?.value.copied }

    /// Claims a key on behalf of a process.
    func claim(_ key: Key, for process: ProcessIdentity, maxAge: Duration? = nil) throws
        -> Generation
    {
        let outcome = try session.claim(
            key, for: .process(process, command: Array("owner".utf8)), maxAge: maxAge,
            staleAfter: nil)
        guard case .won(let generation, _) = outcome else { throw Unexpected("\(key) is taken") }
        return generation
    }
}

extension Value {
    /// The bytes, as an array.
    var copied: [UInt8] { withBytes { $0.withUnsafeBytes { Array($0) } } }
}

/// A claim in a box, so that it can be put into variables and closures.
final class Kept: @unchecked Sendable {
    // Used by one thread at a time.
    private var claim: Claim?
    let generation: Store.Generation

    init(_ claim: consuming Claim) {
        generation = claim.generation
        self.claim = consume claim
    }

    func finalize(_ value: some Collection<UInt8>) throws(StoreError) {
        if let claim = claim.take() { try claim.finalize(value) }
    }

    func renew() throws(StoreError) { try claim?.renew() }

    func abandon() throws(StoreError) {
        if let claim = claim.take() { try claim.abandon() }
    }
}

/// What a test needs to go on and does not have.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// The path of a key's READY file.
func file(of key: Store.Key, in store: String) throws -> String {
    let name = try EntryName(key)
    let shard = String(decoding: Layout.shard(name.shard).bytes, as: UTF8.self)
    return "\(store)/entries/\(shard)/" + String(decoding: name.ready.bytes, as: UTF8.self)
}

/// The path of a file beside a key's.
func neighbour(_ name: String, of key: Store.Key, in store: String) throws -> String {
    let path = try file(of: key, in: store)
    return path[..<(path.lastIndex(of: "/") ?? path.endIndex)] + "/" + name
}

/// Keys with a prefix that all lie in one shard.
func keys(_ count: Int, inShard shard: Int, prefix: String = "key") -> [Store.Key] {
    var keys: [Store.Key] = []
    var number = 0
    while keys.count < count {
        let key = Store.Key("\(prefix)-\(number)")
        if Int(PercentCode.hash(of: key.bytes) & 0xff) == shard { keys.append(key) }
        number += 1
    }
    return keys
}

/// Whether anybody has a shard's mutex, or the lock on the header.
func anyMutexIsHeld(_ store: String) -> Bool {
    guard let locks = try? Directory.open(path: FileName(store + "/locks")),
        let file = try? locks.open("shards", .read)
    else { return false }
    return (try? file.isLockedByOthers(at: 0, count: ShardFile.byteCount)) ?? true
}

/// Bytes that tell where they belong.
func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ seed) }
}

/// The error that a closure throws; nil for none.
func storeError(_ body: () throws -> Void) -> StoreError? {
    do {
        try body()
        return nil
    } catch {
        return error as? StoreError
    }
}

/// Counts that expectations can compare: those of the library, and those of the files' names.
struct Tally: Equatable, CustomStringConvertible {
    let pending, ready, bytes: Int
    let isExact: Bool

    init(_ counts: Store.Counts) {
        (pending, ready, bytes) = (counts.pending, counts.ready, counts.bytes)
        isExact = counts.isExact
    }

    init(filesOf store: String) {
        let files = StoreFiles(store)
        (pending, ready, bytes, isExact) = (files.pending, files.ready, files.bytes, true)
    }

    var description: String { "\(pending) pending, \(ready) ready, \(bytes) bytes, \(isExact)" }
}
