internal import SystemCalls

// The machine: what the kernel offers, the clock, processes that hold lock files that were removed.

extension Doctor {
    func checkMachine() {
        check("kernel") { () throws(StoreError) in kernel() }
        check("clock") { () throws(StoreError) in try clock() }
        check("lock-files") { () throws(StoreError) in lockFiles() }
    }

    private func kernel() -> Finding {
        let place = (try? store.placeIfKnown()) ?? nil
        guard place != nil else {
            return Finding(
                .failed, "kernel", "/proc is missing: holders cannot be told apart",
                "mount it (mount -t proc proc /proc)")
        }
        let own = (try? ProcessIdentity(of: Process.id)) ?? nil
        guard own != nil else {
            return Finding(
                .warning, "kernel", "this process cannot be identified through /proc",
                "whether a claim's owner is running is unknown; use --stale-after")
        }
        return Finding(.ok, "kernel", "/proc, boot id and process identities are available")
    }

    /// No generation can be higher than the clock was when it was given.
    private func clock() throws(StoreError) -> Finding {
        let now = WallClock.microseconds
        // 2024: before this program was.
        guard now > 1_704_067_200_000_000 else {
            return Finding(
                .failed, "clock", "the wall clock is before 2024",
                "set it; ages and --max-age are wrong")
        }
        let blocks = try store.shards.fileForReading()?.readAll() ?? []
        let highest = blocks.compactMap { $0?.highest }.max() ?? 0
        let ahead = clampedDifference(Int64(clamping: highest), now)
        if ahead > 60_000_000 {
            return Finding(
                .warning, "clock",
                "it was ahead by \(Duration.microseconds(ahead).spoken) once, or is behind now",
                "generations still rise, but ages may be wrong; synchronise the clock (chrony, ntpd)"
            )
        }
        return Finding(.ok, "clock", "not behind what the store has recorded")
    }

    /// Processes that lock a file of this store that was removed: they exclude nobody.
    private func lockFiles() -> Finding {
        guard let path = store.root.path else {
            return Finding(.warning, "lock-files", "not looked for: /proc does not tell")
        }
        let beginning = path + Array("/locks/".utf8)
        let end = Array(" (deleted)".utf8)
        var holders: [String] = []
        var unseen = 0
        for process in processes() {
            guard let targets = descriptors(of: process) else {
                unseen += 1
                continue
            }
            if targets.contains(where: {
                $0.starts(with: beginning) && $0.suffix(end.count) == end[...]
            }) {
                let command = ProcessStatus(of: process).map { " (\(text($0.command)))" } ?? ""
                holders.append("pid \(process)\(command)")
            }
        }
        guard holders.isEmpty else {
            return Finding(
                .failed, "lock-files",
                "removed while in use by \(some(holders, of: holders.count)): their locks exclude nobody",
                "end these processes, and keep cleaners out of the store")
        }
        return Finding(
            .ok, "lock-files",
            unseen == 0
                ? "none was removed while in use"
                : "none was removed while in use, as far as this user can see")
    }

    func processes() -> [Int32] {
        var found: [Int32] = []
        // Where /proc cannot be read, "kernel" has said so.
        try? unsafe Directory.open(path: "/proc").forEachName { name in
            if let number = unsafe Int32(String(decoding: name, as: UTF8.self)) {
                found.append(number)
            }
            return true
        }
        return found
    }

    /// What a process has open; nil where that may not be seen.
    private func descriptors(of process: Int32) -> [[UInt8]]? {
        var targets: [[UInt8]] = []
        let path = "/proc/\(process)/fd"
        do throws(Errno) {
            try unsafe Directory.open(path: FileName(Array(path.utf8))).forEachName { name in
                let file = unsafe FileName(Array((path + "/").utf8) + Array(name))
                if let target = Process.target(of: file) { targets.append(target) }
                return true
            }
        } catch {
            // Ended meanwhile.
            return error == .noEntry || error == .noSuchProcess ? [] : nil
        }
        return targets
    }
}
