internal import SystemCalls

/// Which file systems can keep the promises, by the magic number `statfs(2)` gives.
///
/// An allow-list: 9p, virtiofs and FUSE can grant a lock that somebody else holds and say nothing
/// (measured for 9p), and no test from inside can find that out.
struct FileSystemKind: Equatable {
    let name: String
    let trust: Trust
    /// Whether a server holds the locks of this machine, and takes them back when it does not hear from it: NFSv4.
    var isLeased = false

    /// Whether a file of it can be mapped for sharing without harm.
    ///
    /// Not on a network, whose hosts share no memory, and not on btrfs: when it was full, every page of a
    /// preallocated map faulted. The others have not been tried.
    var mapsBoard: Bool {
        switch name {
        case "ext4", "xfs", "tmpfs", "overlayfs": true
        default: false
        }
    }

    /// Whether it can have directories in which names that differ by case mean one file, and says so by
    /// `FS_CASEFOLD_FL`.
    ///
    /// An overlay shows what lies below it.
    var mayFoldCase: Bool {
        switch name {
        case "ext4", "f2fs", "tmpfs", "overlayfs": true
        default: false
        }
    }

    enum Trust {
        /// Local, known to keep the promises.
        case local
        /// On a network, with a lock manager that keeps them.
        case network
        /// Not known to keep them.
        case none
    }

    /// Whether anybody has tried what this program needs of it, of those on a network.
    var isMeasured: Bool { name == "nfs" }

    /// Whether the table of mounts may call it so.
    ///
    /// The kernel's names, of `file_system_type` in the file systems' sources.
    func isMounted(as type: String) -> Bool {
        switch name {
        case "ext4": ["ext2", "ext3", "ext4"].contains(type)
        case "tmpfs": ["tmpfs", "devtmpfs", "rootfs"].contains(type)
        case "overlayfs": type == "overlay"
        case "nfs": ["nfs", "nfs4"].contains(type)
        case "gfs2": ["gfs2", "gfs2meta"].contains(type)
        default: type == name
        }
    }

    /// One that the table of mounts calls so, and that is not what it says itself.
    init(mountedAs type: String) {
        (name, trust) = (type, .none)
    }

    /// The option of a mount that keeps its locks from other hosts; nil for none.
    ///
    /// Of NFSv3: version 4 has locks in its protocol, and ignores these. `local_lock=flock` keeps only locks of
    /// `flock(2)` here (nfs(5)).
    static func lockingOption(_ mount: Mount) -> String? {
        guard mount.kind == .of(type: "nfs") else { return nil }
        return mount.options.split(separator: ",").map(String.init).first {
            ["nolock", "local_lock=all", "local_lock=posix"].contains($0)
        }
    }

    /// Whether calls fail when the server does not answer for a while, perhaps in the middle of a change (nfs(5)).
    static func isSoft(_ mount: Mount) -> Bool {
        mount.options.split(separator: ",").contains { softOptions.contains(String($0)) }
    }

    static let softOptions: Set = ["soft", "softerr"]

    /// Numbers from include/uapi/linux/magic.h, and from the file systems' sources for those not in it.
    init(magic: UInt64) {
        (name, trust) =
            switch magic {
            case 0xef53: ("ext4", .local)
            case 0x5846_5342: ("xfs", .local)
            case 0x9123_683e: ("btrfs", .local)
            case 0x0102_1994: ("tmpfs", .local)
            case 0x794c_7630: ("overlayfs", .local)
            case 0xf2f5_2010: ("f2fs", .local)
            case 0x2fc1_2fc1: ("zfs", .local)
            case 0x6969: ("nfs", .network)
            case 0x00c3_6400: ("ceph", .network)
            case 0x0bd0_0bd0: ("lustre", .network)
            case 0x0116_1970: ("gfs2", .network)
            case 0x0102_1997: ("9p", .none)
            case 0x6573_5546: ("fuse", .none)
            case 0xff53_4d42: ("cifs", .none)
            case 0xfe53_4d42: ("smb2", .none)
            case 0x4d44: ("vfat", .none)
            case 0x2011_bab0: ("exfat", .none)
            case 0x8584_58f6: ("ramfs", .none)
            case 0x9fa0: ("proc", .none)
            default: ("0x" + String(magic, radix: 16), .none)
            }
    }
}
