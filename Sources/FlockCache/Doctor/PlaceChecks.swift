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
        let (magic, isReadOnly) = try attempt("look at the file system of", store.path) {
            () throws(Errno) in try store.root.fileSystem()
        }
        let kind = FileSystemKind(magic: magic)
        let mount = store.root.path.flatMap { Mount.of(path: $0) }
        let options = mount.map { " (\($0.options.joined(separator: ",")))" } ?? ""
        let found = kind.name + options
        if isReadOnly {
            return Finding(
                .warning, "file-system", "\(found), mounted read-only",
                "values can be read; to change anything, mount it read-write")
        }
        let harmful =
            mount?.options.filter {
                ["nolock", "local_lock=all", "local_lock=posix", "soft"].contains($0)
            } ?? []
        if !harmful.isEmpty {
            return Finding(
                .failed, "file-system", found,
                "mounted with \(harmful.joined(separator: " and ")): locks do not exclude other machines, or "
                    + "changes get lost; mount it without")
        }
        switch kind.trust {
        case .local: return Finding(.ok, "file-system", found)
        case .network:
            return Finding(
                .warning, "file-system", "\(found), on a network",
                "accepted, but not tested; prefer a local disk")
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

/// A line of `/proc/self/mountinfo`.
struct Mount {
    let options: [String]

    /// The mount that a path is on; nil where `/proc` does not tell.
    static func of(path: [UInt8]) -> Mount? {
        guard let text = Process.contents(of: "/proc/self/mountinfo", upTo: 4 << 20) else {
            return nil
        }
        var found: (length: Int, options: [String])?
        for line in text.split(separator: UInt8(ascii: "\n")) {
            // The mount point is field 5, its options are field 6; behind " - " come type, source and the
            // options of the file system.
            let fields = line.split(separator: UInt8(ascii: " "))
            guard fields.count > 6 else { continue }
            let point = unescaped(fields[4])
            guard isBelow(path, point), point.count >= found?.length ?? 0 else { continue }
            let own = String(decoding: fields[5], as: UTF8.self).split(separator: ",")
            let others = String(decoding: fields[fields.count - 1], as: UTF8.self).split(
                separator: ",")
            found = (point.count, (own + others.filter { !own.contains($0) }).map(String.init))
        }
        return found.map { Mount(options: $0.options) }
    }

    private static func isBelow(_ path: [UInt8], _ point: [UInt8]) -> Bool {
        guard path.starts(with: point) else { return false }
        return path.count == point.count || point.count == 1
            || path[point.count] == UInt8(ascii: "/")
    }

    /// Spaces and the like stand there as `\040`.
    private static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                result.append(code)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}
