internal import SystemCalls

/// `locks/shards`: a header of 64 bytes and a block of 64 bytes for each shard.
///
/// A shard's mutex is the lock on the first byte of its block; the header's is the lock on byte 0.
/// Blocks are read and written through the descriptor that has the mutex, so that state and mutex
/// cannot come apart.
final class ShardFile: Sendable {
    private let file: LockFile
    private let storePath: String
    private var path: String { Self.path(in: storePath) }
    /// Otherwise the store can only be read: blocks are not written, and mutexes taken shared.
    let isWritable: Bool
    /// Whether the blocks are of this file; false for a copy that can only be read.
    private let isOurs: Bool
    private let isLocal: Bool

    /// Behind the blocks, in a file of a program that knows of it: a word that is not 0 once there was a board.
    ///
    /// It is never cleared.
    static let boardWord = 64 + Layout.shardCount * ShardBlock.byteCount
    static let byteCount = boardWord + 64

    /// Opens the file, making it if need be, and sees to it that its blocks are of this very file.
    init(of store: StoreFiles) throws(StoreError) {
        storePath = store.path
        isLocal = store.isLocal
        let opened = try Self.open(of: store)
        isWritable = opened.isWritable
        file = opened.file
        isOurs = try Self.own(file, of: store, isWritable: isWritable)
    }

    private struct Opened: ~Copyable {
        let file: LockFile
        let isWritable: Bool
    }

    private static func open(of store: StoreFiles) throws(StoreError) -> Opened {
        do throws(Errno) {
            return Opened(
                file: try store.root.openLockFile(Layout.shardsPath, .readWrite), isWritable: true)
        } catch {
            switch error {
            case .noEntry: return try make(of: store)
            case .readOnly, .noPermission: break
            default: throw StoreError(error, "open", path: path(in: store.path))
            }
        }
        let file = try attempt("open", path(in: store.path)) { () throws(Errno) in
            try store.root.openLockFile(Layout.shardsPath, .read)
        }
        return Opened(file: file, isWritable: false)
    }

    private static func make(of store: StoreFiles) throws(StoreError) -> Opened {
        let locks = try store.locksDirectory()
        let file = try attempt("make", path(in: store.path)) { () throws(Errno) in
            try openOrMake(Layout.shards, in: locks, store.marker)
        }
        return Opened(file: file, isWritable: true)
    }

    /// Whether the file still has a name: otherwise its locks exclude nobody.
    func isLinked() throws(StoreError) -> Bool {
        try attempt("use", path) { () throws(Errno) in try file.isLinked() }
    }

    /// What `fstat` says of the file, to be asked after taking a lock of it; nil where it has lost its name.
    func linkedStatus() throws(StoreError) -> FileStatus? {
        try attempt("use", path) { () throws(Errno) in try file.linkedStatus() }
    }

    /// Maps the blocks; nil where that is not to be done.
    func mapped(of store: StoreFiles, _ status: FileStatus) -> MappedBlocks? {
        isWritable && isOurs ? MappedBlocks(file, of: store, status) : nil
    }

    /// Whether it is that of several stores: of one and its copies by hard links.
    func isShared() throws(StoreError) -> Bool {
        try attempt("use", path) { () throws(Errno) in try file.status().links > 1 }
    }

    func tryLock(_ shard: Int) throws(StoreError) -> Bool {
        try using("lock") { () throws(Errno) in
            try file.tryLock(isWritable ? .exclusive : .shared, at: Self.offset(shard))
        }
    }

    /// The process that has a shard's mutex; nil for none, or where it cannot be seen.
    func holder(of shard: Int) -> Int32? { LockSearch.holder(of: Self.offset(shard), in: file) }

    func unlock(_ shard: Int) { file.unlock(at: Self.offset(shard)) }

    /// A shard's block; nil when it must be counted anew, but for `highest` when that can be read.
    ///
    /// - Parameter mapped: the blocks as memory, for who has the mutex.
    func read(_ shard: Int, in mapped: MappedBlocks? = nil) throws(StoreError) -> ShardBlock? {
        try unsafe withUnsafeTemporaryAllocation(byteCount: ShardBlock.byteCount, alignment: 8) {
            (bytes) throws(StoreError) in
            if let mapped {
                unsafe mapped.read(bytes, at: Self.offset(shard))
                return unsafe ShardBlock(UnsafeRawBufferPointer(bytes))
            }
            let count = try using("read") { () throws(Errno) in
                try unsafe file.read(into: bytes, at: Self.offset(shard))
            }
            guard isOurs, count == bytes.count else { return nil }
            return unsafe ShardBlock(UnsafeRawBufferPointer(bytes))
        }
    }

    func write(_ block: ShardBlock, of shard: Int, to mapped: MappedBlocks? = nil) throws(Errno) {
        guard let mapped, mapped.isWritten else {
            return try Self.write(block, of: shard, to: file)
        }
        unsafe withUnsafeTemporaryAllocation(byteCount: ShardBlock.byteCount, alignment: 8) {
            unsafe block.write(to: $0)
            unsafe mapped.write(
                UnsafeRawBufferPointer($0), at: Self.offset(shard), isMarked: block.changer != 0)
        }
    }

