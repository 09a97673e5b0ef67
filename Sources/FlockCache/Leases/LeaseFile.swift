internal import SystemCalls

/// The file of a lease: what its slots say.
struct LeaseFile: ~Copyable {
    private let file: File
    private let path: String
    /// The boot that the reader is of.
    private let boot: BootID
    private(set) var slots: [Slot]

    /// What stands in a slot's two cells.
    enum Slot {
        /// Nobody has ever had it.
        case never
        case cell(LeaseCell, isSecond: Bool)
        /// Neither cell is valid. A killed process does not cause that. A power cut can, and the first change
        /// of the shard after the restart then blanks the slot, see `mendTornLeases`.
        case damaged

        var cell: LeaseCell? { if case .cell(let cell, _) = self { cell } else { nil } }
    }

    /// Reads a file's slots.
    init(_ file: consuming File, path: String, boot: BootID) throws(Errno) {
        let size = try file.status().size
        let bytes = try file.contents(
            upTo: min(size, LeaseCell.bytesPerSlot * Limits.slots))
        self.file = file
        self.path = path
        self.boot = boot
        slots = Self.slots(in: bytes, boot)
    }

    private static func slots(in bytes: [UInt8], _ boot: BootID) -> [Slot] {
        unsafe bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: LeaseCell.bytesPerSlot).map { start in
                let middle = min(bytes.count, start + LeaseCell.byteCount)
                let end = min(bytes.count, start + LeaseCell.bytesPerSlot)
                return unsafe slot(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<middle]),
                    UnsafeRawBufferPointer(rebasing: bytes[middle..<end]), boot)
            }
        }
    }

    private static func slot(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, _ boot: BootID
    ) -> Slot {
        func isBlank(_ bytes: UnsafeRawBufferPointer) -> Bool {
            unsafe bytes.allSatisfy { $0 == 0 }
        }
        switch unsafe (LeaseCell(first), LeaseCell(second)) {
        case (let a?, let b?):
            return a.sequence > b.sequence ? .cell(a, isSecond: false) : .cell(b, isSecond: true)
        case (let a?, nil):
            // The other was being written: when the power was cut, or nobody's fault.
            return unsafe isBlank(second) || a.place.boot != boot
                ? .cell(a, isSecond: false) : .damaged
        case (nil, let b?):
            return unsafe isBlank(first) || b.place.boot != boot
                ? .cell(b, isSecond: true) : .damaged
        case (nil, nil): return unsafe isBlank(first) && isBlank(second) ? .never : .damaged
        }
    }

    func slot(_ index: Int) -> Slot { index < slots.count ? slots[index] : .never }

    /// The slot that a generation was granted, and what it says.
    func slot(of generation: Store.Generation) -> (index: Int, cell: LeaseCell)? {
        for (index, slot) in slots.enumerated() {
            if let cell = slot.cell, cell.generation == generation { return (index, cell) }
        }
        return nil
    }

    /// The highest generation that any slot has.
    var highest: Store.Generation { slots.reduce(0) { max($0, $1.cell?.generation ?? 0) } }

    var isDamaged: Bool { slots.contains { if case .damaged = $0 { true } else { false } } }

    /// The sequence of the cell that is written to a slot next.
    func nextSequence(of index: Int) -> UInt64 {
        slot(index).cell.map { $0.sequence + 1 } ?? 0
    }

    /// Writes what a slot says from now on.
    func write(_ cell: LeaseCell, in index: Int, durably: Bool) throws(StoreError) {
        var cell = cell
        cell.sequence = nextSequence(of: index)
        var isSecond = false
        if case .cell(_, let wasSecond) = slot(index) { isSecond = !wasSecond }
        let place = index * LeaseCell.bytesPerSlot + (isSecond ? LeaseCell.byteCount : 0)
        let bytes = cell.bytes
        try attempt("write", path) { () throws(Errno) in
            try file.write(bytes, at: place)
            if durably { try file.sync() }
        }
    }
}

