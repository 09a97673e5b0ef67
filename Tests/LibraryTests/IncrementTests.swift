import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Numbers that are counted.
@Suite(.ownThreads) struct IncrementTests {
    let directory = TemporaryDirectory()
    var path: String { directory("store") }

    @Test func anAbsentKeyCountsAsZeroAndGenerationsRise() throws {
        let store = try Store(at: path)
        #expect(try store.increment("key") == .incremented(1))
        var last = try #require(try store.entry(for: "key")).generation
        for number in 2..<50 {
            #expect(try store.increment("key") == .incremented(Int64(number)))
            let entry = try #require(try store.entry(for: "key"))
            #expect(entry.generation > last && entry.value.copied == Array("\(number)".utf8))
            last = entry.generation
        }
        #expect(try store.increment("key", by: -100) == .incremented(-51))
        #expect(try store.increment("key", by: 0) == .incremented(-51))
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    @Test func outOfRangeChangesNothing() throws {
        let store = try Store(at: path)
        #expect(try store.increment("key", by: 5, within: 6...9) == .outOfRange(0))
        #expect(access(path, F_OK) != 0, "nothing was counted, nothing made")
        try store.increment("other")
        #expect(try store.increment("key", by: 5, within: 6...9) == .outOfRange(0))
        #expect(try store.entry(for: "key") == nil)
        #expect(try store.increment("key", by: 5, within: 0...5) == .incremented(5))
        let before = try store.entry(for: "key")?.generation
        #expect(try store.increment("key", by: 1, within: 0...5) == .outOfRange(5))
        #expect(try store.increment("key", by: -6, within: 0...5) == .outOfRange(5))
        #expect(try store.increment("key", by: .max) == .outOfRange(5))
        #expect(try store.entry(for: "key")?.generation == before)
        #expect(try store.increment("key", by: .max - 5) == .incremented(.max))
        #expect(try store.increment("key") == .outOfRange(.max))
        #expect(try store.increment("low", by: .min) == .incremented(.min))
        #expect(try store.increment("low", by: -1) == .outOfRange(.min))
        #expect(try store.bytes(of: "low") == Array("-9223372036854775808".utf8))
    }

    @Test(
        arguments: [
            ("12", 12), ("0012", 12), ("+5", 5), ("-7", -7), ("12\n", 12), ("-0", 0),
            ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("000000000000000000000000000000000012", 12),
            ("", nil), ("\n", nil), ("-", nil), ("1 ", nil), (" 1", nil), ("1\n\n", nil),
            ("0x1", nil),
            ("1.0", nil), ("9223372036854775808", nil), ("--1", nil), ("1\r\n", nil), ("x", nil),
            ("+-1", nil),
        ] as [(String, Int64?)])
    func whatIsANumber(text: String, number: Int64?) throws {
        let store = try Store(at: path)
        _ = try store.put(text.utf8, for: "key")
        if let number {
            let step: Int64 = number == .max ? -1 : 1
            #expect(try store.increment("key", by: step) == .incremented(number + step))
            #expect(try store.bytes(of: "key") == Array("\(number + step)".utf8))
        } else {
            let error = storeError { try store.increment("key") }
            #expect(error?.code == .notANumber, "\(String(describing: error))")
            #expect(try store.bytes(of: "key") == Array(text.utf8))
        }
    }

    @Test func valuesThatAreTooLargeAreNoNumbers() throws {
        let store = try Store(at: path)
        for size in [1025, 70_000] {
            _ = try store.put([UInt8](repeating: UInt8(ascii: "0"), count: size), for: "key")
            #expect(storeError { try store.increment("key") }?.code == .notANumber)
        }
    }

    /// To everything else it is a value.
    @Test func aNumberIsAValueToAllOthers() throws {
        let store = try Store(at: path)
        try store.increment("key", by: 41)
        try store.increment("key")
        #expect(try store.claimAndFinalize("key", []) == .ready(Array("42".utf8)))
        var entries = try store.entries()
        let summary = try #require(try entries.next())
        guard case .ready(let size) = summary.state else { throw Unexpected("\(summary)") }
        #expect(size == 2 && summary.key == "key")
        #expect(summary.generation == (try store.entry(for: "key")?.generation))
        #expect(try store.counts().bytes == 1636)
        // Computed anew, while readers see the old one.
        let anew = try #require(try store.win("key", maxAge: .zero))
        #expect(try store.bytes(of: "key") == Array("42".utf8))
        #expect(try store.increment("key").isPending)
        try anew.finalize("7".utf8)
        #expect(try store.increment("key") == .incremented(8))
        _ = try store.put("8 apples".utf8, for: "key")
        #expect(storeError { try store.increment("key") }?.code == .notANumber)
        #expect(try store.remove("key"))
        #expect(try store.increment("key") == .incremented(1))
        #expect(try store.reap(limits { $0.maxEntries = 0 }).map(\.reason) == [.evicted])
        #expect(try store.entry(for: "key") == nil)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
    }

    private func limits(_ set: (inout Store.ReapLimits) -> Void) -> Store.ReapLimits {
        var limits = Store.ReapLimits()
        set(&limits)
        return limits
    }

    /// Writes what a number says of when it was last counted, as if that had been so long ago.
    private func age(_ key: Store.Key, by seconds: Int64) throws {
        let path = try file(of: key, in: path)
        let name = try EntryName(key)
        let record = try #require(
            try CounterRecord.read(try File.open(path: FileName(path)), of: name))
        let cell = CounterCell(
            number: record.cell.number, generation: record.cell.generation,
            counted: record.cell.counted - seconds * 1_000_000)
        var bytes = try #require(contents(of: path))
        for start in [1024, 1536] {
            bytes.replaceSubrange(start..<(start + 100), with: record.text(of: cell))
        }
        write(bytes, to: path)
    }