    private static func write(
        _ block: ShardBlock, of shard: Int, to file: borrowing LockFile
    ) throws(Errno) {
        try unsafe withUnsafeTemporaryAllocation(byteCount: ShardBlock.byteCount, alignment: 8) {
            (bytes) throws(Errno) in
            unsafe block.write(to: bytes)
            try unsafe file.write(UnsafeRawBufferPointer(bytes), at: offset(shard))
        }
    }

    /// All blocks as they are now, by one read; nil where a block cannot be relied on.
    func readAll() throws(StoreError) -> [ShardBlock?] {
        let found = try using("read") { () throws(Errno) in
            // A network file system reads again what it remembers of a file when a lock of it is taken.
            let isLocked = isLocal ? false : try file.tryLock(.shared, at: Self.readingByte)
            defer { if isLocked { file.unlock(at: Self.readingByte) } }
            return try file.contents(upTo: Self.byteCount)
        }
        return (0..<Layout.shardCount).map { isOurs ? Self.block($0, in: found) : nil }
    }

    /// Says of a call that fails because a server has taken this host's locks back that this is why.
    private func using<R>(
        _ operation: String, _ body: () throws(Errno) -> R
    ) throws(StoreError) -> R {
        do throws(Errno) {
            return try body()
        } catch {
            guard !isLocal, error == .inputOutput else {
                throw StoreError(error, operation, path: path)
            }
            throw .refusedWithoutLocks(operation, path)
        }
    }

    /// A byte that is never locked exclusively.
    private static let readingByte = 1

    private static func offset(_ shard: Int) -> Int { 64 + shard * ShardBlock.byteCount }

    // MARK: The header

    /// A copied store carries the blocks of the original, which say nothing of it.
    ///
    /// The header names the file it was written in; where that is another, every block is declared
    /// unknown.
    ///
    /// Every opener does this before it takes a mutex, so nobody is in a change of a file whose header
    /// does not match.
    private static func own(
        _ file: borrowing LockFile, of store: StoreFiles, isWritable: Bool
    ) throws(StoreError) -> Bool {
        let storePath = store.path
        let status = try attempt("use", path(in: storePath)) { () throws(Errno) in try file.status()
        }
        // Of one file system each of several hosts may have another device number.
        let header = header(device: store.isLocal ? status.device : 0, inode: status.inode)
        if try attempt("read", path(in: storePath), { () throws(Errno) in try has(header, file) }) {
            return true
        }
        guard isWritable else { return false }
        let limit = TimeLimit(Limits.patience)
        while try !attempt(
            "lock", path(in: storePath), { () throws(Errno) in try file.tryLock(.exclusive, at: 0) }
        ) {
            if limit.isOver {
                throw .stuck(
                    path(in: storePath), behind: LockSearch.holder(of: 0, in: file),
                    after: Limits.patience)
            }
            sleep(nanoseconds: 1_000_000)
        }
        defer { file.unlock(at: 0) }
        try attempt("write", path(in: storePath)) { () throws(Errno) in
            if try has(header, file) { return }
            let found = try file.contents(upTo: byteCount)
            for shard in 0..<Layout.shardCount {
                var block = ShardBlock()
                block.highest = Self.block(shard, in: found)?.highest ?? 0
                try write(block, of: shard, to: file)
            }
            // Whoever makes a board from now on finds the header, and says so after it.
            let hasBoard = try store.root.status(of: Layout.board) != nil
            try write(hasBoard: hasBoard, to: file)
            try file.write(header, at: 0)
        }
        return true
    }

    private static func write(hasBoard: Bool, to file: borrowing LockFile) throws(Errno) {
        let word = [hasBoard ? 1 : 0] + [UInt8](repeating: 0, count: byteCount - boardWord - 1)
        try file.write(word, at: boardWord)
    }

    /// Says that there is a board, before anybody waits on it; in a file of an older program it says nothing.
    func noteBoard() throws(Errno) {
        guard isWritable, isOurs, try file.status().size >= Self.byteCount else { return }
        var word: UInt64 = 0
        try unsafe withUnsafeMutableBytes(of: &word) { (bytes) throws(Errno) in
            _ = try unsafe file.read(into: bytes, at: Self.boardWord)
        }
        if word == 0 { try Self.write(hasBoard: true, to: file) }
    }

    private static func block(_ shard: Int, in file: [UInt8]) -> ShardBlock? {
        let start = offset(shard)
        guard start + ShardBlock.byteCount <= file.count else { return nil }
        return unsafe file.withUnsafeBytes {
            unsafe ShardBlock(
                UnsafeRawBufferPointer(rebasing: $0[start..<start + ShardBlock.byteCount]))
        }
    }

    private static func has(_ header: [UInt8], _ file: borrowing LockFile) throws(Errno) -> Bool {
        try file.contents(upTo: header.count) == header
    }

    /// The text `flock-cache shards 1 DEVICE INODE`, spaces up to 63 bytes, and a line's end.
    ///
    /// The device is 0 on a network.
    private static func header(device: UInt64, inode: UInt64) -> [UInt8] {
        var header = [UInt8]()
        header.reserveCapacity(64)
        header.append(contentsOf: "flock-cache shards 1 ".utf8)
        appendDecimal(device, to: &header)
        header.append(UInt8(ascii: " "))
        appendDecimal(inode, to: &header)
        while header.count < 63 { header.append(UInt8(ascii: " ")) }
        header.append(UInt8(ascii: "\n"))
        return header
    }

    /// For messages.
    private static func path(in store: String) -> String {
        StoreFiles.lockFile(Layout.shards, in: store)
    }
}
