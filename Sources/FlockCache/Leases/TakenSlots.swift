internal import SystemCalls

// A lease with thousands of slots is asked for without looking at each: a file beside it says of each slot until when it
// is taken at least. So who asks looks at no more slots than have ended since somebody looked.
//
// What is said there is a lower bound, and nothing else is concluded from it: a slot of which nothing is known, or whose
// time has come, is looked at itself. A slot whose lease ends with a process may end at any time, so nothing is said of
// it; nor on a network file system, where the clocks are several.
//
// What could break it: a slot that ends sooner than it says (`LeaseFile.write` takes away what is known before it writes
// such a cell; killed in between, the slot is looked at), two that write it (only under the shard's mutex), a lease's
// file that was removed (what makes a new one removes this first, the file says whose it is, and slots beyond the end of
// the lease's file are free whatever it says), bits that changed (each time has a check). Renewing does not touch it: the
// slot then ends later than it says. Where it cannot be written there is none, and who asks looks at each slot.

/// What is known of until when the slots of a lease are taken.
///
/// Used by one thread; what writes, under the shard's mutex.
final class TakenSlots {
    /// Up to so many slots are read at once, which takes less time.
    static let fewest = 64

    private let name: FileName
    private let shard: Int
    private let store: StoreFiles
    private var times: TakenTimes
    private var file: File?
    private var isLoaded = false
    /// Whether the file is there and says of which lease it is.
    private var isOwn = false
    /// What was learned and is not written.
    private var learned: Range<Int>?
    private let now: Int64

    init(_ name: FileName, of shard: Int, in store: StoreFiles, inode: UInt64, _ boot: BootID) {
        self.name = name
        self.shard = shard
        self.store = store
        times = TakenTimes(ofFile: inode, boot)
        now = LeaseTime.now.stamp.boot
    }

    /// Below the store.
    private var path: FileName { Layout.leasePath(shard, name) }

    private func directory() throws(Errno) -> Directory {
        try store.root.openDirectory(beneath: Layout.leasePath(shard))
    }

    /// For how many microseconds more a slot is taken at least; nil where it has to be looked at.
    func timeLeft(of slot: Int) -> Int64? {
        load()
        guard now != 0, let end = times[slot] else { return nil }
        let left = end - now
        // Beyond reason it is damage that the check has not found.
        return left > 0 && left <= Limits.timeToLive.clampedMicroseconds ? left : nil
    }

    /// Notes until when a slot is taken at least.
    func learn(_ slot: Int, until end: Int64) {
        load()
        guard times.learn(slot, until: end) else { return }
        let (first, last) = (learned?.lowerBound ?? slot, learned?.upperBound ?? slot + 1)
        learned = min(first, slot)..<max(last, slot + 1)
    }

    /// Writes what was learned.
    ///
    /// Where that fails it is not known, or known of some.
    func save() {
        guard let learned else { return }
        self.learned = nil
        try? write(learned)
    }

    private func write(_ slots: Range<Int>) throws(Errno) {
        if !isOwn {
            if file == nil {
                try store.marker.makeFile(name, in: directory(), of: store.root)
                file = try store.root.open(beneath: path, .readWrite)
            }
            // In this order: killed in between it is nobody's.
            try write([UInt8](repeating: 0, count: TakenTimes.headerCount), at: 0)
            try write(times.bytes(of: 0..<Limits.slots), at: TakenTimes.headerCount)
            try write(times.header, at: 0)
            isOwn = true
            return
        }
        try write(times.bytes(of: slots), at: TakenTimes.offset(of: slots.lowerBound))
    }

    private func write(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        try file?.writeWhole(bytes, at: offset)
    }

    /// Takes away what is known of a slot, before it may end sooner.
    func forget(_ slot: Int) throws(StoreError) {
        // Nothing, or a time that has come.
        if isLoaded, now != 0, timeLeft(of: slot) == nil { return }
        try attempt("write", store.file(path, in: nil)) { () throws(Errno) in
            do throws(Errno) {
                if file == nil { file = try store.root.open(beneath: path, .readWrite) }
                try write([UInt8](repeating: 0, count: 8), at: TakenTimes.offset(of: slot))
            } catch {
                // What is no file nobody reads.
                if error == .noEntry || error == .isADirectory || error == .symbolicLink { return }
                // So nothing is known of any.
                guard (try? directory().unlink(name)) != nil else { throw error }
                file = nil
                isOwn = false
            }
        }
        times.forget(slot)
    }

    private func load() {
        guard !isLoaded else { return }
        isLoaded = true
        // What cannot be read says nothing.
        let access: Directory.Access = store.isReadOnly ? .read : .readWrite
        guard let found = try? store.root.open(beneath: path, access) else { return }
        if let bytes = try? found.contents(upTo: TakenTimes.byteCount) { isOwn = times.read(bytes) }
        file = consume found
    }
}

extension LeaseCell {
    /// Until when a slot is taken at least that says this, in microseconds of the boot clock of the first time
    /// namespace; nil where that is not known.
    func takenUntil(in boot: BootID) -> Int64? {
        guard !hasEnded, owner == nil, place.boot == boot, let end = deadline?.stamp.boot, end != 0
        else { return nil }
        return end
    }

    /// Whether a slot may end sooner that says this in place of another cell.
    func endsSooner(than former: LeaseCell?, in boot: BootID) -> Bool {
        guard let end = takenUntil(in: boot) else { return true }
        return end < former?.takenUntil(in: boot) ?? .max
    }
}
