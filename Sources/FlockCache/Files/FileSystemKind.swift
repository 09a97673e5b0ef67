/// Which file systems can keep the promises, by the magic number `statfs(2)` gives.
///
/// An allow-list: 9p, virtiofs and FUSE can grant a lock that somebody else holds and say nothing
/// (measured for 9p), and no test from inside can find that out.
struct FileSystemKind: Equatable {
    let name: String
    let trust: Trust

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
