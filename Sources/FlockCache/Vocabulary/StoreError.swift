// Vocabulary: the types that callers and every layer share: keys, values, holders, errors, limits, settings. No
// file is opened here.

internal import SystemCalls

/// What went wrong, with what, why, and who is in the way.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// The kinds of failure.
    ///
    /// Busy, absent and damaged are results, not errors.
    @nonexhaustive public enum Code: Hashable, Sendable {
        /// A wait ended; also when a change was stuck for ten seconds behind a stopped process.
        case timedOut
        /// The claim is somebody else's by now, or gone; nothing was changed.
        case claimLost
        /// The lease is somebody else's by now; nothing was changed.
        case leaseLost
        /// A lock was lost while it was held: its file was removed, and another process may have had it too.
        case lockLost
        /// Waiting could never end: it would go downwards in the order of keys, or for oneself.
        case wouldDeadlock
        /// The change may have happened or not: the system failed after the decisive step. Look again.
        case unknownOutcome
        /// The key is empty or too long.
        case invalidKey
        /// A journal has no record of that number, nor is it the next one's.
        case invalidNumber
        /// A journal's record is larger than 16 MiB.
        case invalidRecord
        /// A journal's record was trimmed; the message names the first one that is kept.
        case trimmed
        /// A journal's record or segment fails its check.
        case damaged
        /// The directory is not a store, or part of it is missing or is something else.
        case notAStore
        /// The file system is not known to keep the promises.
        case unsupportedFileSystem
        /// The store was made by a newer version.
        case incompatibleFormat
        /// The system does not permit it, or the store is somebody else's.
        case permissionDenied
        /// The store would be made inside another user's home directory, its path begins with `~`, or it keeps no
        /// journal of its changes though one is needed.
        case badConfiguration
        /// The store is on a file system mounted read-only.
        case readOnly
        /// The value of the key is no decimal number of 64 bits, or was damaged; nothing was counted.
        case notANumber
        /// The device, a quota or a file-size limit is full, or the value has more than 1 GiB.
        case noSpace
        /// Anything else that the system refuses.
        case inputOutput
    }

    /// The kind of failure.
    public let code: Code
    /// What was tried, in words: "claim", "open the store".
    public let operation: String
    /// The file or directory concerned.
    public let path: String?
    /// The key concerned.
    public let key: Store.Key?
    /// The system's `errno`, if there was one.
    public let systemError: Int32?
    /// Who is in the way.
    public let holder: Store.Holder?
    /// Why, and what to do, in words.
    let reason: String
    /// Whether a record was corrupt, and has been set aside.
    package let isDamage: Bool

    init(
        _ code: Code, _ operation: String, path: String? = nil, key: Store.Key? = nil,
        systemError: Int32? = nil, holder: Holder? = nil, reason: String, isDamage: Bool = false
    ) {
        self.code = code
        self.operation = operation
        self.path = path
        self.key = key
        self.systemError = systemError
        self.holder = holder
        self.reason = reason
        self.isDamage = isDamage
    }

    /// One line: what was tried, on what, why it failed, what to do.
    public var description: String {
        var text = "cannot \(operation)"
        if let key { text += " '\(key)'" }
        if let path {
            // "open PATH", but "open the store at PATH".
            let isObject = key == nil && !operation.contains(" ")
            text += (isObject ? " " : " at ") + printable(path)
        }
        return text + ": " + reason
    }
}

extension StoreError {
    /// What Foundation's `localizedDescription` shows of an error that it knows nothing of.
    ///
    /// `LocalizedError` is Foundation's, which this library does not link.
    public var _domain: String { "FlockCache: \(self);" }
}

/// Text with what a terminal would obey made visible.
package func printable(_ text: String) -> String {
    if text.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) { return text }
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x202a...0x202e, 0x2066...0x2069:
            result += "\\x" + String(scalar.value, radix: 16)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
