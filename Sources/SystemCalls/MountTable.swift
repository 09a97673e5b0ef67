internal import CSystem

/// The mounts of this process's namespace, as `/proc/self/mountinfo` tells them.
package struct MountTable {
    package struct Entry {
        package let id: UInt64
        /// Major and minor number, of the file system itself.
        package let device: [UInt8]
        /// Where it is mounted; blanks and the like are as `\040`.
        package let point: [UInt8]
        /// Such as `nfs4`.
        package let type: [UInt8]
        /// Of a network file system, `SERVER:PATH`.
        package let source: [UInt8]
        /// The file system's own.
        package let options: [ArraySlice<UInt8>]

        /// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS FIELDS... - TYPE SOURCE SUPER-OPTIONS`.
        init?(_ line: ArraySlice<UInt8>) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count > 9, let id = decimalNumber(words[0]),
                let dash = words.dropFirst(6).firstIndex(where: { $0.elementsEqual("-".utf8) }),
                dash + 3 < words.count
            else { return nil }
            self.id = id
            device = Array(words[2])
            point = Array(words[4])
            type = Array(words[dash + 1])
            source = Array(words[dash + 2])
            options = words[dash + 3].split(separator: UInt8(ascii: ","))
        }

        package var isNFS: Bool {
            type.elementsEqual("nfs4".utf8) || type.elementsEqual("nfs".utf8)
        }
    }

    package let entries: [Entry]

    /// The table of this process, or of another one by the path of its `/proc/PID/mountinfo`.
    ///
    /// - Throws: where it cannot be read.
    package init(path: FileName? = nil) throws(Errno) {
        #if DEBUG
        if path == nil, let text = Faults.mountTable {
            self.init(text)
            return
        }
        #endif
        let path = path ?? "/proc/self/mountinfo"
        self.init(try File.open(path: path).contents(upTo: 4 << 20))
    }

    private init(_ text: [UInt8]) {
        entries = text.split(separator: UInt8(ascii: "\n")).compactMap { Entry($0) }
    }

    /// Another mount of what an entry is a mount of, with a cache of its own: it has the same source and another
    /// device number; nil for none.
    ///
    /// Where two mounts share a cache, as bind mounts do, they have one number.
    package func twin(of entry: Entry) -> Entry? {
        entries.first {
            $0.isNFS && entry.isNFS && $0.source == entry.source && $0.device != entry.device
        }
    }

    /// The same of a directory's mount.
    package func twin(of directory: Directory) throws(Errno) -> Entry? {
        try entry(of: directory).flatMap { twin(of: $0) }
    }

    /// The entry of the mount that a directory is of; nil where it cannot be told.
    package func entry(of directory: Directory) throws(Errno) -> Entry? {
        #if DEBUG
        if Faults.mountTable != nil { return entries.first }
        #endif
        var id: UInt64 = 0
        _ = try call { unsafe csystem_mount_id(directory.file.number, &id) }
        return entries.first { $0.id == id && id != 0 }
    }

    /// For how long the server of an NFS mount keeps the locks of a client that it does not hear from; nil where the
    /// kernel does not tell.
    ///
    /// From `/proc/self/mountstats`, which has it for version 4: `device SOURCE mounted on POINT with fstype nfs4 ...`
    /// and in a line behind that `lease_time=SECONDS`.
    package static func serverLease(of entry: Entry) -> Duration? {
        #if DEBUG
        if Faults.mountTable != nil { return leaseTime(in: entry.options) }
        #endif
        let start =
            Array("device ".utf8) + entry.source + Array(" mounted on ".utf8) + entry.point
            + Array(" with fstype nfs".utf8)
        let text = (try? File.open(path: "/proc/self/mountstats").contents(upTo: 4 << 20)) ?? []
        var isOurs = false
        for line in text.split(separator: UInt8(ascii: "\n")) {
            if line.starts(with: "device ".utf8) { isOurs = line.starts(with: start) }
            if isOurs, let time = leaseTime(in: line.split(separator: UInt8(ascii: ","))) {
                return time
            }
        }
        return nil
    }

    private static func leaseTime(in words: [ArraySlice<UInt8>]) -> Duration? {
        let name = Array("lease_time=".utf8)
        for word in words where word.starts(with: name) {
            if let seconds = decimalNumber(word.dropFirst(name.count)), 1...86_400 ~= seconds {
                return .seconds(Int64(seconds))
            }
        }
        return nil
    }
}

private func decimalNumber(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    guard !digits.isEmpty, digits.count < 19 else { return nil }
    for digit in digits {
        guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit else { return nil }
        number = number * 10 + UInt64(digit - UInt8(ascii: "0"))
    }
    return number
}
