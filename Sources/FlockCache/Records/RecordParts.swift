internal import SystemCalls

// The lines that claims and leases have in common: a process, and who wrote the record where.

extension RecordText {
    mutating func process(_ process: ProcessIdentity) {
        line("process", decimal: UInt64(UInt32(bitPattern: process.id)))
        if let inode = process.descriptorInode { line("pidfd-inode", decimal: inode) }
        if let start = process.startTime { line("started", decimal: start) }
    }

    /// - Parameter command: percent-encoded.
    mutating func writer(_ processID: Int32, _ command: [UInt8], at place: Place, since: Stamp) {
        line("pid", decimal: UInt64(UInt32(bitPattern: processID)))
        line("command", command)
        line("boot", place.boot)
        line("pid-namespace", decimal: place.processNamespace)
        line("time-namespace", decimal: place.timeNamespace)
        line("since", since)
    }
}

extension RecordLines {
    /// The process that the next lines name; a nil in the result where they name none, nil where they are no
    /// lines of a record.
    mutating func process() -> ProcessIdentity?? {
        guard let process = unsafe next(named: "process") else { return .some(nil) }
        guard let id = unsafe decimal(process).flatMap(Int32.init(exactly:)) else { return nil }
        let inode = unsafe next(named: "pidfd-inode").flatMap(decimal)
        let start = unsafe next(named: "started").flatMap(decimal)
        return ProcessIdentity(id: id, descriptorInode: inode, startTime: start)
    }

    /// Who wrote the record, where and when; nil where the next lines do not say it.
    mutating func writer() -> Writer? {
        guard
            let processID = unsafe next(named: "pid").flatMap(decimal).flatMap(
                Int32.init(exactly:)),
            let command = unsafe next(named: "command"),
            let boot = unsafe next(named: "boot").flatMap({ unsafe BootID($0) }),
            let processNamespace = unsafe next(named: "pid-namespace").flatMap(decimal),
            let timeNamespace = unsafe next(named: "time-namespace").flatMap(decimal),
            let since = unsafe next(named: "since").flatMap(Stamp.init)
        else { return nil }
        let place = Place(
            boot: boot, processNamespace: processNamespace, timeNamespace: timeNamespace)
        return unsafe Writer(
            processID: processID, command: Array(command), place: place, since: since)
    }

    struct Writer {
        let processID: Int32
        /// Percent-encoded.
        let command: [UInt8]
        let place: Place
        let since: Stamp
    }
}
