internal import SystemCalls

/// What finalizing came to.
package struct Finalized: Sendable {
    /// The generation of the claim.
    package let generation: Store.Generation
    /// Whether the key was READY from the same claim already with another value, which stays.
    package var differs = false
}

/// A value that is READY, compared with one that comes in pieces and is not kept.
///
/// The file stays open: what is compared is what was found, whatever becomes of its name.
final class ValueComparison {
    private let file: File
    /// Where in the file the value begins, and how long it is.
    private let start: Int
    private let length: Int
    private var position = 0
    private var isSame = true

    /// The value of a READY record; a record that is not whole is like no value.
    init(_ file: consuming File, of name: EntryName) throws(Errno) {
        let heads = try ReadyFile.readHeads(file, of: name)
        self.file = file
        // A number that is counted is of no claim.
        start = heads?.valueStart ?? 0
        length = heads.flatMap { $0.valueStart == nil ? nil : $0.valueLength } ?? -1
    }

    /// Compares the next piece.
    func take(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
        defer { position += bytes.count }
        guard isSame, position + bytes.count <= length else {
            isSame = false
            return
        }
        let there = try file.contents(upTo: bytes.count, at: start + position)
        isSame = unsafe there.elementsEqual(bytes)
    }

    /// Whether all that came is another value.
    var differs: Bool { !isSame || position != length }
}
