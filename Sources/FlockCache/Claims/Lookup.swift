internal import SystemCalls

/// The state of a key as a reader finds it, without a lock.
enum Lookup {
    case absent
    case ready(ReadyFile)
    /// READY, and claimed anew by somebody who wanted it fresher.
    case readyAndPending(ReadyFile, ClaimSection)
    case pending(ClaimSection)
    /// A claim that is not whole: being written, or left by a killed process.
    case torn
    /// `NAME` fails its check, as seen without the mutex.
    case damaged
}

extension OpenStore {
    /// Looks a key up: `NAME`, then `NAME.pending`, then `NAME` again.
    ///
    /// Only three misses are "absent": between two looks a finalize can rename the one to the other.
    /// With `maxAge`, a claim beside a READY record that is older is looked for as well.
    ///
    /// - Parameter looksAgain: false where "absent" only means to look under the mutex.
    func lookUp(
        _ name: EntryName, _ key: Store.Key, maxAge: Duration? = nil, looksAgain: Bool = true
    ) throws(StoreError) -> Lookup {
        guard let directory = try shardDirectory(name.shard, making: false) else { return .absent }
        if let found = try lookAtReady(name, key, maxAge: maxAge, in: directory) { return found }
        switch try readPending(name, in: directory) {
        case .torn: return .torn
        case .whole(let claim): return .pending(claim)
        case .none:
            guard looksAgain else { return .absent }
            return try lookAtReady(name, key, maxAge: maxAge, in: directory) ?? .absent
        }
    }

    private func lookAtReady(
        _ name: EntryName, _ key: Store.Key, maxAge: Duration?, in directory: Directory
    ) throws(StoreError) -> Lookup? {
        let reading = try withRecord(name.ready, of: name, in: directory) {
            (file) throws(Errno) in try ReadyFile.read(file, name, key)
        }
        switch reading {
        case nil: return nil
        case .damaged: return .damaged
        case .ready(let ready, let modified):
            guard ready.isOlder(than: maxAge) else {
                recordUse(of: name, modified, in: directory)
                return .ready(ready)
            }
            if let claim = try standingClaim(
                name, besideReady: ready.generation, in: directory)
            {
                return .readyAndPending(ready, claim)
            }
            return .ready(ready)
        }
    }

    /// Use is the modification time, renewed when it is older than a minute, so that eviction knows
    /// what is least recently used without a write per read.
    ///
    /// A time in the future is of a clock that was ahead, and is set right: it would keep the value for ever. The
    /// same minute is for file systems whose times are another machine's.
    private func recordUse(of name: EntryName, _ modified: Int64, in directory: Directory) {
        let age = clampedDifference(WallClock.nanoseconds, modified)
        guard !isReadOnly, age > Self.useResolution || age < -Self.useResolution else { return }
        // A hint for eviction: where it cannot be written, the entry only looks older than it is.
        try? directory.touch(name.ready)
    }

    /// Nanoseconds.
    static let useResolution: Int64 = 60_000_000_000

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
        try readyHeads(name, in: directory).map { $0?.claim.generation ?? 0 }
    }

    /// The heads of the READY record; nil when there is none, and a nil in that when they cannot be read.
    func readyHeads(
        _ name: EntryName, in directory: Directory
    ) throws(StoreError) -> ReadyFile.Heads?? {
        try withRecord(name.ready, of: name, in: directory) { (file) throws(Errno) in
            // The same judgement as of who reads the value: otherwise they could wait for each other.
            try file.status().isRegular ? try ReadyFile.readHeads(file, of: name) : nil
        }
    }

    /// The claim beside a READY record, if it is one to compute it anew: of a higher generation.
    ///
    /// Anything else there is what a killed finalize left.
    func standingClaim(
        _ name: EntryName, besideReady generation: Store.Generation, in directory: Directory
    ) throws(StoreError) -> ClaimSection? {
        guard case .whole(let claim) = try readPending(name, in: directory),
            claim.generation > generation
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
    /// The claim section at the start of a file; nil if there is no whole one.
    static func read(_ file: borrowing File) throws(Errno) -> ClaimSection? {
        try withText(of: file) { section, _ in section }
    }

    /// The claim section at the start of a file, and its text.
    static func readText(
        _ file: borrowing File
    ) throws(Errno) -> (section: ClaimSection, text: [UInt8])? {
        try withText(of: file) { section, text in (section, [UInt8](text)) }
    }

    private static func withText<R>(
        of file: borrowing File, _ body: (ClaimSection, UnsafeRawBufferPointer) -> R
    ) throws(Errno) -> R? {
        try withUnsafeTemporaryAllocation(byteCount: mostBytes, alignment: 8) {
            (buffer) throws(Errno) in
            // Written by one call, so one read has it all; less is torn, and looked at again.
            let count = try file.readOnce(into: buffer, at: 0)
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            guard let (section, length) = parse(bytes) else { return nil }
            return body(section, UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        }
    }
}
