internal import SystemCalls

// How directories and files of a store are made, private or shared.
//
// What a process makes has the permissions asked for less its file creation mask (umask). The command has none; a
// library cannot change it, because it is the whole process's. So in a shared store what is made gets a private name
// first, then its permissions, and then its own name: a process killed in between leaves a private name, and never
// something of the store that the other users may not use. `reap` removes private names after an hour.

extension Marker {
    /// Makes a directory unless it is there, with the permissions that all of the store have; false if it
    /// was there.
    func makeDirectory(
        _ name: FileName, in parent: Directory, of root: Directory
    ) throws(Errno) -> Bool {
        guard isShared else {
            do throws(Errno) {
                try parent.makeDirectory(name, mode: directoryMode)
            } catch {
                if error == .exists { return false }
                throw error
            }
            return true
        }
        // The common case, also for a loser of the race to make it.
        if try parent.status(of: name) != nil { return false }
        let hidden = try Self.privateName()
        do throws(Errno) {
            try makeNew(hidden, in: root)
            let directory = try root.openDirectory(hidden)
            try setMode(of: directory)
            // It is made elsewhere, and would not inherit it; where it cannot be set, a full disk is an error.
            if parent.writesInPlace { try? directory.writeInPlace() }
            try root.renameNew(hidden, to: name, in: parent)
            return true
        } catch {
            _ = try? root.removeDirectory(hidden)
            switch error {
            case .exists: return false
            case .invalid: return try makeDirectly(name, in: parent)
            default: throw error
            }
        }
    }

    /// For file systems that cannot rename without replacing.
    ///
    /// Killed between its two steps it leaves, in a library's shared store, a directory without what the
    /// file creation mask took.
    private func makeDirectly(_ name: FileName, in parent: Directory) throws(Errno) -> Bool {
        do throws(Errno) {
            try makeNew(name, in: parent)
        } catch {
            if error == .exists { return false }
            throw error
        }
        do throws(Errno) {
            try setMode(of: parent.openDirectory(name))
        } catch {
            // Otherwise it would stay, and keep the others out.
            _ = try? parent.removeDirectory(name)
            throw error
        }
        return true
    }

    /// Makes a new file and opens it for writing, with the permissions that all of the store have.
    ///
    /// A process that opens it between the two steps meets the permissions that the file creation mask left.
    ///
    /// - Throws: `.exists` where the name is taken. Where the permissions cannot be set no file is left.
    func create(_ name: FileName, in directory: Directory) throws(Errno) -> File {
        let file = try directory.open(name, .createNew(mode: fileMode))
        guard isShared else { return file }
        do throws(Errno) {
            try file.changeMode(to: fileMode)
        } catch {
            try directory.unlink(name)
            throw error
        }
        return file
    }

    /// Makes an empty file unless it is there, with the permissions that all of the store have.
    ///
    /// - Parameter parent: a directory of the store, or of one of its directories.
    func makeFile(_ name: FileName, in parent: Directory, of root: Directory) throws(Errno) {
        do throws(Errno) {
            guard isShared else {
                _ = try parent.open(name, .createNew(mode: fileMode))
                return
            }
            let hidden = try Self.privateName()
            let file = try create(hidden, in: root)
            if parent.writesInPlace { try? file.writeInPlace() }
            do throws(Errno) {
                try root.renameNew(hidden, to: name, in: parent)
            } catch {
                _ = try? root.unlink(hidden)
                guard error == .invalid else { throw error }
                // Killed between its two steps it leaves a file without what the file creation mask took.
                _ = try create(name, in: parent)
            }
        } catch {
            if error != .exists { throw error }
        }
    }

    /// Gives a directory the permissions that all of a shared store have.
    ///
    /// One that has them is left alone: a sandbox may forbid to set the set-group-id bit, also where it is
    /// set.
    func setMode(of directory: Directory) throws(Errno) {
        guard try directory.status().mode & 0o7777 != directoryMode else { return }
        try directory.changeMode(to: directoryMode)
    }

    /// A name in the store's directory that is no part of the store, and that no other process has.
    static func privateName() throws(Errno) -> FileName {
        FileName(Layout.markerPrefix + hexadecimal(try randomBits(), digits: 16))
    }

    /// A sandbox that forbids the set-group-id bit (systemd's `RestrictSUIDSGID=`, which `DynamicUser=`
    /// implies) refuses it in `mkdir` too; the kernel sets it all the same where the parent has it.
    private func makeNew(_ name: FileName, in parent: Directory) throws(Errno) {
        do throws(Errno) {
            try parent.makeDirectory(name, mode: directoryMode)
        } catch {
            let setGroup: UInt32 = 0o2000
            guard error == .notPermitted, directoryMode & setGroup != 0,
                try parent.status().mode & setGroup != 0
            else { throw error }
            try parent.makeDirectory(name, mode: directoryMode & ~setGroup)
        }
    }
}

extension StoreFiles {
    /// The directory that keeps damaged records, made if need be.
    func damagedDirectory() throws(StoreError) -> Directory {
        try makeDirectory(Layout.damaged, in: root)
        return try attempt("open", file(Layout.damaged, in: nil)) { () throws(Errno) in
            try root.openDirectory(Layout.damaged)
        }
    }
}
