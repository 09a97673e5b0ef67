internal import SystemCalls

/// The name of this process's program.
enum ProgramName {
    static let plain: [UInt8] = Process.programName ?? []
}
