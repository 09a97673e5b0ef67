internal import SystemCalls

// How the directories of a store are made, private or shared.

extension Marker {
    /// Makes a directory unless it is there, with the permissions that all of the store have; false if it
    /// was there.
    ///
    /// Killed between its two steps it leaves, in a library's shared store, a directory without what the
    /// file creation mask took; the command has no such mask.
    func makeDirectory(_ name: FileName, in parent: Directory) throws(Errno) -> Bool {
        do throws(Errno) {
            try makeNew(name, in: parent)
        } catch {
            if error == .exists { return false }
            throw error
        }
        if isShared {
            do throws(Errno) {
                try setMode(of: parent.openDirectory(name))
            } catch {
                // Otherwise it would stay, and keep the others out.
                _ = try? parent.removeDirectory(name)
                throw error
            }
        }
        return true
    }

    /// Gives a directory the permissions that all of a shared store have.
    ///
    /// One that has them is left alone: a sandbox may forbid to set the set-group-id bit, also where it is
    /// set.
    func setMode(of directory: Directory) throws(Errno) {
        guard try directory.status().mode & 0o7777 != directoryMode else { return }
        try directory.changeMode(to: directoryMode)
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
