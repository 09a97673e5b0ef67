// Entries: the two files of a key, and counting them.
//
//   neither          absent
//   NAME.pending     PENDING
//   NAME             READY
//   both             READY and being computed again, if the claim has the higher generation; otherwise the claim is
//                    debris of a killed finalize
//
// Reading takes no lock, and only three misses (NAME, NAME.pending, NAME) are "absent": a finalize can pass between
// two. A claim that is not complete means "being written" without the shard's mutex, and "left by a killed process"
// with it.

internal import SystemCalls

// The two files of a key: reading them, and telling a claim from what a killed finalize left.

extension StoreFiles {
    /// What the file of a claim holds.
    enum PendingFile {
        case none
        case torn
        case whole(ClaimSection)
    }

    /// Reads `NAME.pending`.
    ///
    /// Without the mutex "torn" means that it may be being written; with it, that a killed process
    /// left it.
    ///
    /// One that is empty and may not be read was made in a shared store under a file creation mask, by a process
    /// that was killed before it set the permissions: torn.
    func readPending(_ name: EntryName, in directory: Directory) throws(StoreError) -> PendingFile {
        do throws(StoreError) {
            return try readWholePending(name, in: directory)
        } catch {
            guard marker.isShared, error.systemError == Errno.noPermission.code,
                let status = try? directory.status(of: name.pending), status.isRegular,
                status.size == 0
            else { throw error }
            return .torn
        }
    }

    private func readWholePending(
        _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> PendingFile {
        try withRecord(name.pending, of: name, in: directory) { (file) throws(Errno) in
            try ClaimSection.read(file).map { .whole($0) } ?? .torn
        } ?? .none
    }

    /// The generation of the READY record; nil when there is none, 0 when it cannot be read.
    func readyGeneration(
        _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> Store.Generation? {
        try readyHeads(name, in: directory).map { $0?.generation ?? 0 }
    }

    /// The heads of the READY record; nil when there is none, and a nil in that when they cannot be read.
    func readyHeads(
        _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> ReadyFile.Heads?? {
        try withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
            // The same judgement as of who reads the value: otherwise they could wait for each other.
            let status = try file.status()
            return status.isRegular
                ? try ReadyFile.readHeads(file, of: name, size: status.size) : nil
        }
    }

    /// The claim beside a READY record, if it is one to compute it anew.
    func standingClaim(
        _ name: EntryName, besideReady generation: Store.Generation, in directory: Directory
    ) throws(StoreError) -> ClaimSection? {
        guard case .whole(let claim) = try readPending(name, in: directory),
            claim.stands(beside: generation)
        else { return nil }
        return claim
    }

    /// Runs a closure with an opened file of an entry; nil when there is none.
    @inline(__always)
    func withRecord<R>(
        _ file: FileName, of name: EntryName, in directory: Directory,
        _ access: Directory.Access = .read, _ body: (consuming File) throws(Errno) -> R
    ) throws(StoreError) -> R? {
        var operation = "open the record"
        do throws(Errno) {
            let record = try openRecord(file, in: directory, access)
            operation = "read"
            return try body(record)
        } catch {
            if error == .noEntry { return nil }
            throw StoreError(error, operation, path: self.file(file, in: name.shard))
        }
    }

    private func openRecord(
        _ file: FileName, in directory: Directory, _ access: Directory.Access
    ) throws(Errno) -> File {
        do throws(Errno) {
            return try directory.open(file, access)
        } catch {
            guard error == .tooManyFiles || error == .tooManyFilesInSystem else { throw error }
            forgetDirectories()
            return try directory.open(file, access)
        }
    }
}

extension ClaimSection {
    /// Whether it counts beside the READY record that is there, if one is.
    ///
    /// A claim to compute the value anew has a higher generation. Anything else is what a killed finalize left.
    func stands(beside ready: Store.Generation?) -> Bool { generation > ready ?? 0 }

    /// The claim section at the start of a file; nil if there is no whole one.
    static func read(_ file: borrowing File) throws(Errno) -> ClaimSection? {
        try unsafe withText(of: file) { section, _ in section }
    }

    /// The claim section at the start of a file, and its text.
    static func readText(
        _ file: borrowing File
    ) throws(Errno) -> (section: ClaimSection, text: [UInt8])? {
        try unsafe withText(of: file) { section, text in unsafe (section, [UInt8](text)) }
    }

    private static func withText<R>(
        of file: borrowing File, _ body: (ClaimSection, UnsafeRawBufferPointer) -> R
    ) throws(Errno) -> R? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: mostBytes, alignment: 8) {
            (buffer) throws(Errno) in
            // Written by one call, so one read has it all; less is torn, and looked at again.
            let count = try unsafe file.readOnce(into: buffer, at: 0)
            let bytes = unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            guard let (section, length) = unsafe parse(bytes) else { return nil }
            return unsafe body(section, UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        }
    }
}
