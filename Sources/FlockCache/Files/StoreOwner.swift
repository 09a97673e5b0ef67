internal import SystemCalls

// Whose store it is: one's own, one that another user shares, or a stranger's.
//
// In a user namespace, users and groups without a number there are all shown as one number, the overflow number
// (65534 unless the system says otherwise). This process, the owner of a store, and the store's group may each be
// shown so without being the same. So an equal number is confirmed by what the kernel permits, which judges by the
// users and groups themselves.

extension StoreFiles {
    /// Refuses a store that another user could use to make this process write elsewhere, or to read what it
    /// writes.
    ///
    /// A process that can rename or replace the store's directories can make others write elsewhere.
    ///
    /// - Returns: what `stat` says of the store's directory.
    @discardableResult
    static func checkOwner(
        _ root: Directory, _ path: String, _ marker: Marker
    ) throws(StoreError) -> FileStatus {
        let (status, parent, isOwned) = try attempt("open the store", path) { () throws(Errno) in
            let status = try root.status()
            let isOwned = status.user == Process.user ? try root.isOwned() : false
            return (status, try root.status(of: ".."), isOwned)
        }
        if !isOwned {
            guard marker.isShared else { throw .ownedByAnother(path, status.user) }
            try checkMembership(status, path)
        }
        if status.mode & 0o002 != 0 { throw .openToTheWorld(path, "its directory") }
        if let parent, parent.mode & 0o002 != 0 && parent.mode & 0o1000 == 0 {
            throw .openToTheWorld(path, "the directory it lies in")
        }
        return status
    }

    /// Refuses a store that another user shares with a group of which this process is no member.
    ///
    /// Judged by the ids and not by what may be opened: root may open everything, and would leave its values
    /// to that user, and act on what that user wrote. Root's own stores are for all that they admit.
    ///
    /// A group that is shown as the overflow number may be any group. Where other users have no permission for
    /// the directory, the kernel has admitted this process as a member by opening it: in a user namespace no
    /// capability counts for a file whose group has no number there.
    private static func checkMembership(
        _ status: FileStatus, _ path: String
    ) throws(StoreError) {
        guard status.user != 0 else { return }
        let isMember = try attempt("open the store", path) { () throws(Errno) in
            guard try Process.isInGroup(status.group) else { return false }
            return status.mode & 0o007 == 0 || status.group != Process.overflowGroup
        }
        guard isMember else { throw .notAMember(path, status) }
    }
}
