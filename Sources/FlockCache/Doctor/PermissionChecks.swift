internal import SystemCalls

// Whether all of the store has the permissions of its marker.

extension Doctor {
    func checkPermissions() {
        check("permissions") { () throws(StoreError) in try permissions() }
    }

    private func permissions() throws(StoreError) -> Finding {
        var wrong: [String] = []
        var isOpen = false
        try forEachPart { path, status in
            // What is being made has private names, and permissions of its own for a moment.
            let wanted = store.marker.mode & (status.isDirectory ? 0o777 : 0o666)
            if status.mode & 0o002 != 0 { isOpen = true }
            if status.mode & wanted != wanted || status.mode & 0o007 & ~wanted != 0 {
                wrong.append("\(path) (0\(String(status.mode & 0o777, radix: 8)))")
            }
        }
        guard wrong.isEmpty else {
            let mode = store.marker.mode
            let advice =
                mode & 0o070 == 0
                ? "chmod -R u+rwX,go-rwx"
                : mode & 0o020 == 0
                    ? "chmod -R u+rwX,g+rX,o-rwx" : "chmod -R u+rwX,g+rwX,o-rwx"
            return Finding(
                isOpen ? .failed : .warning, "permissions",
                "\(some(wrong, of: wrong.count)) where the store has 0\(String(mode, radix: 8))"
                    + (isOpen ? ", and any user can write" : ""),
                "\(advice) \(store.path)")
        }
        return Finding(.ok, "permissions", "as the store's mode says")
    }

    /// The directories and the files of locks; records have the modes that they are written with.
    private func forEachPart(_ body: (String, FileStatus) -> Void) throws(StoreError) {
        let parts: [FileName] = [
            Layout.marker, Layout.board, Layout.locks, Layout.entries, Layout.leases,
            Layout.journal,
            Layout.damaged,
        ]
        try attempt("look at the permissions of", store.path) { () throws(Errno) in
            body(".", try store.root.status())
            for part in parts {
                if let status = try store.root.status(of: part) { body(text(part.bytes), status) }
            }
            for part in [Layout.locks, Layout.entries, Layout.leases] {
                guard try store.root.status(of: part) != nil else { continue }
                let directory = try store.root.openDirectory(part)
                var names: [FileName] = []
                try unsafe directory.forEachName { name in
                    unsafe names.append(FileName(name))
                    return true
                }
                for name in names {
                    guard let status = try directory.status(of: name) else { continue }
                    body("\(text(part.bytes))/\(text(name.bytes))", status)
                }
            }
        }
    }
}
