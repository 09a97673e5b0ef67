internal import SystemCalls

// What is said about a store that may not be where it is, or be used by this user.

extension StoreError {
    /// A path that only a shell would take for one in a home directory.
    static func tilde(_ path: String) -> StoreError {
        StoreError(
            .badConfiguration, "open the store", path: path,
            reason:
                "'~' is not expanded; begin the path with the home directory, or with './~' for a "
                + "directory of that name")
    }

    static func ownedByAnother(_ path: String, _ user: UInt32) -> StoreError {
        StoreError(
            .permissionDenied, "use the store", path: path,
            reason:
                "it belongs to user \(user), who could replace its files by links to others; run this as that user, or use a "
                + "store of your own, or one made to be shared (init --mode 0770)"
                + (user == Process.user
                    ? "; in this user namespace that number stands for every user without one" : "")
        )
    }

    /// A directory that was made just now, by this process.
    static func madeForAnother(_ path: String, _ user: UInt32) -> StoreError {
        StoreError(
            .permissionDenied, "make the store", path: path,
            reason:
                "what user \(Process.user) makes there belongs to user \(user): the server maps "
                + "\(Process.user == 0 ? "root" : "this user") to another one (root_squash); nothing was left "
                + "behind; use it as another user, or export it with no_root_squash")
    }

    static func noAccess(_ path: String, _ status: FileStatus?) -> StoreError {
        let why =
            status.map { "it \($0.ownership), and this process is \(Self.process($0.group))" }
            ?? "\(Self.barrier(on: path)) may not be entered by user \(Process.user)"
        return StoreError(
            .permissionDenied, "open the store", path: path,
            systemError: Errno.noPermission.code,
            reason: "\(Errno.noPermission.message): \(why); use a store of your own, or one made "
                + "for a group that this user is in (init --mode 0770)")
    }

    /// The directory on the way to a path that keeps this process out, as the path names it.
    private static func barrier(on path: String) -> String {
        let bytes = Array(path.utf8)
        for end in bytes.indices.dropFirst() where bytes[end] == UInt8(ascii: "/") {
            do throws(Errno) {
                // Only who may search a directory may look at what is in it.
                _ = try FileStatus.of(path: FileName(bytes[..<end] + Array("/.".utf8)))
            } catch {
                return printable(String(decoding: bytes[..<end], as: UTF8.self))
            }
        }
        return "a directory on the way to it"
    }

    static func notAMember(_ path: String, _ status: FileStatus) -> StoreError {
        let isMember = (try? Process.isInGroup(status.group)) == true
        let why =
            isMember
            ? "and in this user namespace that group may be any; take what other users may do with the "
                + "directory away (chmod o=), so that the system tells members from others"
            : "and this process is \(Self.process(status.group)); its owner could read and change what is "
                + "stored; add user \(Process.user) to the group, or use another store"
        return StoreError(
            .permissionDenied, "use the store", path: path,
            reason: "it \(status.ownership), \(why)")
    }

    private static func process(_ group: UInt32) -> String {
        let isMember = (try? Process.isInGroup(group)) == true
        return "user \(Process.user), \(isMember ? "" : "not ")a member of group \(group)"
    }

    static func inAnotherHome(_ path: String, _ home: String, _ owner: UInt32) -> StoreError {
        StoreError(
            .badConfiguration, "make the store", path: path,
            reason: "it would be in \(printable(home)), the home directory of user \(owner), who "
                + "could not use what user \(Process.user) makes there; nothing was made; set HOME "
                + "to the home directory of user \(Process.user), or name another directory "
                + "(--store, FLOCK_CACHE_DIR)")
    }

    static func openToTheWorld(_ path: String, _ what: String) -> StoreError {
        StoreError(
            .permissionDenied, "use the store", path: path,
            reason: "\(what) can be written by everybody; take that permission away (chmod o-w)")
    }
}

// File systems, and how they are mounted.

extension StoreError {
    private static func unsupported(_ path: String, _ reason: String) -> StoreError {
        StoreError(.unsupportedFileSystem, "use the store", path: path, reason: reason)
    }

    private static func allowing(_ name: String) -> String {
        "or allow it by name at your own risk (FLOCK_CACHE_ALLOW_FILE_SYSTEM=\(name); in a program "
            + "Configuration.allowedFileSystems)"
    }

    static func unsupportedFileSystem(_ path: String, _ name: String) -> StoreError {
        unsupported(
            path,
            "the file system \(name) is not known to keep locks apart; use a directory on a local disk, "
                + allowing(name))
    }

    static func unsupportedMount(_ path: String, _ name: String, _ option: String) -> StoreError {
        unsupported(
            path,
            "\(name) is mounted with \(option), so other hosts do not see its locks; mount it without, "
                + allowing(name))
    }

    static func softMount(_ path: String, _ name: String) -> StoreError {
        unsupported(
            path,
            "\(name) is mounted with soft, so a change may fail half-way when the server is slow; mount it with hard, "
                + allowing(name))
    }

    static func mountedTwice(_ path: String, _ name: String, _ other: String) -> StoreError {
        unsupported(
            path,
            "the same export is mounted a second time on this host, at \(printable(other)), with a cache of its own, so "
                + "processes of the two would not see one another's changes; mount it once and bind-mount it "
                + "elsewhere, " + allowing(name))
    }

    static func unmeasuredFileSystem(_ path: String, _ name: String) -> StoreError {
        unsupported(
            path,
            "\(name) has a lock manager, but has not been measured; use a local disk or NFSv4, \(allowing(name)) and try "
                + "it out on two hosts (flock-cache doctor --serve, doctor --meet)")
    }

    static func foldsCase(_ path: String) -> StoreError {
        unsupported(
            path,
            "the directory ignores the case of letters in names (chattr +F), so two keys that differ only by case would "
                + "be one; use a directory without that attribute")
    }
}

extension FileStatus {
    /// Whose it is and who may use it, for messages: "belongs to user 5 and group 7, with mode 2750".
    fileprivate var ownership: String {
        "belongs to user \(user) and group \(group), with mode 0\(String(mode & 0o7777, radix: 8))"
    }
}
