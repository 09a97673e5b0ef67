internal import SystemCalls

/// The names in a shard, as they were under its mutex.
struct ShardNames {
    /// By the names of their READY records.
    var entries: [[UInt8]: Files] = [:]
    var temporaries: [FileName] = []
    /// Names of the same kinds, but not of regular files: whatever it is, it is no part of the store.
    var planted: [FileName] = []
    private let wanted: Wanted

    struct Files {
        var hasReady = false
        var hasPending = false
    }

    enum Wanted {
        case all
        /// Claims and temporaries, until as many were found.
        ///
        /// Reading a large directory is dear, 0.7 µs a name on tmpfs, and the newest names often come first.
        case unfinished(pending: Int, temporaries: Int)

        static let allUnfinished = Wanted.unfinished(pending: .max, temporaries: .max)
    }

    /// Whether what was wanted has been found before the end.
    var isEnough: Bool {
        guard case .unfinished(let pending, let wantedTemporaries) = wanted else { return false }
        return entries.count >= pending && temporaries.count >= wantedTemporaries
    }

    init(_ wanted: Wanted) { self.wanted = wanted }

    /// Passes over what is no name of ours.
    ///
    /// - Parameter mayBeRegular: false for the name of something that is no regular file for sure.
    mutating func add(_ name: UnsafeBufferPointer<UInt8>, mayBeRegular: Bool) {
        let suffix = PercentCode.pendingSuffix
        let isPending =
            unsafe name.last == suffix.last && name.count > suffix.count
            && name.suffix(suffix.count).elementsEqual(suffix)
        if case .unfinished = wanted, !isPending, unsafe name.first != UInt8(ascii: ".") { return }
        let isTemporary = unsafe Layout.temporarySession(of: name) != nil
        let entry = unsafe [UInt8](isPending ? name.dropLast(suffix.count) : name[...])
        guard isTemporary || PercentCode.decode(entry) != nil else { return }
        if !mayBeRegular {
            unsafe planted.append(FileName(name))
        } else if isTemporary {
            unsafe temporaries.append(FileName(name))
        } else if isPending {
            entries[entry, default: Files()].hasPending = true
        } else {
            entries[entry, default: Files()].hasReady = true
        }
    }
}

extension StoreFiles {
    /// Reads a shard's names.
    ///
    /// Whoever needs every key once holds the mutex: without it a listing missed and repeated keys.
    func names(
        in directory: Directory, of shard: Int, _ wanted: ShardNames.Wanted = .all
    ) throws(StoreError) -> ShardNames {
        var names = ShardNames(wanted)
        try attempt("list", file(Layout.shard(shard), in: nil)) { () throws(Errno) in
            try unsafe directory.forEachFile { name, mayBeRegular in
                unsafe names.add(name, mayBeRegular: mayBeRegular)
                return !names.isEnough
            }
        }
        return names
    }
}
