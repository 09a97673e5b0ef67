import SystemCalls

@testable import FlockCache

/// Claim sections of every kind of holder, with a deadline and without.
enum ClaimSamples {
    static let here = Place(
        boot: BootID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210),
        processNamespace: 4_026_531_836, timeNamespace: 4_026_531_834)

    static let holders: [HolderIdentity] = [
        .session(0x3fff_ffff_ffff_ffff), .session(0), .nobody,
        .process(ProcessIdentity(id: 4711, descriptorInode: 12345, startTime: nil)),
        .process(ProcessIdentity(id: .max, descriptorInode: nil, startTime: .max)),
        .process(ProcessIdentity(id: 1, descriptorInode: .max, startTime: 0)),
    ]

    static func sections() -> [ClaimSection] {
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
}
