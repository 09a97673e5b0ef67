internal import SystemCalls

/// A thread's wait for a word of the board to change: announced by being made, then slept on.
///
/// The order that loses no wake-up, here once for keys, leases, locks and mutexes: make it, look at what is
/// waited for, `sleep`. What changes after it was made ends the sleep. Where there is no board the sleep is as
/// long as it is asked to be, and the caller looks again.
struct BoardWait {
    private let board: Board?
    private let word: Board.Word
    private let bits: UInt32
    private let seen: UInt32

    /// Says that somebody waits for a word.
    ///
    /// - Parameter bits: only who changes the word with one of them ends the sleep.
    init(_ word: Board.Word, bits: UInt32, on board: Board?) {
        self.board = board
        self.word = word
        self.bits = bits
        seen = board?.announce(word) ?? 0
    }

    /// Whether somebody can end the sleep; otherwise it is to be short.
    var hasBoard: Bool { board != nil }

    /// Sleeps until the word may have changed, or the time has come.
    func sleep(until end: BootTime) {
        guard let board else {
            return SystemCalls.sleep(
                nanoseconds: max(1, end.nanoseconds - BootTime.now.nanoseconds))
        }
        board.wait(word, seen, bits: bits, until: end)
    }

    /// Whether what is waited for may have changed; always so without a board, where only a look tells.
    var isOver: Bool { board.map { $0.look(word) != seen } ?? true }

    /// The same, having announced once more that somebody waits.
    func isOverAnnouncingAgain() -> Bool { board.map { $0.announce(word) != seen } ?? true }
}
