internal import SystemCalls

/// The name of this process's program, as `/proc/self/comm` has it.
enum ProgramName {
    static let plain: [UInt8] =
        Process.contents(of: "/proc/self/comm", upTo: 64)
        .map { Array($0.prefix { $0 != UInt8(ascii: "\n") }) } ?? []
}
