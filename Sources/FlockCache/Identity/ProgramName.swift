internal import SystemCalls

/// The name of this process's program, as `/proc/self/comm` has it, encoded for a record.
enum ProgramName {
    static let own: [UInt8] = ClaimSection.encode(command: plain)

    /// The same as it is.
    static let plain: [UInt8] =
        Process.contents(of: "/proc/self/comm", upTo: 64)
        .map { Array($0.prefix { $0 != UInt8(ascii: "\n") }) } ?? []
}
