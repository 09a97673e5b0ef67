import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Whatever stands on disk, on the board or in the environment, nothing is counted beyond its range: that would
/// end the process.
@Suite(.ownThreads) struct NumbersTests {
    /// At and around the ends of all ranges that numbers are kept in.
    private static let numbers: [UInt64] = {
        var numbers: [UInt64] = [.max, .max - 1, 9_999_999_999_999_999]
        for shift: UInt64 in [0, 7, 8, 15, 16, 31, 32, 52, 53, 54, 61, 62, 63] {
            let power: UInt64 = 1 << shift
            numbers += [power - 1, power, power + 1]
        }
        return numbers
    }()

    private static func number(_ random: inout Seeded) -> UInt64 {
        Bool.random(using: &random)
            ? numbers.randomElement(using: &random) ?? 0 : .random(in: 0 ... .max, using: &random)
    }

    private static func place(_ random: inout Seeded) throws -> Place {
        if Bool.random(using: &random) { return try #require(try Place.current()) }
        return Place(
            boot: BootID(high: number(&random), low: number(&random)),
            processNamespace: number(&random), timeNamespace: number(&random))
    }

    private static func stamp(_ random: inout Seeded) -> Stamp {
        Stamp(
            wall: Int64(clamping: number(&random)), boot: Int64(clamping: number(&random)))
    }

    private static func process(_ random: inout Seeded) -> ProcessIdentity {
        ProcessIdentity(
            id: Int32(clamping: number(&random)),
            descriptorInode: Bool.random(using: &random) ? number(&random) : nil,
            startTime: Bool.random(using: &random) ? number(&random) : nil)
    }

    private static func claim(_ name: [UInt8], _ random: inout Seeded) throws -> ClaimSection {
        let holders: [HolderIdentity] = [
            .session(number(&random)), .process(process(&random)), .nobody,
        ]
        return ClaimSection(
            name: name, generation: number(&random),
            holder: holders.randomElement(using: &random) ?? .nobody,
            processID: Int32(clamping: number(&random)), command: [], place: try place(&random),
            since: stamp(&random), deadline: Bool.random(using: &random) ? stamp(&random) : nil)
    }

    // MARK: Whole stores

    /// Everything that reads a store, on one whose records are whole and whose numbers are anything.
    @Test func storesOfOddNumbersTrapNothing() throws {
        var random = Seeded("stores of odd numbers")
        for _ in 0..<(wantsLongTests ? 300 : 30) {
            let directory = TemporaryDirectory()
            let path = directory("store")
            let store = try Store(at: path)
            for number in 0..<8 {
                let key = Store.Key("k\(number)")
                let name = try EntryName(key)
                _ = try store.claimAndFinalize(key, [])
                let ready = try file(of: key, in: path)
                let text = try Self.claim(Array(name.encoded), &random).text
                let section = ValueSection(
                    finalized: Int64(clamping: Self.number(&random)), payloadLength: 0)
                if Bool.random(using: &random) {
                    write(text + section.head(behind: text, payload: Checksum()), to: ready)
                }
                if Bool.random(using: &random) {
                    write(try Self.claim(Array(name.encoded), &random).text, to: ready + ".pending")
                }
                if Bool.random(using: &random) { unlink(ready) }
                try Self.plantLease(key, in: store, &random)
            }
            if Bool.random(using: &random) { try Self.oddBlocks(path, &random) }
            try Self.use(path, &random)
        }
    }

    private static func plantLease(
        _ key: Store.Key, in store: Store, _ random: inout Seeded
    ) throws {
        let request = LeaseRequest(
            timeToLive: .seconds(1000), processID: 1, command: [])
        _ = try store.session.tryLease(
            try EntryName(key), request, patience: Limits.patience)
        let opened = try store.session.forWriting()
        guard var cell = LeaseCell.random(of: opened, key) else { return }
        cell.generation = number(&random)
        cell.sequence = number(&random) >> 2
        cell.owner = Bool.random(using: &random) ? process(&random) : nil
        cell.processID = Int32(clamping: number(&random))
        cell.place = try place(&random)
        cell.since = LeaseTime(stamp(&random))
        cell.timeToLive =
            Bool.random(using: &random) ? Int64(clamping: number(&random)) : nil
        cell.deadline = Bool.random(using: &random) ? LeaseTime(stamp(&random)) : nil
        guard let file = try opened.leaseFile(try EntryName(key), making: false) else { return }
        try file.write(cell, in: 0, durably: false)
    }

    private static func oddBlocks(_ path: String, _ random: inout Seeded) throws {
        let file = open(path + "/locks/shards", O_RDWR)
        defer { close(file) }
        for shard in 0..<Layout.shardCount {
            var block = ShardBlock()
            block.boot = try #require(try Place.current()).boot
            block.highest = number(&random)
            block.mark = DirectoryMark(number: UInt32(truncatingIfNeeded: number(&random)))
            block.changer = Int32(truncatingIfNeeded: number(&random))
            block.counts = ShardCounts(
                pending: Int(clamping: number(&random)), ready: Int(clamping: number(&random)),
                temporaries: Int(clamping: number(&random)), bytes: Int(clamping: number(&random)))
            var bytes = [UInt8](repeating: 0, count: ShardBlock.byteCount)
            bytes.withUnsafeMutableBytes { block.write(to: $0) }
            #expect(pwrite(file, bytes, bytes.count, off_t(64 + 64 * shard)) == bytes.count)
        }
    }

    /// Errors are answers; what must not happen is a trap, which ends the test.
    private static func use(_ path: String, _ random: inout Seeded) throws {
        let store = try Store(at: path)
        let ages: [Duration] = [
            .zero, .nanoseconds(Int64.max), .nanoseconds(Int64.min), .seconds(Int64.max),
            .seconds(Int64.min), .seconds(1),
        ]
        func age() -> Duration { ages.randomElement(using: &random) ?? .zero }
        _ = try? store.counts()
        var entries = try store.entries()
        while let entry = (try? entries.next()) ?? nil { _ = "\(entry.state) \(entry.age)" }
        let pass = store.session.newPass()
        for holding in (try? store.session.holdings(pass)) ?? [] {
            _ = "\(holding.holder.map { "\($0)" } ?? "") \(holding.timeLeft ?? .zero)"
        }
        for number in 0..<8 {
            let key = Store.Key("k\(number)")
            _ = try? store.entry(for: key, maxAge: age())
            _ = try? store.holders(of: key)
            _ = try? store.session.checkLease(key, Self.number(&random))
            _ = try? store.session.renewLease(key, Self.number(&random))
            _ = try? store.acquireLeaseIfAvailable(key, timeToLive: age())
            _ = try? store.win(key, maxAge: age(), staleAfter: age())
        }
        var limits = Store.ReapLimits()
        limits.assumeDeadAfter = age()
        limits.maxAge = age()
        limits.maxEntries = Int(truncatingIfNeeded: Self.number(&random))
        limits.maxBytes = Int(truncatingIfNeeded: Self.number(&random))
        _ = try? store.reap(limits, dryRun: true)
        _ = try? store.reap(limits)
        _ = try? store.counts()
    }

    /// Two sizes of 2^62 are more than there are numbers for.
    @Test func sparseFilesOfAnySizeAreCountedAndEvicted() throws {
        let directory = TemporaryDirectory()
        let path = directory("store")
        let store = try Store(at: path)
        for number in 0..<6 {
            #expect(try store.claimAndFinalize(Store.Key("k\(number)"), []).isWon)
        }
        let claim = try #require(try store.win("claimed"))
        let lease = try #require(try store.lease("lease", .seconds(1000)))
        var largest: off_t = 0
        for number in 0..<5 {
            // As large as this file system has them; in memory that is 2^63 - 1.
            for shift in stride(from: 62, to: 40, by: -1) {
                guard truncate(try file(of: Store.Key("k\(number)"), in: path), 1 << shift) != 0
                else {
                    largest = max(largest, 1 << shift)
                    break
                }
            }
        }
        try #require(largest > 1 << 40)
        truncate(try file(of: "claimed", in: path) + ".pending", largest)
        let leases = path + "/leases/"
        for shard in names(in: leases) {
            for name in names(in: leases + shard) { truncate(leases + shard + "/" + name, largest) }
        }
        for number in 0..<6 {
            setModified(try file(of: Store.Key("k\(number)"), in: path), secondsAgo: 1000 - number)
        }
        write([], to: path + "/locks/shards")
        let counts = try store.counts()
        #expect(counts.ready == 6 && counts.pending == 1)
        if largest == 1 << 62 { #expect(counts.bytes == Int.max && !counts.isExact) }
        // A change of a shard whose sum is beyond the range.
        for key in keys(3, inShard: try EntryName("k1").shard, prefix: "beside") {
            #expect(try store.claimAndFinalize(key, []).isWon)
            #expect(try store.remove(key))
        }
        var entries = try store.entries()
        while try entries.next() != nil {}
        let pass = store.session.newPass()
        #expect(try store.session.holdings(pass).count >= 1)
        #expect(try store.bytes(of: "k0") == nil, "damaged, and set aside")
        var limits = Store.ReapLimits()
        limits.maxBytes = .max
        #expect(try store.reap(limits).count == (largest == 1 << 62 ? 3 : 0))
        limits.maxBytes = 1 << 20
        #expect(try store.reap(limits).allSatisfy { $0.reason == .evicted })
        #expect(try store.counts().ready == 1)
        #expect(Tally(try store.counts()) == Tally(filesOf: path))
        try claim.abandon()
        try lease.release()
    }

    // MARK: Parsers

    /// Any bytes, and bytes that are almost what is expected, with a check that holds.
    @Test func parsersTakeAnything() throws {
        var random = Seeded("parsers take anything")
        let name = try EntryName("key")
        for _ in 0..<(wantsLongTests ? 200_000 : 20_000) {
            let bytes = Self.almost(&random)
            bytes.withUnsafeBytes { bytes in
                _ = Marker.read(Array(bytes))
                _ = ClaimSection.parse(bytes)
                if let head = ClaimHead(bytes) {
                    _ = ValueSection.parse(bytes, behind: head.length)
                }
                if bytes.count >= 64 { _ = ShardBlock(bytes) }
                _ = LeaseCell(bytes)
            }
            _ = PercentCode.decode(bytes)
            _ = PercentCode.unescape(bytes)
            _ = Layout.temporarySession(of: bytes)
            bytes.withUnsafeBufferPointer {
                _ = Layout.damagedKey(of: $0)
                _ = hexadecimalNumber($0)
                _ = checkNumber($0)
                _ = Stamp($0)
            }
            _ = BootID(bytes)
            _ = Inherited.entries(in: bytes, of: StoreIdentity(device: 1, inode: 1))
            _ = ProcessStatus(bytes)
            _ = decimal(bytes)
        }
        let directory = TemporaryDirectory()
        for _ in 0..<(wantsLongTests ? 5000 : 500) {
            write(Self.almost(&random), to: directory("record"))
            if Bool.random(using: &random) {
                truncate(directory("record"), off_t.random(in: 0...(1 << 40), using: &random))
            }
            let file = try File.open(path: FileName(directory("record")))
            _ = try ReadyFile.readHeads(file, of: name)
            _ = try ReadyFile.read(file, name)
        }
    }

    /// Lines as records have them, in any order, with any numbers, often with a check that holds.
    private static func almost(_ random: inout Seeded) -> [UInt8] {
        if Int.random(in: 0..<8, using: &random) == 0 {
            return (0..<Int.random(in: 0...600, using: &random)).map { _ in
                .random(in: 0...255, using: &random)
            }
        }
        let fields = [
            "key", "generation", "session", "process", "pidfd-inode", "started", "pid", "command",
            "boot", "pid-namespace", "time-namespace", "since", "deadline", "finalized", "length",
            "value-check", "sequence", "state", "ttl", "mode", "durable", "slot", "check",
        ]
        func value() -> String {
            switch Int.random(in: 0..<7, using: &random) {
            case 0: return ""
            case 1: return "99999999999999999999999999"
            case 2: return String(number(&random), radix: 16)
            case 3: return "\(number(&random)) \(number(&random))"
            case 4: return "-1"
            case 5: return "%"
            default: return "\(number(&random))"
            }
        }
        let titles = ["flock-cache 1", "flock-cache-lease 1", "flock-cache \(number(&random))", ""]
        var text = (titles.randomElement(using: &random) ?? "") + "\n"
        let isInOrder = Bool.random(using: &random)
        for field in isInOrder ? fields : fields.shuffled(using: &random)
        where isInOrder || Bool.random(using: &random) {
            text += "\(field): \(value())\n"
        }
        var bytes = Array(text.utf8)
        if Bool.random(using: &random) {
            var checksum = Checksum()
            bytes.withUnsafeBytes { checksum.update($0) }
            bytes += Array("check: ".utf8) + hexadecimal(UInt64(checksum.value), digits: 8) + [10]
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
        }
        return bytes
    }

    /// Notes whose check holds.
    @Test func notesOfAnyWordsAreRead() throws {
        var random = Seeded("notes of any words")
        for _ in 0..<20_000 {
            var words = InlineArray<16, UInt64>(repeating: 0)
            for index in 1..<16 { words[index] = Self.number(&random) }
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for index in 1..<16 { hash = (hash ^ words[index]) &* 0x100_0000_01b3 }
            words[0] = hash | 1
            guard let note = LockNote(words) else { continue }
            _ = "\(note.kind) \(note.since) \(note.processID) \(note.hash)"
            _ = (note.key, note.keyStart, note.command, LockName.byte(of: note.hash))
        }
    }

    @Test func timesFromAnywhereAreTold() throws {
        var random = Seeded("times from anywhere")
        for _ in 0..<20_000 {
            let (a, b) = (try Self.place(&random), try Self.place(&random))
            let stamp = Self.stamp(&random)
            _ = (stamp.age(of: a, from: b), stamp.timeLeft(of: a, from: b))
            _ = stamp.hasCome(of: a, from: b)
            _ = LeaseTime(stamp).timeLeft(ofThisBoot: Bool.random(using: &random))
            let duration = Duration.nanoseconds(Int64(truncatingIfNeeded: Self.number(&random)))
            _ = (stamp.advanced(by: duration), LeaseTime(stamp).advanced(by: duration))
            _ = ValueSection.isOld(Int64(truncatingIfNeeded: Self.number(&random)), than: duration)
            _ = duration.spoken
        }
    }
}

extension LeaseCell {
    fileprivate static func random(of store: OpenStore, _ key: Store.Key) -> LeaseCell? {
        guard let name = try? EntryName(key),
            let file = try? store.leaseFile(name, making: false, writing: false)
        else { return nil }
        return (try? file.slot(0))?.cell
    }
}
