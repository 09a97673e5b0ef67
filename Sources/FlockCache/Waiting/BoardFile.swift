internal import SystemCalls

/// The file of the board: how it is made and found.
///
/// It is made whole under a private name, with all its blocks, and then linked: whoever finds it can map
/// it without meeting a hole, whose first use on a full disk would end the process. The header names the
/// file it was written in, because a copy has holes.
enum BoardFile {
    private static let version: UInt64 = 3

    /// Opens the board of a store; nil where there is none to be had, and waits poll.
    ///
    /// - Parameter making: for whoever is about to wait. Where nobody ever waited nobody needs it.
    static func open(of store: StoreFiles, making: Bool) -> Board? {
        guard store.mapsBoard, !store.isReadOnly else { return nil }
        // Twice more: somebody may make or replace it at the same moment.
        for _ in 0..<3 {
            do throws(Errno) {
                switch try find(in: store.root) {
                case .usable(let board): return board
                case .notForUs: return nil
                case .none:
                    guard making, try make(in: store, replacing: false) else { return nil }
                case .useless:
                    guard making, try make(in: store, replacing: true) else { return nil }
                }
            } catch {
                // No space, no permission, no such call: what the board is for works without it.
                return nil
            }
        }
        return nil
    }

    /// What a board says, for who may not map it and only looks; nil where there is none.
    static func bytes(of store: StoreFiles) -> [UInt8]? {
        guard let file = try? store.root.open(Layout.board, .read), let status = try? file.status(),
            status.isRegular, status.size == BoardLayout.byteCount,
            let bytes = try? file.contents(upTo: BoardLayout.byteCount),
            bytes.starts(with: header(of: status))
        else { return nil }
        return bytes
    }

    private enum Found {
        case none
        case usable(Board)
        /// Of a later version of this program, which others use; or it cannot be mapped.
        case notForUs
        /// Of an earlier version, a copy, cut, or not a board.
        case useless
    }

    private static func find(in root: Directory) throws(Errno) -> Found {
        let file: File
        do throws(Errno) {
            file = try root.open(Layout.board, .readWrite)
        } catch {
            if error == .noEntry { return .none }
            throw error
        }
        let status = try file.status()
        guard status.isRegular else { return .useless }
        let text = try file.contents(upTo: 64)
        if let version = version(of: text), version > self.version { return .notForUs }
        guard text == header(of: status), status.size == BoardLayout.byteCount,
            status.allocated >= BoardLayout.byteCount
        else { return .useless }
        return Board(file).map { .usable($0) } ?? .notForUs
    }

    /// Makes the board; true when there is one to be found now.
    private static func make(in store: StoreFiles, replacing: Bool) throws(Errno) -> Bool {
        let root = store.root
        let name = FileName(Layout.markerPrefix + hexadecimal(try randomBits(), digits: 16))
        do throws(Errno) {
            let file = try store.marker.create(name, in: root)
            try file.allocate(BoardLayout.byteCount)
            try file.write(header(of: try file.status()), at: 0)
            if try hasLockTable(root) {
                let end = UInt64(bitPattern: Board.doubt.nanoseconds)
                try file.write(
                    unsafe withUnsafeBytes(of: end) { unsafe Array($0) }, at: BoardLayout.doubt)
            }
            if replacing {
                try root.rename(name, to: Layout.board)
                return true
            }
            do throws(Errno) {
                try root.link(name, as: Layout.board)
            } catch {
                if error != .exists { throw error }
            }
        } catch {
            _ = try? root.unlink(name)
            throw error
        }
        try root.unlink(name)
        return true
    }

    /// Whether somebody may wait for a lock, or hold one: then another board may have been in use.
    private static func hasLockTable(_ root: Directory) throws(Errno) -> Bool {
        var isThere = false
        do throws(Errno) {
            try unsafe root.openDirectory(Layout.locks).forEachName { name in
                isThere = isThere || name.count == 2
                return !isThere
            }
        } catch {
            if error != .noEntry { throw error }
        }
        return isThere
    }

    /// The text `flock-cache board 3 DEVICE INODE`, spaces up to 63 bytes, and a line's end.
    private static func header(of status: FileStatus) -> [UInt8] {
        var header = title + Array("\(version) \(status.device) \(status.inode)".utf8)
        while header.count < 63 { header.append(UInt8(ascii: " ")) }
        header.append(UInt8(ascii: "\n"))
        return header
    }

    private static func version(of header: [UInt8]) -> UInt64? {
        guard header.starts(with: title) else { return nil }
        let digits = header.dropFirst(title.count).prefix { $0 != UInt8(ascii: " ") }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    private static let title = Array("flock-cache board ".utf8)
}
