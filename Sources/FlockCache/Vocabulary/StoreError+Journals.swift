// What is said of journals.

extension StoreError {
    static func damagedSegment(_ path: String) -> StoreError {
        StoreError(
            .damaged, "use the segment", path: path,
            reason: "it is not a complete segment of a journal; restore it from a copy, or move it "
                + "away, which drops its records")
    }

    /// - Parameter next: a later record that can be read, where there is one.
    static func damagedRecord(
        _ number: UInt64, at offset: Int, in path: String, next: UInt64?
    ) -> StoreError {
        StoreError(
            .damaged, "read record \(number) of the segment", path: path,
            reason: "its check fails, at offset \(offset): the file was changed, or a power cut "
                + "took what was not on the device yet; "
                + (next.map { "the records from \($0) on can be read (--from \($0))" }
                    ?? "no later record can be read"))
    }

    static func trimmed(_ name: Store.Key, _ number: UInt64, first: UInt64) -> StoreError {
        StoreError(
            .trimmed, "read record \(number) of the journal", key: name,
            reason: "it was trimmed; the first record that is kept is \(first) (--from \(first))")
    }

    static func numberBeyond(_ name: Store.Key, _ number: UInt64, last: UInt64) -> StoreError {
        StoreError(
            .invalidNumber, "read the journal", key: name,
            reason: "record \(number) is beyond the next one: "
                + (last == 0 ? "there is none yet" : "the last one is \(last)"))
    }

    static func numberZero(_ name: Store.Key) -> StoreError {
        StoreError(
            .invalidNumber, "read the journal", key: name,
            reason: "there is no record 0: the first one is 1")
    }

    static func recordTooLarge(_ name: Store.Key) -> StoreError {
        StoreError(
            .invalidRecord, "append to the journal", key: name,
            reason: "a record has at most 16 MiB; nothing was appended; store it elsewhere, and "
                + "append where it is")
    }

    /// A record of a durable store that was written, and of which it could not be told whether it is read.
    static func unknownAppend(
        _ number: UInt64, _ path: String, _ error: StoreError
    ) -> StoreError {
        StoreError(
            .unknownOutcome, "append to the journal", path: path,
            systemError: error.systemError,
            reason: "\(error.reason), after the record was written; it may become record "
                + "\(number): look again")
    }

    static func lostToFailedSync(_ number: UInt64, _ path: String) -> StoreError {
        StoreError(
            .inputOutput, "append to the segment", path: path,
            reason: "another process met an error of the device, and closed the segment before "
                + "record \(number); nothing was appended; append again")
    }
}
