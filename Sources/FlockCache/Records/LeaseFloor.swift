internal import SystemCalls

/// What stays of leases whose records were removed: their highest generation.
struct LeaseFloor {
    let generation: Store.Generation

    static let mostBytes = 128

    init(_ generation: Store.Generation) { self.generation = generation }

    var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-highest", decimal: UInt64(Limits.format), separator: " ")
        text.line("generation", decimal: generation)
        text.check()
        return text.bytes
    }

    /// nil where it is not complete.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-highest", separator: UInt8(ascii: " ")).flatMap(
                decimal)
                == UInt64(Limits.format),
            let generation = unsafe lines.next(named: "generation").flatMap(decimal),
            generation <= Limits.generation, unsafe lines.check()
        else { return nil }
        self.generation = generation
    }
}
