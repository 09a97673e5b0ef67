internal import SystemCalls

/// The first 512 bytes of `locks/intents`: for which boot, and which copy of the store, the journal of changes
/// has told `restarted`.
struct IntentHeader: Equatable, Sendable {
    /// `st_dev` of the file, 0 on a network, and `st_ino`: a copy has others.
    let device: UInt64
    let inode: UInt64
    let boot: BootID
    /// Of the record `restarted`; 0 where there was nothing to tell.
    var number: UInt64
    /// Whether it is known to be written.
    var isTold: Bool

    init(device: UInt64, inode: UInt64, boot: BootID, number: UInt64, isTold: Bool) {
        self.device = device
        self.inode = inode
        self.boot = boot
        self.number = number
        self.isTold = isTold
    }

    /// The lines, spaces, and a newline at the end.
    var bytes: [UInt8] {
        var text = RecordText()
        text.line("flock-cache-intents", decimal: UInt64(Limits.format), separator: " ")
        text.line("device", decimal: device)
        text.line("inode", decimal: inode)
        text.line("boot", boot.text)
        text.line("restarted", decimal: number)
        text.line("told", isTold ? "yes".utf8 : "no".utf8)
        text.check()
        let rest = Intent.byteCount - text.bytes.count - 1
        return text.bytes + [UInt8](repeating: UInt8(ascii: " "), count: rest)
            + [UInt8(ascii: "\n")]
    }

    /// nil where it is not whole.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var lines = unsafe RecordLines(bytes)
        guard
            unsafe lines.next(named: "flock-cache-intents", separator: UInt8(ascii: " "))
                .flatMap(decimal) == UInt64(Limits.format),
            let device = unsafe lines.next(named: "device").flatMap(decimal),
            let inode = unsafe lines.next(named: "inode").flatMap(decimal),
            let boot = unsafe lines.next(named: "boot").flatMap({ unsafe BootID($0) }),
            let number = unsafe lines.next(named: "restarted").flatMap(decimal),
            let told = unsafe lines.next(named: "told")
        else { return nil }
        let isTold = unsafe told.elementsEqual("yes".utf8)
        guard unsafe lines.check() else { return nil }
        self.init(device: device, inode: inode, boot: boot, number: number, isTold: isTold)
    }
}
