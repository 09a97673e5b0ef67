// Two hosts prove to one another that locks and names of this directory exclude both: the only proof there is. One
// serves and the other meets it, over a file with a private name:
//
//   serve                                    meet
//   locks HOST, writes its note
//                                            finds HOST locked, and is refused it
//                                            locks GUEST, makes a name, writes its note
//   finds GUEST locked, and is refused it;
//   is refused the name; unlocks HOST
//                                            is granted HOST
//   finds HOST locked, and is refused it;
//   writes its verdict
//
// What could break it: either is killed (the kernel drops its locks, and the other gives up after half a minute), a third
// one (the bytes exclude it), a note that is not seen: a Linux NFS client that has a file open for writing goes on with
// what it has read of it, so each side has a file of its own for its note, open only while it writes.

internal import SystemCalls

/// One meeting of two hosts.
package struct Meeting {
    /// What became of it.
    package enum End: Sendable {
        case found(Finding)
        /// No other host came.
        case alone
    }

    private let store: OpenStore
    private let limit: WaitSpan
    private let name: FileName = ".flock-cache-meeting"
    private let hostNote: FileName = ".flock-cache-meeting-host"
    private let guestNote: FileName = ".flock-cache-meeting-guest"
    private let proof: FileName = ".flock-cache-meeting-name"

    private static let (hostByte, guestByte) = (1 << 20, 1 << 20 + 1)
    private static let noteLength = 256
    /// How long the other may take for a step.
    private static let patience = Duration.seconds(30)

    private init(_ store: OpenStore, _ wait: Duration?) {
        self.store = store
        limit = WaitSpan(wait)
    }

    /// Serves, or meets one who does.
    ///
    /// - Parameter wait: for how long to wait for the other; nil is without end.
    /// - Throws: `.notAStore` where there is no store to serve in.
    package static func hold(
        _ session: Session, serving: Bool, waiting wait: Duration?
    ) throws(StoreError) -> End {
        let meeting = Meeting(try session.forWriting(), wait)
        return try attempt("meet another host in", meeting.store.path) { () throws(Errno) in
            try serving ? meeting.serve() : meeting.meet()
        }
    }

    // MARK: The two sides

    private func serve() throws(Errno) -> End {
        do throws(Errno) {
            _ = try store.marker.create(name, in: store.root)
        } catch {
            if error != .exists { throw error }
        }
        let file = try store.root.openLockFile(name, .readWrite)
        guard try file.tryLock(.exclusive, at: Self.hostByte) else {
            return .found(
                failed("another 'doctor --serve' is running in this store", isFault: false))
        }
        for former in [proof, guestNote] { _ = try store.root.unlink(former) }
        let number = try randomBits()
        // What is left behind where this fails `reap` removes later.
        defer {
            for former in [proof, guestNote, hostNote, name] { _ = try? store.root.unlink(former) }
        }
        try write("serves", number, to: hostNote)
        var guest: Note?
        let hasCome = try wait(upTo: nil) { () throws(Errno) in
            guest = try note(in: guestNote)
            return guest?.number == number
        }
        guard hasCome, let guest else { return .alone }
        let fault = try faultSeenByHost(file)
        try write(fault == nil ? "agrees" : "doubts", number, to: hostNote)
        // The guest reads it before it lets go.
        _ = try wait(upTo: Self.patience) { () throws(Errno) in
            try !isLocked(Self.guestByte)
        }
        return .found(finding(fault, guest))
    }

    private func faultSeenByHost(_ file: borrowing LockFile) throws(Errno) -> String? {
        guard try file.isLockedByOthers(at: Self.guestByte) else {
            return "the other host's lock is not seen"
        }
        guard try !file.tryLock(.exclusive, at: Self.guestByte) else {
            return "a lock was granted to both hosts"
        }
        guard try isTaken(proof) else { return "O_EXCL made a file that the other host has made" }
        file.unlock(at: Self.hostByte)
        let isHeld = try wait(upTo: Self.patience) { () throws(Errno) in
            try isLocked(Self.hostByte)
        }
        guard isHeld else { return "a lock that was released is not granted to the other host" }
        guard try !file.tryLock(.exclusive, at: Self.hostByte) else {
            return "a lock was granted to both hosts"
        }
        return nil
    }

    private func meet() throws(Errno) -> End {
        var host: Note?
        let isThere = try wait(upTo: nil) { () throws(Errno) in
            host = try note(in: hostNote)
            guard host?.word == "serves" else { return false }
            return try isLocked(Self.hostByte)
        }
        guard isThere, let host else { return .alone }
        let file = try store.root.openLockFile(name, .readWrite)
        guard try !file.tryLock(.exclusive, at: Self.hostByte) else {
            return .found(finding("a lock was granted to both hosts", host))
        }
        guard try file.tryLock(.exclusive, at: Self.guestByte) else {
            return .found(failed("another 'doctor --meet' came first", isFault: false))
        }
        _ = try store.marker.create(proof, in: store.root)
        try write("meets", host.number, to: guestNote)
        var fault: String?
        var verdict: Note?
        let isGranted = try wait(upTo: Self.patience) { () throws(Errno) in
            // One that has found a fault keeps its lock.
            verdict = try note(in: hostNote)
            if verdict?.word == "doubts" { return true }
            return try file.tryLock(.exclusive, at: Self.hostByte)
        }
        if !isGranted { fault = "a lock that the other host released is not granted" }
        let isJudged = try wait(upTo: Self.patience) { () throws(Errno) in
            // One that is gone, or half seen, says nothing.
            verdict = try note(in: hostNote)
            return verdict?.number == host.number && verdict?.word != "serves"
        }
        if !isJudged { fault = fault ?? "what the other host wrote is not seen" }
        if verdict?.word == "doubts" { fault = fault ?? "the other host has found a fault" }
        return .found(finding(fault, host))
    }

    // MARK: Steps

    private static let pause: Int64 = 50_000_000

    /// Waits until something is so; false where the time is over first.
    ///
    /// - Parameter patience: nil is as long as the other is waited for.
    private func wait(
        upTo patience: Duration?, _ isSo: () throws(Errno) -> Bool
    ) throws(Errno) -> Bool {
        let end = TimeLimit(patience)
        while try !isSo() {
            if patience == nil ? limit.isOver : end.isOver { return false }
            sleep(nanoseconds: Self.pause)
        }
        return true
    }

    /// Asked by a file of its own, which is as another process would ask.
    private func isLocked(_ byte: Int) throws(Errno) -> Bool {
        try store.root.open(name, .read).isLockedByOthers(at: byte)
    }

    private func isTaken(_ name: FileName) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try store.root.open(name, .createNew(mode: 0o600))
            return false
        } catch {
            if error == .exists { return true }
            throw error
        }
    }

    // MARK: Notes

    private struct Note {
        let word: String
        let number: UInt64
        let host: String
        let boot: String
    }

    private var ownHost: String { HostName.encoded.map { printable(decoded($0)) } ?? "unknown" }
    private var ownBoot: String {
        ((try? store.placeIfKnown()) ?? nil).map { decoded($0.boot.text) } ?? ""
    }

    private func decoded(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Writes for the other host, which sees it at once.
    private func write(_ word: String, _ number: UInt64, to name: FileName) throws(Errno) {
        do throws(Errno) {
            _ = try store.marker.create(name, in: store.root)
        } catch {
            if error != .exists { throw error }
        }
        var bytes = Array("\(word) \(number) \(ownHost) \(ownBoot)\n".utf8)
        // As long as every other one, which it replaces.
        bytes += [UInt8](
            repeating: UInt8(ascii: "\n"), count: max(0, Self.noteLength - bytes.count))
        let file = try store.root.open(name, .readWrite)
        try file.writeWhole(bytes, at: 0)
        try file.sync()
    }

    /// nil where none was written; the file is opened anew, so that what another host wrote is seen.
    private func note(in name: FileName) throws(Errno) -> Note? {
        let bytes: [UInt8]
        do throws(Errno) {
            store.files.refresh(store.root)
            bytes = try store.root.open(name, .read).contents(upTo: Self.noteLength)
        } catch {
            if error == .noEntry { return nil }
            throw error
        }
        let words = decoded(Array(bytes.prefix { $0 != UInt8(ascii: "\n") })).split(separator: " ")
        guard words.count == 4, let number = UInt64(words[1]) else { return nil }
        return Note(
            word: String(words[0]), number: number, host: printable(String(words[2])),
            boot: String(words[3]))
    }

    // MARK: What it comes to

    private func finding(_ fault: String?, _ other: Note) -> Finding {
        if let fault { return failed("with \(other.host): \(fault)", isFault: true) }
        guard other.boot != ownBoot else {
            return Finding(
                .warning, "meeting",
                "two processes of this machine exclude one another; run the other one on another host"
            )
        }
        return Finding(
            .ok, "meeting",
            "this host and \(other.host) exclude one another: locks both ways, and O_EXCL")
    }

    private func failed(_ what: String, isFault: Bool) -> Finding {
        Finding(
            .failed, "meeting", what,
            isFault
                ? "do not share this store between the two; see docs/reference/file-systems.md"
                : "try again when it has ended")
    }
}
