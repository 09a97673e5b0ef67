internal import SystemCalls

/// The name of this machine, for messages about what it holds on a network file system.
///
/// Nothing is decided by it: two machines may have one name.
enum HostName {
    /// As it is in records: percent-encoded as keys are, and cut where it is long; nil where it cannot be told.
    static var encoded: [UInt8]? {
        let text = Process.contents(of: "/proc/sys/kernel/hostname", upTo: 256) ?? []
        let name = text.prefix { $0 != UInt8(ascii: "\n") }.prefix(longest)
        return name.isEmpty ? nil : PercentCode.encode(Array(name))
    }

    private static let longest = 32
}
