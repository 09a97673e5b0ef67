// Waiting: how a process sleeps until another has changed something. Nothing here decides who wins.
//
// The order that loses no wake-up: a waiter announces itself (a deadline beside the word), reads the word, looks
// at the files, and sleeps while the word is the same; a waker changes the files, reads the deadline, changes the
// word. Every sleep ends by itself, so a lost word costs milliseconds.
//
// Threads wait here themselves. Tasks leave a ticket with a `Watch`, and the session's one `LookOut` thread looks
// for all of them.
//
// What could break it: the board deleted, truncated, copied, full of nonsense (polling), a killed waiter (its
// deadline passes), a suspend (no sleep of the look-out is longer than a second, and it goes by the boot clock).

internal import Synchronization
internal import SystemCalls

/// The board: memory that all processes of a store share, by which they wake one another.
///
/// Hints only. Nothing on it decides who wins or what is counted: every sleep on it ends by itself, and
/// whoever wakes looks at the files. So it may be lost, be deleted, hold nonsense, or not be there at all,
/// and the store is as correct as before, only slower to wake.
///
/// "Somebody waits" is a time that waiters renew before they sleep, not a count, which a killed one would
/// leave behind. The order that loses no wake-up: a waiter renews the time, reads the word, looks at the
/// files, sleeps while the word is the same; a waker changes the files, reads the time, changes the word.
final class Board: Sendable {
    let memory: SharedMemory
    /// Kept open to see whether it is still the one that others find.
    private let file: File
    /// When that was last seen, in nanoseconds of the boot clock.
    private let seenLinked: Atomic<Int64>
    /// Until when those may wait in queues who have a former board, and are not announced here.
    let doubtfulUntil: BootTime

    init?(_ file: consuming File) {
        guard let memory = SharedMemory(file, count: BoardLayout.byteCount) else { return nil }
        self.memory = memory
        doubtfulUntil = memory.time(at: BoardLayout.doubt)
        self.file = file
        seenLinked = Atomic(BootTime.now.nanoseconds)
    }

    /// Whether others still find this board; looked at once a second at most.
    ///
    /// A board may be deleted while it is in use, and those who come later make another.
    var isCurrent: Bool {
        let now = BootTime.now.nanoseconds
        guard now - seenLinked.load(ordering: .relaxed) > 1_000_000_000 else { return true }
        guard let status = try? file.status(), status.links > 0,
            // Cut, it is of no use, and whoever touches what is missing may be ended.
            status.size == BoardLayout.byteCount
        else { return false }
        // Not permitted where the file is another user's and may only be written.
        if status.looksOld { _ = try? file.renew() }
        seenLinked.store(now, ordering: .relaxed)
        return true
    }

    // MARK: Words

    /// What can be waited for: a word, and the time until which somebody waits for it.
    struct Word {
        let offset: Int

        /// A key of a shard becomes READY or absent.
        static func keys(_ shard: Int) -> Word { Word(offset: BoardLayout.shard(shard)) }
        /// A shard's mutex becomes free.
        static func mutex(_ shard: Int) -> Word { Word(offset: BoardLayout.shard(shard) + 16) }
        /// Something is appended to a journal, or it is removed.
        static func journal(_ name: JournalName) -> Word {
            Word(offset: BoardLayout.shard(name.wordIndex) + 32)
        }
        /// Any key becomes READY or absent, any lock or lease free: for the look-out of a session.
        static let anything = Word(offset: BoardLayout.anything)
        /// Of a slot: what sleeps on it those choose who wait in queues; the time is of the queues that have
        /// this slot.
        static func slot(_ index: Int) -> Word { Word(offset: BoardLayout.slot(index)) }
    }

    /// Renewed to that long from now by everyone about to sleep, which ends sooner: so that it stands
    /// for as long as somebody waits, and no longer than this after a waiter was killed.
    private static let announcement = Duration.milliseconds(200)
    /// A look-out may sleep for a second.
    private static let lookOutAnnouncement = Duration.seconds(2)

    /// Says that somebody waits, and returns what the word is.
    ///
    /// Look at what is waited for after this, and then `wait`.
    func announce(_ word: Word) -> UInt32 {
        let isForLookOut = word.offset == Word.anything.offset
        let duration = isForLookOut ? Self.lookOutAnnouncement : Self.announcement
        memory.setTime(BootTime.now.advanced(by: duration), at: word.offset + 8)
        return memory.word(at: word.offset)
    }

    /// Whether somebody seems to wait for a word.
    func isWaitedFor(_ word: Word) -> Bool {
        let time = memory.time(at: word.offset + 8)
        return time.nanoseconds != 0 && time > BootTime.now
    }

    /// Waits until the word has changed since `announce`, or the time has come.
    func wait(_ word: Word, _ seen: UInt32, bits: UInt32, until deadline: BootTime) {
        memory.wait(at: word.offset, while: seen, bits: bits, until: deadline)
    }

    /// What the word is.
    func look(_ word: Word) -> UInt32 { memory.word(at: word.offset) }

    /// Changes a word and wakes those who wait for it with one of the bits.
    func call(_ word: Word, bits: UInt32) { memory.wake(.max, at: word.offset, bits: bits) }

    /// Wakes those who wait, if anybody does; call it after the change.
    ///
    /// A time that lies far ahead is another boot's, another time namespace's, or nonsense; whoever
    /// waits writes a right one.
    func wake(_ word: Word, most: Int32 = .max, bits: UInt32) {
        guard isWaitedFor(word) else { return }
        memory.wake(most, at: word.offset, bits: bits)
    }

    // MARK: Who holds a lock

    /// Writes who holds a lock.
    func put(_ note: LockNote, in slot: Int) {
        memory.setWords(note.words, at: BoardLayout.slot(slot) + LockNote.offset)
    }

    /// Who holds a lock that belongs to a slot; nil where nothing whole stands there.
    ///
    /// It may have been released since: ask whether the byte is locked.
    func note(in slot: Int) -> LockNote? {
        LockNote(memory.words(at: BoardLayout.slot(slot) + LockNote.offset))
    }

    /// Takes a note away, unless another stands there by now.
    func remove(_ note: borrowing LockNote, from slot: Int) {
        let offset = BoardLayout.slot(slot) + LockNote.offset
        let found: InlineArray<1, UInt64> = memory.words(at: offset)
        let none = InlineArray<1, UInt64>(repeating: 0)
        if found[0] == note.words[0] { memory.setWords(none, at: offset) }
    }
}

extension EntryName {
    /// The bit that waiters for this key wait for, of 32: so that what happens to one key of a shard wakes
    /// few waiters of another.
    var wakeBits: UInt32 { 1 << UInt32(truncatingIfNeeded: hash >> 8 & 31) }
}
