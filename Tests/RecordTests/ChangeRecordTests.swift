import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The bytes by which changes are intended and told.
@Suite(.ownThreads) struct ChangeRecordTests {
    private func name(_ key: Store.Key) throws -> EntryName { try EntryName(key) }

    private func bytes(of intent: Intent) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xff, count: Intent.byteCount)
        bytes.withUnsafeMutableBytes { intent.write(to: $0) }
        return bytes
    }

    private func read(_ bytes: [UInt8]) -> Intent? { bytes.withUnsafeBytes { Intent($0) } }

    private func intents() throws -> [Intent] {
        let longest = Store.Key([UInt8](repeating: 0x61, count: 200))
        var told = Intent.claim(try name("a"), 1)
        (told.counter, told.number, told.hasHappened) = (7, 9, true)
        return [
            Intent(), told, .claim(try name(longest), Limits.generation),
            .takeOver(try name("k/\n"), 5, from: 4), .takeOver(try name("k"), 5, from: nil),
            .publish(.finalized, try name("k"), 5), .endClaim(.abandoned, try name("k"), 5),
            .endClaim(.reaped, try name("k"), nil), .setAside(try name("k"), 0),
            .removal(
                .removed, try name("k"), claim: 7, value: 5, hasPending: true, hasReady: true),
            .removal(
                .reaped, try name("k"), claim: nil, value: 5, hasPending: true, hasReady: true),
            .lease(
                try name("k"), slot: 4095, sequence: 1 << 61,
                [
                    ToldEvent(event: .expired, generation: 4),
                    ToldEvent(event: .leased, generation: 5),
                ]),
        ]
    }

    @Test func anIntentReadsAsItWasWritten() throws {
        for intent in try intents() { #expect(read(bytes(of: intent)) == intent) }
    }

    /// A slot that was never written, or half, is no intent.
    @Test func anIntentThatIsNotWholeIsNone() throws {
        #expect(read([UInt8](repeating: 0, count: Intent.byteCount)) == nil)
        #expect(read([]) == nil)
        let whole = bytes(of: try #require(intents().last))
        for index in whole.indices {
            var changed = whole
            changed[index] ^= 1
            #expect(read(changed) == nil, "byte \(index)")
        }
    }

    @Test func aRecordReadsAsItWasWritten() throws {
        for event in ChangeEvent.allCases where event != .restarted {
            let record = ChangeRecord(
                event: event, generation: 5, shard: 0xab, counter: 12,
                name: Array(try name("a/b").encoded))
            #expect(ChangeRecord(record.bytes) == record && record.key == "a/b")
            #expect(String(decoding: record.bytes, as: UTF8.self) == "\(event.name) 5 ab 12 a%2Fb")
        }
        let boot = BootID(high: 1, low: 2)
        let restarted = try #require(ChangeRecord(ChangeRecord.restarted(boot)))
        #expect(restarted.event == .restarted && restarted.key == nil)
    }

    @Test(arguments: [
        "", "claimed", "claimed 5 ab 12", "claimed 5 ab 12 a b", "claimed  5 ab 12 a",
        "claimed x ab 12 a", "claimed 5 xy 12 a", "claimed 5 abc 12 a", "claimed 5 ab 12 a/b",
        "restarted", "restarted 5 ab 12 a", "stolen 5 ab 12 a", "claimed 9007199254740992 ab 1 a",
    ])
    func whatIsNoRecordIsNone(text: String) {
        #expect(ChangeRecord(Array(text.utf8)) == nil)
    }

    /// Room is made for that much before a change.
    @Test func noRecordIsLongerThanTheLongest() throws {
        let key = Store.Key(
            [UInt8](repeating: 0x2f, count: 60) + [UInt8](repeating: 0x61, count: 60))
        let record = ChangeRecord(
            event: .incremented, generation: Limits.generation, shard: 255, counter: .max,
            name: Array(try name(key).encoded))
        #expect(record.name.count == 240 && record.bytes.count <= ChangeRecord.mostBytes)
    }

    @Test func theHeaderReadsAsItWasWritten() {
        let header = IntentHeader(
            device: 1 << 40, inode: .max, boot: BootID(high: 3, low: .max), number: 5, isTold: false
        )
        #expect(header.bytes.count == Intent.byteCount)
        #expect(header.bytes.withUnsafeBytes { IntentHeader($0) } == header)
        #expect(header.bytes.dropFirst().withUnsafeBytes { IntentHeader($0) } == nil)
    }

    @Test func aLeaseThatHasExpiredSaysSo() throws {
        var cell = LeaseCell(
            generation: 5,
            LeaseRequest(timeToLive: .seconds(1), processID: 1, command: Array("c".utf8)),
            at: Place(boot: BootID(high: 1, low: 2), processNamespace: 3, timeNamespace: 4),
            since: LeaseTime.now)
        for state in ["held", "expired", "released"] {
            cell.isExpired = state != "held"
            cell.isReleased = state == "released"
            if cell.isReleased { cell.isExpired = false }
            let bytes = cell.bytes
            #expect(String(decoding: bytes, as: UTF8.self).contains("\nstate: \(state)\n"))
            #expect(bytes.withUnsafeBytes { LeaseCell($0) } == cell)
        }
    }

    // MARK: The marker

    /// A program that does not tell of changes must refuse such a store, also where a line is missing.
    @Test func aStoreThatTellsHasAMarkerOfItsOwnVersion() {
        for mode: UInt32 in [0o700, 0o750, 0o770] {
            for isDurable in [false, true] {
                let marker = Marker(mode: mode, isDurable: isDurable, hasJournal: true)
                let text = marker.text
                #expect(text.starts(with: "flock-cache 2\njournal: yes\n".utf8))
                #expect(Marker.read(text) == .marker(marker))
                for length in 0..<text.count where text[length - (length == 0 ? 0 : 1)] != 10 {
                    #expect(Marker.read(Array(text[..<length])) == .torn, "\(length)")
                }
            }
        }
        #expect(Marker.read(Array("flock-cache 2\n".utf8)) == .torn)
        #expect(Marker.read(Array("flock-cache 2\nmode: 0700\n".utf8)) == .notAMarker)
        #expect(Marker.read(Array("flock-cache 2\njournal: no\n".utf8)) == .notAMarker)
        #expect(Marker.read(Array("flock-cache 1\njournal: yes\n".utf8)) == .marker(Marker()))
    }
}
