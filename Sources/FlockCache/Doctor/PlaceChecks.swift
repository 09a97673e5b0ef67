internal import SystemCalls

// Where the store is: its directory, its file system, the room on it.

extension Doctor {
    func checkPlace() {
        check("store") { () throws(StoreError) in storeFinding() }
        check("file-system") { () throws(StoreError) in try fileSystem() }
        check("space") { () throws(StoreError) in try space() }
    }

    private func storeFinding() -> Finding {
        let marker = store.marker
        let settings =
            "mode 0\(String(marker.mode, radix: 8))"
            + (marker.isDurable ? ", durable" : "") + (marker.hasJournal ? ", journal" : "")
        let path = store.root.path.map { text($0) } ?? store.path
        for temporary in ["/tmp/", "/var/tmp/", "/dev/shm/"] where (path + "/").hasPrefix(temporary)
        {
            return Finding(
                .warning, "store", "\(path) (\(settings)) is in \(temporary.dropLast())",
                temporary == "/dev/shm/"
                    ? "it is lost at a restart; use /var/lib or /var/cache for what is to last"
                    : "cleaners of old files work there; use /var/lib, /var/cache or /run")
        }
        return Finding(.ok, "store", "\(path) (\(settings))")
    }

    private func fileSystem() throws(StoreError) -> Finding {
        let (kind, isReadOnly) = try StoreFiles.checkFileSystem(
            store.root, store.path, allowing: session.configuration.allowedFileSystems)
        let mount = try attempt("look at the mount of", store.path) { () throws(Errno) in
            try store.root.mount(withOptions: true)
        }
        let options = mount?.options.split(separator: ",").map(String.init) ?? []
        let found = kind.name + (options.isEmpty ? "" : " (\(options.joined(separator: ",")))")
        if isReadOnly {
            return Finding(
                .warning, "file-system", "\(found), mounted read-only",
                "values can be read; to change anything, mount it read-write")
        }
        let harmful =
            (mount.flatMap { FileSystemKind.lockingOption($0) }.map { [$0] } ?? [])
            + options.filter { $0 == "soft" }
        if !harmful.isEmpty {
            return Finding(
                .failed, "file-system", found,
                "mounted with \(harmful.joined(separator: " and ")): locks do not exclude other machines, or "
                    + "changes get lost; mount it without")
        }
        switch kind.trust {
        case .local: return Finding(.ok, "file-system", found)
        case .network:
            return kind.isMeasured
                ? Finding(.ok, "file-system", "\(found), on a network")
                : Finding(
                    .warning, "file-system", "\(found), on a network",
                    "allowed by name, but not measured; try it out: doctor --serve and doctor --meet"
                )
        case .none:
            return Finding(
                .warning, "file-system", "\(found), allowed by FLOCK_CACHE_ALLOW_FILE_SYSTEM",
                "it is not known to keep locks apart; use a local disk")
        }
    }

    /// What a change and its record need, with room to spare.
    private static let littleSpace: UInt64 = 16 << 20
    private static let fewInodes: UInt64 = 1000

    private func space() throws(StoreError) -> Finding {
        let (bytes, inodes) = try attempt("look at the file system of", store.path) {
            () throws(Errno) in try store.root.space()
        }
        let found =
            "\(bytes >> 20) MiB free"
            + (inodes == .max ? "" : ", \(inodes) inodes free")
        let advice = "make room, or evict values: flock-cache reap --max-bytes SIZE"
        if bytes < 64 << 10 || inodes == 0 { return Finding(.failed, "space", found, advice) }
        let isLittle = bytes < Self.littleSpace || inodes < Self.fewInodes
        return Finding(isLittle ? .warning : .ok, "space", found, isLittle ? advice : "")
    }
}
