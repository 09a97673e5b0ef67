internal import SystemCalls

/// The file that makes a directory a store: the format's version, and settings for everybody.
package struct Marker: Equatable, Sendable {
    /// Permissions of the store's directories; those of files are the same without execution.
    package var mode: UInt32 = 0o700
    /// Every change is on the device before it is acknowledged.
    package var isDurable = false

    package init() {}

    static let version = 1

    /// Whether others than the owner may use the store: then permissions are set whatever the umask.
    var isShared: Bool { mode & 0o070 != 0 }
    var fileMode: UInt32 { mode & 0o666 }
    /// With the set-group-ID bit where it is shared, so that all of it has one group.
    var directoryMode: UInt32 { isShared ? mode | 0o2000 : mode }

    var text: [UInt8] {
        Array(
            """
            flock-cache \(Self.version)
            mode: 0\(String(mode, radix: 8))
            durable: \(isDurable ? "yes" : "no")

            """.utf8)
    }

    /// What a marker file can be.
    enum Reading: Equatable { case marker(Marker), newer(Int), notAMarker }

    /// Names of settings that this version does not know are passed over.
    static func read(_ text: [UInt8]) -> Reading {
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard text.last == UInt8(ascii: "\n"), let first = lines.first else { return .notAMarker }
        let words = first.split(separator: UInt8(ascii: " "))
        guard words.count == 2, words[0].elementsEqual("flock-cache".utf8),
            let version = decimal(words[1]).flatMap({ Int(exactly: $0) }), version >= 1
        else { return .notAMarker }
        guard version == Self.version else { return .newer(version) }
        var marker = Marker()
        for line in lines.dropFirst() where !line.isEmpty {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return .notAMarker }
            let value = line[(colon + 1)...].drop { $0 == UInt8(ascii: " ") }
            let name = line[..<colon]
            if name.elementsEqual("mode".utf8) {
                guard let mode = UInt32(String(decoding: value, as: UTF8.self), radix: 8),
                    Self.isAcceptable(mode: mode)
                else { return .notAMarker }
                marker.mode = mode
            } else if name.elementsEqual("durable".utf8) {
                marker.isDurable = value.elementsEqual("yes".utf8)
            }
        }
        return .marker(marker)
    }

    /// The owner has everything, others nothing, the group nothing, reading or everything.
    package static func isAcceptable(mode: UInt32) -> Bool {
        mode == 0o700 || mode == 0o750 || mode == 0o770
    }
}

/// The number that decimal digits make; nil for anything else, and beyond 64 bits.
func decimal(_ digits: some Collection<UInt8>) -> UInt64? {
    guard !digits.isEmpty else { return nil }
    var value: UInt64 = 0
    for byte in digits {
        guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
        let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflowed) = scaled.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
        if overflow || overflowed { return nil }
        value = sum
    }
    return value
}
