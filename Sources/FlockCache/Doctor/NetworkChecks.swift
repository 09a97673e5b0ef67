internal import SystemCalls

// What only matters where several machines share the store: `docs/reference/file-systems.md`.

extension Doctor {
    func checkNetwork() {
        guard !store.isLocal else { return }
        check("server-lease") { () throws(StoreError) in serverLease() }
        check("host-name") { () throws(StoreError) in hostName() }
        check("mounts") { () throws(StoreError) in mounts() }
        if !store.isReadOnly {
            check("server-clock") { () throws(StoreError) in try serverClock() }
        }
    }

    private func serverLease() -> Finding {
        guard let lease = store.files.serverLease else {
            return Finding(.ok, "server-lease", "the server takes back no locks of this host")
        }
        return Finding(
            .ok, "server-lease",
            "locks of a host that is out of contact are kept for \(lease.spoken); then 'lock' and 'run' end with 76"
        )
    }

    /// The kernel's own name for this machine as a client, beside its host name.
    private static let identifiers: [FileName] = [
        "/sys/fs/nfs/net/nfs_client/identifier", "/sys/module/nfs/parameters/nfs4_unique_id",
    ]

    private func hostName() -> Finding {
        let name = HostName.encoded.map { text($0) } ?? "unknown"
        let found = Self.identifiers.compactMap { Process.contents(of: $0, upTo: 256) }
        guard store.files.isLeased, !found.isEmpty else { return Finding(.ok, "host-name", name) }
        let isSet = found.contains { identifier in
            let word = identifier.prefix { $0 != UInt8(ascii: "\n") }
            return !word.isEmpty && !word.elementsEqual("(null)".utf8)
        }
        guard !isSet else {
            return Finding(.ok, "host-name", "\(name), with a unique identifier for the server")
        }
        return Finding(
            .warning, "host-name",
            "\(name), and no nfs4_unique_id: another host of this name would take this host's locks",
            "give hosts different names, or set the nfs module's parameter nfs4_unique_id, such as to the content of "
                + "/etc/machine-id")
    }

    /// Mounts of the same export in all mount namespaces that can be seen: containers have their own.
    private func mounts() -> Finding {
        let own: MountTable.Entry?
        do throws(Errno) {
            own = try MountTable().entry(of: store.root)
        } catch {
            own = nil
        }
        guard let own else {
            return Finding(.warning, "mounts", "the table of mounts does not tell", "mount /proc")
        }
        var twins: Set<String> = []
        for table in mountTables() {
            guard let twin = table.twin(of: own) else { continue }
            twins.insert(text(twin.point))
        }
        guard twins.isEmpty else {
            return Finding(
                .failed, "mounts",
                "the export is mounted a second time on this host, with a cache of its own: "
                    + some(twins.sorted(), of: twins.count),
                "mount it once, and bind-mount it elsewhere, also into containers")
        }
        if own.options.contains(where: { FileSystemKind.softOptions.contains(text($0)) }) {
            return Finding(
                .failed, "mounts", "mounted with soft: changes may fail half-way",
                "mount it with hard")
        }
        return Finding(.ok, "mounts", "once on this host, as far as this user can see")
    }

    private func mountTables() -> [MountTable] {
        var seen: Set<UInt64> = []
        var tables: [MountTable] = []
        for process in processes() {
            let path = "/proc/\(process)/"
            // What ends meanwhile, and what this user may not see, is passed over.
            guard let namespace = Process.namespace(FileName(path + "ns/mnt")),
                seen.insert(namespace).inserted,
                let table = try? MountTable(path: FileName(path + "mountinfo"))
            else { continue }
            tables.append(table)
        }
        return tables
    }

    /// By how much the clocks of this machine and of the server differ, in nanoseconds: what matters is `--max-age`
    /// and the ages that are shown.
    private static let clockTolerance: Int64 = 1_000_000_000

    private func serverClock() throws(StoreError) -> Finding {
        let (before, time, after) = try attempt("try out", store.path) { () throws(Errno) in
            let name = try Marker.privateName()
            let before = WallClock.nanoseconds
            let file = try store.marker.create(name, in: store.root)
            // Where it cannot be removed, `reap` does so in an hour.
            defer { _ = try? store.root.unlink(name) }
            return (before, try file.status().modified, WallClock.nanoseconds)
        }
        let ahead = max(
            clampedDifference(time, after), clampedDifference(before, time))
        guard ahead > Self.clockTolerance else {
            return Finding(.ok, "server-clock", "as the clock of this host")
        }
        return Finding(
            .warning, "server-clock",
            "differs from this host's by \(Duration.nanoseconds(ahead).spoken)",
            "synchronise the clocks (chrony, ntpd): --max-age and the ages of values go by them; leases and "
                + "--stale-after do not")
    }
}
