internal import SystemCalls

/// `locks/shards`: a header of 64 bytes and a block of 64 bytes for each shard. A shard's mutex is the
/// lock on the first byte of its block; the header's is the lock on byte 0. Blocks are read and
/// written through the descriptor that has the mutex, so that state and mutex cannot come apart.
final class ShardFile: Sendable {
    private let file: LockFile
    private let path: String
    /// Otherwise the store can only be read: blocks are not written, and mutexes taken shared.
    let isWritable: Bool
    /// Whether the blocks are of this file; false for a copy that can only be read.
    private let isOurs: Bool

    static let byteCount = 64 + Layout.shardCount * ShardBlock.byteCount

    /// Opens the file, making it if need be, and sees to it that its blocks are of this very file.
    init(in locks: Directory, of store: OpenStore, path: String) throws(StoreError) {
        self.path = path
        let mode = store.marker.isShared ? store.marker.fileMode : nil
        do throws(Errno) {
            file = try openOrMake(
                Layout.shards, in: locks, fileMode: mode, defaultMode: store.marker.fileMode)
            isWritable = true
        } catch {
            guard error == .readOnly || error == .noPermission else {
                throw StoreError(error, "open", path: path)
            }
            file = try attempt("open", path) { () throws(Errno) in
                try locks.openLockFile(Layout.shards, .read)
            }
            isWritable = false
        }
        isOurs = try Self.own(file, path, isWritable: isWritable)
    }

    /// Whether the file still has a name: otherwise its locks exclude nobody.
    func isLinked() throws(StoreError) -> Bool {
        try attempt("use", path) { () throws(Errno) in try file.status().links > 0 }
    }

    func tryLock(_ shard: Int) throws(StoreError) -> Bool {
        try attempt("lock", path) { () throws(Errno) in
            try file.tryLock(isWritable ? .exclusive : .shared, at: Self.offset(shard))
        }
    }

    func unlock(_ shard: Int) { file.unlock(at: Self.offset(shard)) }

    /// A shard's block; nil when it must be counted anew, but for `highest` when that can be read.
    func read(_ shard: Int) throws(StoreError) -> ShardBlock? {
        try withUnsafeTemporaryAllocation(byteCount: ShardBlock.byteCount, alignment: 8) {
            (bytes) throws(StoreError) in
            let count = try attempt("read", path) { () throws(Errno) in
                try file.read(into: bytes, at: Self.offset(shard))
            }
            guard isOurs, count == bytes.count else { return nil }
            return ShardBlock(UnsafeRawBufferPointer(bytes))
        }
    }

    func write(_ block: ShardBlock, of shard: Int) throws(Errno) {
        try Self.write(block, of: shard, to: file)
    }

    private static func write(
        _ block: ShardBlock, of shard: Int, to file: borrowing LockFile
    ) throws(Errno) {
        try withUnsafeTemporaryAllocation(byteCount: ShardBlock.byteCount, alignment: 8) {
            (bytes) throws(Errno) in
            block.write(to: bytes)
            try file.write(UnsafeRawBufferPointer(bytes), at: offset(shard))
        }
    }

    /// All blocks as they are now, by one read; nil where a block cannot be relied on.
    func readAll() throws(StoreError) -> [ShardBlock?] {
        let found = try attempt("read", path) { () throws(Errno) in
            try file.contents(upTo: Self.byteCount)
        }
        return (0..<Layout.shardCount).map { isOurs ? Self.block($0, in: found) : nil }
    }

    private static func offset(_ shard: Int) -> Int { 64 + shard * ShardBlock.byteCount }

    // MARK: The header

    /// A copied store carries the blocks of the original, which say nothing of it. The header names
    /// the file it was written in; where that is another, every block is declared unknown.
    ///
    /// Every opener does this before it takes a mutex, so nobody is in a change of a file whose header
    /// does not match.
    private static func own(
        _ file: borrowing LockFile, _ path: String, isWritable: Bool
    ) throws(StoreError) -> Bool {
        let status = try attempt("use", path) { () throws(Errno) in try file.status() }
        let header = header(of: status)
        if try attempt("read", path, { () throws(Errno) in try has(header, file) }) { return true }
        guard isWritable else { return false }
        let deadline = BootTime.now.advanced(by: ShardMutex.patience)
        while try !attempt(
            "lock", path, { () throws(Errno) in try file.tryLock(.exclusive, at: 0) })
        {
            if BootTime.now > deadline {
                throw .stuck(path, behind: nil, after: ShardMutex.patience)
            }
            sleep(nanoseconds: 1_000_000)
        }
        defer { file.unlock(at: 0) }
        try attempt("write", path) { () throws(Errno) in
            if try has(header, file) { return }
            let found = try file.contents(upTo: byteCount)
            for shard in 0..<Layout.shardCount {
                var block = ShardBlock()
                block.highest = Self.block(shard, in: found)?.highest ?? 0
                try write(block, of: shard, to: file)
            }
            try file.write(header, at: 0)
        }
        return true
    }

    private static func block(_ shard: Int, in file: [UInt8]) -> ShardBlock? {
        let start = offset(shard)
        guard start + ShardBlock.byteCount <= file.count else { return nil }
        return file.withUnsafeBytes {
            ShardBlock(UnsafeRawBufferPointer(rebasing: $0[start..<start + ShardBlock.byteCount]))
        }
    }

    private static func has(_ header: [UInt8], _ file: borrowing LockFile) throws(Errno) -> Bool {
        try file.contents(upTo: header.count) == header
    }

    /// `flock-cache shards 1`, the device and the inode of the file, in text, with spaces to 63 bytes
    /// and a line's end.
    private static func header(of status: FileStatus) -> [UInt8] {
        var header = Array("flock-cache shards 1 \(status.device) \(status.inode)".utf8)
        header.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: 63 - header.count))
        header.append(UInt8(ascii: "\n"))
        return header
    }
}
