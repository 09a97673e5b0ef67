import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What is not whole is never taken for something.
@Suite(.ownThreads) struct ClaimSectionTests {
    private static let here = Place(
        boot: BootID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210),
        processNamespace: 4_026_531_836, timeNamespace: 4_026_531_834)

    private static let holders: [HolderIdentity] = [
        .session(0x3fff_ffff_ffff_ffff), .session(0), .nobody,
        .process(ProcessIdentity(id: 4711, descriptorInode: 12345, startTime: nil)),
        .process(ProcessIdentity(id: .max, descriptorInode: nil, startTime: .max)),
        .process(ProcessIdentity(id: 1, descriptorInode: .max, startTime: 0)),
    ]

    private static func sections() -> [ClaimSection] {
        holders.flatMap { holder in
            [nil, Stamp(wall: 1_700_000_000_000_000, boot: 77)].map { deadline in
                ClaimSection(
                    name: PercentCode.encode(Array("sha256:ab/ü\0.pending".utf8)),
                    generation: 1_700_000_000_000_001,
                    holder: holder, processID: 4711,
                    command: ClaimSection.encode(command: Array("my prog\n".utf8)), place: here,
                    since: Stamp(wall: 1_699_999_999_999_999, boot: 12), deadline: deadline)
            }
        }
    }

    @Test func aClaimSectionReadsAsItWasWritten() throws {
        for section in Self.sections() {
            let text = section.text
            let (read, length) = try #require(text.withUnsafeBytes { ClaimSection.parse($0) })
            #expect(read == section)
            #expect(length == text.count)
            // And as the first part of something longer.
            let longer = text + Array("finalized: 17".utf8)
            #expect(longer.withUnsafeBytes { ClaimSection.parse($0) }?.section == section)
        }
    }

    @Test func theLongestClaimSectionFitsItsBuffer() {
        let stamp = Stamp(wall: .max, boot: .max)
        let section = ClaimSection(
            name: PercentCode.encode([UInt8](repeating: 0, count: 80)),
            generation: Limits.generation,
            holder: .process(ProcessIdentity(id: .max, descriptorInode: .max, startTime: .max)),
            processID: .max,
            command: ClaimSection.encode(command: [UInt8](repeating: 0, count: 1000)),
            place: Place(
                boot: BootID(high: .max, low: .max), processNamespace: .max, timeNamespace: .max),
            since: stamp, deadline: stamp)
        #expect(section.text.count <= ClaimSection.mostBytes)
        #expect(section.text.withUnsafeBytes { ClaimSection.parse($0) }?.section.since == stamp)
    }

    @Test func everyTruncationOfAClaimSectionIsTorn() {
        for section in Self.sections() {
            let text = section.text
            for count in 0..<text.count {
                let read = text[..<count].withUnsafeBytes { ClaimSection.parse($0) }
                if read != nil { Issue.record("cut to \(count) of \(text.count) bytes") }
            }
        }
    }

    @Test func everyFlippedBitOfAClaimSectionIsTorn() {
        for section in Self.sections() {
            var text = section.text
            for bit in 0..<(text.count * 8) {
                text[bit / 8] ^= 1 << (bit % 8)
                let read = text.withUnsafeBytes { ClaimSection.parse($0) }
                if read != nil {
                    Issue.record("bit \(bit) of \(String(decoding: text, as: UTF8.self))")
                }
                text[bit / 8] ^= 1 << (bit % 8)
            }
        }
    }

    @Test func randomBytesInAClaimSectionAreTorn() {
        var random = Seeded("random bytes in claim sections")
        let sections = Self.sections().map(\.text)
        for _ in 0..<20_000 {
            var text = sections.randomElement(using: &random) ?? []
            let original = text
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let index = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text[index] = .random(in: 0...255, using: &random)
                case 1: text.remove(at: index)
                default: text.insert(.random(in: 0...255, using: &random), at: index)
                }
            }
            guard text != original, !text.starts(with: original) else { continue }
            if text.withUnsafeBytes({ ClaimSection.parse($0) }) != nil {
                Issue.record("\(String(decoding: text, as: UTF8.self))")
            }
        }
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
}
