import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What is not whole is never taken for something.
@Suite(.ownThreads) struct ReadyFileTests {
    @Test func aGenerationThatCannotBeCountedOnFromIsTorn() throws {
        var section = ClaimSamples.sections()[0]
        section.generation = .max
        #expect(section.text.withUnsafeBytes { ClaimSection.parse($0)?.section } == nil)
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        section.name = Array("key".utf8)
        _ = try store.win("key")
        write(section.text, to: try file(of: "key", in: directory("store")) + ".pending")
        #expect(try store.claimAndFinalize("key", []).isWon)
    }

    // MARK: READY records

    /// The bytes of a record as the library writes them.
    private func record(_ value: [UInt8], in directory: TemporaryDirectory) throws -> [UInt8] {
        let store = try Store(at: directory("store"))
        #expect(try store.claimAndFinalize("key", value).isWon)
        return try #require(contents(of: file(of: "key", in: directory("store"))))
    }

    /// What reading a record file comes to: its value, or nil for damaged.
    private func read(_ record: [UInt8], at path: String) throws -> [UInt8]? {
        write(record, to: path)
        let reading = try ReadyFile.read(
            try File.open(path: FileName(path)), EntryName("key"))
        guard case .ready(let ready, _) = reading else { return nil }
        return try ready.entry().value.copied
    }

    @Test func everyTruncationOfAReadyRecordIsDamaged() throws {
        let directory = TemporaryDirectory()
        let record = try record(pattern(100), in: directory)
        #expect(try read(record, at: directory("copy")) == pattern(100))
        for count in 0..<record.count {
            let value = try read(Array(record[..<count]), at: directory("copy"))
            if value != nil { Issue.record("cut to \(count) of \(record.count) bytes") }
        }
        #expect(try read(record + [0], at: directory("copy")) == nil)
    }

    @Test(arguments: [0, 100])
    func everyFlippedBitOfAReadyRecordIsDamaged(valueSize: Int) throws {
        let directory = TemporaryDirectory()
        var record = try record(pattern(valueSize), in: directory)
        for bit in 0..<(record.count * 8) {
            record[bit / 8] ^= 1 << (bit % 8)
            if try read(record, at: directory("copy")) != nil { Issue.record("bit \(bit)") }
            record[bit / 8] ^= 1 << (bit % 8)
        }
        #expect(try read(record, at: directory("copy")) == pattern(valueSize))
    }

    /// Values that are checked in pieces, and mapped.
    @Test(arguments: [10_000, 300_000])
    func flippedBitsAndCutsOfALargeReadyRecordAreDamaged(valueSize: Int) throws {
        let directory = TemporaryDirectory()
        var random = Seeded("flips in a record of \(valueSize) bytes")
        var record = try record(pattern(valueSize), in: directory)
        let head = record.count - valueSize
        let bits =
            Array(0..<(head * 8))
            + (0..<200).map { _ in Int.random(in: 0..<(record.count * 8), using: &random) }
        for bit in bits {
            record[bit / 8] ^= 1 << (bit % 8)
            if try read(record, at: directory("copy")) != nil { Issue.record("bit \(bit)") }
            record[bit / 8] ^= 1 << (bit % 8)
        }
        for _ in 0..<100 {
            let count = Int.random(in: 0..<record.count, using: &random)
            if try read(Array(record[..<count]), at: directory("copy")) != nil {
                Issue.record("cut to \(count)")
            }
        }
        #expect(try read(record, at: directory("copy")) == pattern(valueSize))
    }

    @Test func aRecordUnderAnotherNameIsDamaged() throws {
        let directory = TemporaryDirectory()
        let record = try record(pattern(10), in: directory)
        write(record, to: try file(of: "key", in: directory("store")) + "2")
        let other = try ReadyFile.read(
            try File.open(path: FileName(file(of: "key", in: directory("store")) + "2")),
            EntryName("key2"))
        if case .ready = other { Issue.record("the record of another key") }
    }