    @Test func theAgeOfANumberIsThatOfItsLastIncrement() throws {
        let store = try Store(at: path)
        for key in ["old", "used"] as [Store.Key] {
            try store.increment(key)
            try age(key, by: 100)
            let entry = try #require(try store.entry(for: key))
            #expect((100.0..<200).contains(Double(entry.age.components.seconds)))
        }
        try store.increment("used")
        #expect(try store.entry(for: "used", maxAge: .seconds(50)) != nil)
        #expect(try store.entry(for: "old", maxAge: .seconds(50)) == nil)
        let reaped = try store.reap(limits { $0.maxAge = .seconds(50) })
        #expect(reaped.map(\.key) == ["old"] && reaped.map(\.reason) == [.tooOld])
    }

    /// Counting is use: what is counted is not least recently used.
    @Test func evictionSparesWhatIsCounted() throws {
        let store = try Store(at: path)
        try store.increment("counted")
        _ = try store.put("value".utf8, for: "idle")
        for key in ["counted", "idle"] as [Store.Key] {
            setModified(try file(of: key, in: path), secondsAgo: 1000)
        }
        try store.increment("counted")
        let reaped = try store.reap(limits { $0.maxEntries = 1 })
        #expect(reaped.map(\.key) == ["idle"])
    }

    @Test func aDamagedNumberIsToldOnceAndNothingIsCounted() throws {
        let store = try Store(at: path)
        try store.increment("key", by: 5)
        try store.increment("key", by: 5)
        let path = try file(of: "key", in: path)
        var bytes = try #require(contents(of: path))
        // One cell is torn: the other one counts, as before the last increment.
        bytes[1536 + 20] ^= 1
        write(bytes, to: path)
        #expect(try store.bytes(of: "key") == Array("5".utf8))
        #expect(try store.increment("key") == .incremented(6))
        bytes = try #require(contents(of: path))
        for start in [1024, 1536] { bytes[start + 20] ^= 1 }
        write(bytes, to: path)
        let error = storeError { try store.increment("key") }
        #expect(error?.code == .notANumber && error?.description.contains("damaged") == true)
        #expect(try store.counts().damaged == 1 && store.counts().ready == 0)
        #expect(try store.increment("key") == .incremented(1))
        #expect(Tally(try store.counts()) == Tally(filesOf: self.path))
    }

    @Test func threadsCountExactly() throws {
        let (threads, times) = (8, wantsLongTests ? 10_000 : 500)
        let store = try Store(at: path)
        let numbers = inThreads(threads) { _ -> [Int64] in
            (0..<times).compactMap { _ in
                if case .incremented(let number)? = try? store.increment("key") {
                    number
                } else {
                    nil
                }
            }
        }
        #expect(numbers.allSatisfy { $0 == $0.sorted() }, "each sees it rise")
        let all = numbers.flatMap { $0 }
        #expect(all.count == threads * times && Set(all).count == all.count)
        #expect(all.max() == Int64(threads * times))
    }

