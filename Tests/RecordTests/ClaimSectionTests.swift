import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// What is not whole is never taken for something.
@Suite(.ownThreads) struct ClaimSectionTests {
    @Test func aClaimSectionReadsAsItWasWritten() throws {
        for section in ClaimSamples.sections() {
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
        for section in ClaimSamples.sections() {
            let text = section.text
            for count in 0..<text.count {
                let read = text[..<count].withUnsafeBytes { ClaimSection.parse($0) }
                if read != nil { Issue.record("cut to \(count) of \(text.count) bytes") }
            }
        }
    }

    @Test func everyFlippedBitOfAClaimSectionIsTorn() {
        for section in ClaimSamples.sections() {
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
        let sections = ClaimSamples.sections().map(\.text)
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