    /// All the way: a damaged value is reported, kept for inspection, and the key can be claimed.
    @Test func aDamagedValueIsSetAsideAndTheRestGoesOn() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let reports = Reports()
        var configuration = Store.Configuration()
        configuration.onDamage = { key, path in reports.add("\(key) \(path ?? "-")") }
        let store = try Store(at: path, configuration: configuration)
        #expect(try store.claimAndFinalize("key", "value".utf8).isWon)
        #expect(try store.claimAndFinalize("other", "value".utf8).isWon)
        var record = try #require(contents(of: file(of: "key", in: path)))
        record[record.count - 1] ^= 1
        write(record, to: try file(of: "key", in: path))
        #expect(try store.entry(for: "key") == nil)
        let kept = names(in: path + "/damaged")
        #expect(kept.count == 1)
        #expect(reports.all == ["key \(path)/damaged/\(kept.first ?? "")"])
        #expect(contents(of: "\(path)/damaged/\(kept.first ?? "")") == record)
        #expect(try store.counts().ready == 1)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        #expect(try store.claimAndFinalize("key", "again".utf8).isWon)
        #expect(try store.bytes(of: "key") == Array("again".utf8))
        #expect(try store.bytes(of: "other") == Array("value".utf8))
    }
}

extension ReadyFileTests {
    /// Reported under the shard's mutex, it would wait for itself.
    @Test(arguments: [false, true])
    func whoHearsOfDamageMayUseTheStore(byClaiming: Bool) throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let keys = keys(2, inShard: 7)
        let other = try Store(at: path)
        for key in keys { #expect(try other.claimAndFinalize(key, "value".utf8).isWon) }
        let reports = Reports()
        var configuration = Store.Configuration()
        configuration.onDamage = { _, _ in
            reports.add(storeError { try other.remove(keys[1]) }?.description ?? "removed")
        }
        let store = try Store(at: path, configuration: configuration)
        write("damaged".utf8, to: try file(of: keys[0], in: path))
        if byClaiming {
            #expect(try store.claimAndFinalize(keys[0], []).isWon)
        } else {
            #expect(try store.entry(for: keys[0]) == nil)
        }
        #expect(reports.all == ["removed"])
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }
}

/// What was reported from other threads.
private final class Reports: @unchecked Sendable {
    private var lines: [String] = []
    private let mutex = ThreadMutexes(count: 1)

    func add(_ line: String) {
        _ = mutex.lock(0, until: TimeLimit(nil))
        defer { mutex.unlock(0) }
        lines.append(line)
    }

    var all: [String] { lines }
}

@Suite(.ownThreads) struct OneJudgementTests {
    /// A record whose value's check holds although its claim section is not as this program writes it:
    /// whoever reads the value and whoever claims the key anew must agree that it is whole.
    @Test(arguments: ["an unknown line", "a wrong check of the claim"])
    func aRecordThatCanBeReadCanBeComputedAnew(_ oddity: String) throws {
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        #expect(try store.claimAndFinalize("key", "value".utf8).isWon)
        let path = try file(of: "key", in: directory("store"))
        let record = try #require(contents(of: path))
        let text = String(decoding: record, as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let check = try #require(lines.firstIndex { $0.hasPrefix("check: ") })
        var claim = Array(lines[..<check])
        if oddity == "an unknown line" { claim.append("mood: fine") }
        claim.append("check: 00000000")
        let claimText = Array((claim.joined(separator: "\n") + "\n").utf8)
        var payload = Checksum()
        Array("value".utf8).withUnsafeBytes { payload.update($0) }
        let head = ValueSection(finalized: WallClock.microseconds, payloadLength: 5)
            .head(behind: claimText, payload: payload)
        write(claimText + head + Array("value".utf8), to: path)

        #expect(try store.entry(for: "key")?.value.elementsEqual("value".utf8) == true)
        if case .won = try store.claim("key", maxAge: .zero) {} else { Issue.record("not won") }
    }
}
