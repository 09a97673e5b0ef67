internal import SystemCalls

// Who holds the locks of a store that several machines share. Their memory is not shared, so that there is no board;
// the notes that it would have are in the file `locks/holders`, each at a place of its own.
//
// As on the board a note is for messages and never for decisions: it counts only where the byte of its lock is locked
// now. The next holder writes over it; only who leaves a shared lock to others makes it say that nobody is known.

extension OpenStore {
    /// Notes who has a lock, where other machines may ask.
    ///
    /// Synchronised: the server has it before the holder goes on, and who opens the file then sees it.
    func putHolder(_ note: LockNote, at slot: Int) {
        guard !isLocal, let boot = (try? place())?.boot else { return }
        let bytes = HolderNote(note, boot: boot, host: HostName.encoded ?? []).bytes
        // A lock whose holder nobody can name is held all the same.
        try? attempt("note the holder of", path) { () throws(Errno) in
            let file = try holderFile()
            try file.writeWhole(bytes, at: slot * HolderFile.distance)
            try file.syncData()
        }
    }

    private func holderFile() throws(Errno) -> File {
        let locks = try root.openDirectory(Layout.locks)
        do throws(Errno) {
            return try locks.open(Layout.lockHolders, .readWrite)
        } catch {
            guard error == .noEntry else { throw error }
            try marker.makeFile(Layout.lockHolders, in: locks, of: root)
            return try locks.open(Layout.lockHolders, .readWrite)
        }
    }

    /// Who is noted there; nil where nobody is, or on a local file system.
    func noted(at slot: Int) -> HolderNote? {
        guard !isLocal else { return nil }
        do throws(Errno) {
            // Opened anew, which asks the server whether it has changed.
            let file = try root.openDirectory(Layout.locks).open(Layout.lockHolders, .read)
            return HolderNote(
                try file.contents(
                    upTo: HolderNote.byteCount, at: slot * HolderFile.distance))
        } catch {
            // For messages alone.
            return nil
        }
    }
}

private enum HolderFile {
    /// From one note to the next.
    static let distance = 256
}
