internal import SystemCalls

/// The file that makes a directory a store: the format's version, and settings for everybody.
package struct Marker: Equatable, Sendable {
    /// Permissions of the store's directories; those of files are the same without execution.
    package var mode: UInt32 = 0o700
    /// Every change is on the device before it is acknowledged.
    package var isDurable = false
    /// Every change is told in a journal.
    ///
    /// Such a marker has version 2, so that a program that would change the store without telling refuses it.
    package var hasJournal = false

    package init() {}

    init(mode: UInt32, isDurable: Bool, hasJournal: Bool = false) {
        self.mode = mode
        self.isDurable = isDurable
        self.hasJournal = hasJournal
    }

    /// How long the file is at most.
    static let mostBytes = 4096
    private static let modes: [UInt32] = [0o700, 0o750, 0o770]

    /// Whether others than the owner may use the store: then permissions are set whatever the umask.
    var isShared: Bool { mode & 0o070 != 0 }
    var fileMode: UInt32 { mode & 0o666 }
    /// With the set-group-ID bit where it is shared, so that all of it has one group.
    var directoryMode: UInt32 { isShared ? mode | 0o2000 : mode }

    var text: [UInt8] {
        Array(
            """
            flock-cache \(hasJournal ? "\(Limits.newestFormat)\njournal: yes" : "\(Limits.format)")
            mode: 0\(String(mode, radix: 8))
            durable: \(isDurable ? "yes" : "no")

            """.utf8)
    }

    /// What a marker file can be.
    enum Reading: Equatable {
        case marker(Marker)
        case newer(Int)
        /// Incomplete: what a power cut leaves of a marker that was not synchronised.
        case torn
        case notAMarker
    }

    /// Names of settings that this version does not know are passed over.
    static func read(_ text: [UInt8]) -> Reading {
        let reading = readWhole(text)
        return reading == .notAMarker && isTorn(text) ? .torn : reading
    }

    /// Whether the text is the beginning of a marker of this version, or empty, followed by NULs or nothing.
    ///
    /// File systems may keep the size of a file and lose its contents. Newer programs synchronise the marker,
    /// so an incomplete one is never theirs.
    private static func isTorn(_ text: [UInt8]) -> Bool {
        let end = text.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0
        let begun = text[..<end]
        return modes.contains { mode in
            [0, 1, 2, 3].contains { settings in
                let whole = Marker(
                    mode: mode, isDurable: settings & 1 != 0, hasJournal: settings & 2 != 0
                ).text
                return text.count <= mostBytes && begun.count < whole.count
                    && whole.starts(with: begun)
            }
        }
    }

    private static func readWhole(_ text: [UInt8]) -> Reading {
        unsafe text.withUnsafeBytes { bytes in
            var lines = unsafe RecordLines(bytes)
            guard let first = unsafe lines.next(named: "flock-cache", separator: UInt8(ascii: " ")),
                let version = unsafe decimal(first).flatMap(Int.init(exactly:)), version >= 1
            else { return .notAMarker }
            guard version <= Limits.newestFormat else { return .newer(version) }
            var marker = Marker()
            // Without it, it is no marker of that version.
            if version > Limits.format {
                guard let journal = unsafe lines.next(named: "journal"),
                    unsafe journal.elementsEqual("yes".utf8)
                else { return .notAMarker }
                marker.hasJournal = true
            }
            while unsafe lines.offset < bytes.count {
                if let mode = unsafe lines.next(named: "mode") {
                    guard let mode = unsafe octal(mode), Self.isAcceptable(mode: mode) else {
                        return .notAMarker
                    }
                    marker.mode = mode
                } else if let durable = unsafe lines.next(named: "durable") {
                    marker.isDurable = unsafe durable.elementsEqual("yes".utf8)
                } else if unsafe !lines.skip() {
                    return .notAMarker
                }
            }
            return .marker(marker)
        }
    }

    /// The owner has everything, others nothing, the group nothing, reading or everything.
    package static func isAcceptable(mode: UInt32) -> Bool {
        modes.contains(mode)
    }
}