    /// The last of a hundred credits are not spent twice.
    @Test func ofTwoThatSpendMostOfTheCreditsOneSucceeds() throws {
        let (first, second) = (try Store(at: path), try Store(at: path))
        for round in 0..<50 {
            let key = Store.Key("credits-\(round)")
            try first.increment(key, by: 100)
            let barrier = Barrier(2)
            let results = inThreads(2) { index in
                barrier.wait()
                return try? [first, second][index].increment(key, by: -60, within: 0 ... .max)
            }
            #expect(Set(results) == [.incremented(40), .outOfRange(40)], "\(results)")
            #expect(try first.bytes(of: key) == Array("40".utf8))
        }
    }

    // MARK: Updates

    @Test func anUpdateRunsAgainWhenTheEntryHasChanged() throws {
        let (store, other) = (try Store(at: path), try Store(at: path))
        var seen: [String?] = []
        let result = try store.update("key") { entry in
            let text = entry.map { String(decoding: $0.value, as: UTF8.self) }
            seen.append(text)
            // No lock is held: others, and this very closure, may change the key and its neighbours.
            #expect(!anyMutexIsHeld(path))
            if seen.count == 1 { _ = try other.put("theirs".utf8, for: "key") }
            if seen.count == 2 { try other.remove("key") }
            if seen.count == 3 { try other.increment("key") }
            return Array("\(text ?? "nothing") and mine".utf8)
        }
        #expect(seen == [nil, "theirs", nil, "1"])
        guard case .updated(let entry) = result else { throw Unexpected("\(result)") }
        #expect(entry.value.copied == Array("1 and mine".utf8))
        #expect(try store.entry(for: "key")?.generation == entry.generation)
    }

    @Test func anUpdateMayLeaveTheValueOrThrow() throws {
        let store = try Store(at: path)
        guard case .unchanged(nil) = try store.update("key", { _ in nil }) else {
            throw Unexpected("something was there")
        }
        _ = try store.put("value".utf8, for: "key")
        guard case .unchanged(let entry?) = try store.update("key", { _ in nil }) else {
            throw Unexpected("nothing was there")
        }
        #expect(entry.value.copied == Array("value".utf8))
        #expect(throws: Unexpected.self) {
            try store.update("key") { _ in throw Unexpected("on purpose") }
        }
        #expect(try store.bytes(of: "key") == Array("value".utf8))
        // Whoever closes over it goes on.
        _ = try store.update("key") { Array(($0?.value.copied ?? []) + [33]) }
        #expect(try store.bytes(of: "key") == Array("value!".utf8))
    }

    @Test func anUpdateLeavesAClaimAlone() throws {
        let (store, other) = (try Store(at: path), try Store(at: path))
        let claim = try #require(try other.win("key"))
        var runs = 0
        guard
            case .pending = try store.update(
                "key",
                { _ in
                    runs += 1
                    return []
                })
        else { throw Unexpected("updated") }
        #expect(runs == 0)
        try claim.finalize("old".utf8)
        // Claimed while the closure runs.
        var kept: Kept?
        let result = try store.update("key") { _ in
            kept = try other.win("key", maxAge: .zero)
            return []
        }
        guard case .pending = result else { throw Unexpected("\(result)") }
        try kept?.abandon()
        leaveStaleClaim("dead", in: path)
        guard case .updated = try store.update("dead", { $0 == nil ? [1] : nil }) else {
            throw Unexpected("a stale claim counts")
        }
        #expect(try store.bytes(of: "dead") == [1])
    }

    @Test func threadsUpdateWithoutLosingAny() throws {
        let store = try Store(at: path)
        let times = 100
        _ = inThreads(4) { _ in
            for _ in 0..<times {
                _ = try? store.update("key") { entry in
                    let number = entry.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) }
                    return Array("\((number ?? 0) + 1)".utf8)
                }
            }
        }
        #expect(try store.bytes(of: "key") == Array("\(4 * times)".utf8))
    }
}
