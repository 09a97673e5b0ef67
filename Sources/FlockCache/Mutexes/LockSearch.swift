internal import SystemCalls

/// Which process has a byte of a file locked, as `lslocks(8)` finds out.
///
/// The kernel names no process for a lock of an open file: it belongs to the file. But each process shows by
/// `/proc/PID/fdinfo` which locks its open files have. That takes milliseconds, so it is for error messages;
/// and only the processes of the same user are seen, by root all of this PID namespace.
enum LockSearch {
    /// The process that has the byte at an offset locked; nil for none, or where it cannot be seen.
    ///
    /// Of several that share the open file the first that is found.
    static func holder(of offset: Int, in file: borrowing LockFile) -> Int32? {
        let own = link(of: file.number, of: Process.id)
        guard let own, let inode = inode(of: file),
            let processes = try? Directory.open(path: "/proc")
        else { return nil }
        let name = own.suffix(from: own.lastIndex(of: UInt8(ascii: "/")) ?? own.startIndex)
        var found: Int32?
        // What ends while this goes on is not seen, and so is what may not be looked at.
        unsafe try? processes.forEachName { entry throws(Errno) in
            guard let process = unsafe decimal(entry).flatMap(Int32.init(exactly:)) else {
                return true
            }
            guard let target = target(of: process, at: offset, inode, name) else { return true }
            found = process
            // A file of that inode of another file system would have to be locked at the same byte; the same
            // path leaves no doubt.
            return target != own
        }
        return found
    }

    /// The path of an open file of a process that has the byte locked; nil for none.
    private static func target(
        of process: Int32, at offset: Int, _ inode: UInt64, _ name: ArraySlice<UInt8>
    ) -> [UInt8]? {
        guard let files = try? Directory.open(path: procFile("fdinfo", of: process)) else {
            return nil
        }
        var found: [UInt8]?
        unsafe try? files.forEachName { entry throws(Errno) in
            guard let number = unsafe decimal(entry).flatMap(Int32.init(exactly:)),
                // Reading a link waits for no file system; the path may be another in a container, its end
                // is not.
                let target = link(of: number, of: process), target.ends(with: name),
                let info = info(of: number, of: process)
            else { return true }
            if hasLock(info, at: UInt64(offset), inode: inode) { found = target }
            return found == nil
        }
        return found
    }

    private static func link(of number: Int32, of process: Int32) -> [UInt8]? {
        var path = Array(procFile("fd/", of: process).bytes)
        appendDecimal(UInt64(clamping: number), to: &path)
        return Process.target(of: FileName(path))
    }

    private static func info(of number: Int32, of process: Int32) -> [UInt8]? {
        var path = Array(procFile("fdinfo/", of: process).bytes)
        appendDecimal(UInt64(clamping: number), to: &path)
        return Process.contents(of: FileName(path), upTo: 64 << 10)
    }

    /// The inode by the kernel's own count, which overlays and others show to `stat` as another.
    private static func inode(of file: borrowing LockFile) -> UInt64? {
        // Line "ino:", since Linux 5.14.
        for line in lines(info(of: file.number, of: Process.id) ?? []) {
            if line.count == 2, line[0].elementsEqual("ino:".utf8) { return decimal(line[1]) }
        }
        return (try? file.status())?.inode
    }

    /// Whether a text of `/proc/PID/fdinfo` shows a lock that covers the byte.
    ///
    /// `lock:	1: OFDLCK ADVISORY  WRITE -1 fd:01:1234 64 64`: number, kind, mode, process (none), device and
    /// inode, first and last byte or `EOF`.
    static func hasLock(_ info: [UInt8], at offset: UInt64, inode: UInt64) -> Bool {
        for line in lines(info) {
            guard line.count == 9, line[0].elementsEqual("lock:".utf8),
                line[2].elementsEqual("OFDLCK".utf8),
                let start = decimal(line[7]), start <= offset,
                line[8].elementsEqual("EOF".utf8) || decimal(line[8]).map({ $0 >= offset }) == true
            else { continue }
            let number = line[6].suffix(while: { $0 != UInt8(ascii: ":") })
            if decimal(number) == inode { return true }
        }
        return false
    }

    private static func lines(_ text: [UInt8]) -> [[ArraySlice<UInt8>]] {
        text.split(separator: UInt8(ascii: "\n")).map { line in
            line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        }
    }
}

extension Collection<UInt8> where Self: BidirectionalCollection {
    fileprivate func ends(with end: ArraySlice<UInt8>) -> Bool {
        count >= end.count && suffix(end.count).elementsEqual(end)
    }

    /// The longest end of it whose bytes are all so.
    fileprivate func suffix(while isSo: (UInt8) -> Bool) -> SubSequence {
        var start = endIndex
        while start != startIndex, isSo(self[index(before: start)]) {
            formIndex(before: &start)
        }
        return self[start...]
    }
}
