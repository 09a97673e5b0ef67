internal import SystemCalls

/// The second part of a READY record: the value behind its claim section.
///
/// Its head has a fixed width, so that a value of unknown length can be streamed behind it and the
/// head be written last. The check covers the payload first and then everything before the check's
/// digits, for the same reason.
struct ValueSection: Equatable, Sendable {
    /// Wall clock, microseconds since 1970.
    let finalized: Int64
    let payloadLength: Int

    /// Whether a value published at that time is older than a greatest age.
    ///
    /// One from the future was published while a clock was ahead: how old it is nobody knows, and it would be
    /// fresh until that time has come and the age has passed. So it is older than any, but for a second (or the
    /// age, if that is less) by which the clocks of two machines may differ, or one was set back a little.
    static func isOld(_ finalized: Int64, than greatest: Duration) -> Bool {
        let greatest = greatest.clampedMicroseconds
        let age = clampedDifference(WallClock.microseconds, finalized)
        return age > greatest || age < -min(max(0, greatest), 1_000_000)
    }

    /// `finalized: ` 16 digits, `length: ` 10 digits, `value-check: ` 8 digits, and a line's end each.
    static let headLength = 11 + 16 + 1 + 8 + 10 + 1 + 13 + 8 + 1

    /// The head for a payload whose checksum was taken, behind a claim section.
    func head(behind claimSection: [UInt8], payload: Checksum) -> [UInt8] {
        var head = [UInt8]()
        head.reserveCapacity(Self.headLength)
        head.append(contentsOf: "finalized: ".utf8)
        appendDecimal(UInt64(clamping: finalized), to: &head, width: 16)
        head.append(contentsOf: "\nlength: ".utf8)
        appendDecimal(UInt64(payloadLength), to: &head, width: 10)
        head.append(contentsOf: "\nvalue-check: ".utf8)
        var checksum = payload
        unsafe claimSection.withUnsafeBytes { unsafe checksum.update($0) }
        unsafe head.withUnsafeBytes { unsafe checksum.update($0) }
        head.append(contentsOf: hexadecimal(UInt64(checksum.value), digits: 8))
        head.append(UInt8(ascii: "\n"))
        return head
    }

    /// What a head behind a claim section of that length says, and the check it carries.
    static func parse(
        _ record: UnsafeRawBufferPointer, behind claimLength: Int
    ) -> (section: ValueSection, check: UInt32)? {
        guard record.count >= claimLength + headLength else { return nil }
        let end = claimLength + headLength
        var lines = unsafe RecordLines(UnsafeRawBufferPointer(rebasing: record[claimLength..<end]))
        guard let finalized = unsafe lines.next(named: "finalized"), finalized.count == 16,
            let length = unsafe lines.next(named: "length"), length.count == 10,
            let check = unsafe lines.next(named: "value-check").flatMap(checkNumber),
            unsafe lines.offset == headLength,
            let time = unsafe decimal(finalized).flatMap(Int64.init(exactly:)),
            let count = unsafe decimal(length).flatMap(Int.init(exactly:)), count <= Limits.value
        else { return nil }
        return (ValueSection(finalized: time, payloadLength: count), check)
    }

    /// How many bytes before the end of the head the check does not cover: its digits and the line's
    /// end.
    static let uncheckedTail = 9
}