extension OpenStore {
    /// The directory of a shard's leases; nil when it is not there and is not to be made.
    func leaseDirectory(_ shard: Int, making: Bool) throws(StoreError) -> Directory? {
        do throws(Errno) {
            return try root.openDirectory(beneath: Layout.leasePath(shard))
        } catch {
            guard error == .noEntry else {
                throw StoreError(error, "open", path: leaseDirectoryPath(shard))
            }
        }
        guard making else { return nil }
        _ = try locksDirectory()
        try files.makeDirectory(Layout.leases, in: root)
        let leases = try attempt("open", path) { () throws(Errno) in
            try root.openDirectory(Layout.leases)
        }
        try files.makeDirectory(Layout.shard(shard), in: leases, at: Layout.leasePath(shard))
        return try attempt("open", path) { () throws(Errno) in
            try leases.openDirectory(Layout.shard(shard))
        }
    }

    /// A lease's file; nil when there is none and none is to be made.
    ///
    /// What is made is empty, which says that nobody ever had the lease: whoever is killed behind that has
    /// left nothing to clean up.
    ///
    /// - Parameter writing: for who only looks, false: then it need not be permitted.
    func leaseFile(
        _ name: EntryName, making: Bool, writing: Bool = true
    ) throws(StoreError) -> LeaseFile? {
        guard let directory = try leaseDirectory(name.shard, making: making) else { return nil }
        let path = leasePath(name)
        let boot = try place().boot
        while true {
            do throws(Errno) {
                let access: Directory.Access = writing && !isReadOnly ? .readWrite : .read
                let file = try directory.open(name.ready, access)
                guard try file.status().isRegular else { throw Errno.notADirectory }
                return try LeaseFile(file, path: path, boot: boot)
            } catch {
                guard error == .noEntry else { throw StoreError(error, "open", path: path) }
            }
            guard making else { return nil }
            try attempt("make", path) { () throws(Errno) in
                try marker.makeFile(name.ready, in: directory, of: root)
                if isDurable { try directory.sync() }
            }
        }
    }

    /// All that has ever been leased; what is in the way is passed over.
    func leaseNames(_ pass: Pass) throws(StoreError) -> [EntryName] {
        let directory = "\(path)/" + String(decoding: Layout.leases.bytes, as: UTF8.self)
        let areAny = try pass.part { () throws(StoreError) in
            try attempt("open", directory) { () throws(Errno) in
                do throws(Errno) {
                    _ = try root.openDirectory(Layout.leases)
                    return true
                } catch {
                    if error == .noEntry { return false }
                    throw error
                }
            }
        }
        var names: [EntryName] = []
        guard areAny == true else { return names }
        for shard in 0..<Layout.shardCount {
            let found = try pass.part { () throws(StoreError) in
                try leaseNames(in: shard, pass)
            }
            names += found ?? []
        }
        return names
    }

    private func leaseNames(in shard: Int, _ pass: Pass) throws(StoreError) -> [EntryName] {
        guard let directory = try leaseDirectory(shard, making: false) else { return [] }
        var names: [EntryName] = []
        var planted: [EntryName] = []
        try attempt("list", leaseDirectoryPath(shard)) { () throws(Errno) in
            try unsafe directory.forEachFile { bytes, mayBeRegular in
                if let name = unsafe EntryName(shard: shard, encoded: Array(bytes)) {
                    if mayBeRegular { names.append(name) } else { planted.append(name) }
                }
                return true
            }
        }
        for name in planted { pass.notice(.planted(leasePath(name))) }
        return names
    }

    func leasePath(_ name: EntryName) -> String {
        leaseDirectoryPath(name.shard) + "/" + String(decoding: name.encoded, as: UTF8.self)
    }

    private func leaseDirectoryPath(_ shard: Int) -> String {
        "\(path)/" + String(decoding: Layout.leasePath(shard).bytes, as: UTF8.self)
    }
}
