internal import SystemCalls

/// What one who waits in a queue sleeps on until its next look.
struct QueueRest {
    private let board: Board?
    private let word: Board.Word
    private let bits: UInt32
    private let seen: UInt32
    /// When to look again whatever happens.
    let end: BootTime

    init(
        board: Board?, word: Board.Word, bits: UInt32, seen: UInt32, end: BootTime
    ) {
        self.board = board
        self.word = word
        self.bits = bits
        self.seen = seen
        self.end = end
    }

    /// The same that ends at a time if not before.
    func ending(by time: BootTime) -> QueueRest {
        QueueRest(board: board, word: word, bits: bits, seen: seen, end: min(end, time))
    }

    /// Sleeps until its owner is called, or the time has come; true when the sleep ended by itself.
    func sleep(until deadline: BootTime) -> Bool {
        let end = min(end, deadline)
        if let board {
            board.wait(word, seen, bits: bits, until: end)
        } else {
            SystemCalls.sleep(nanoseconds: max(1, end.nanoseconds - BootTime.now.nanoseconds))
        }
        return !isCalled
    }

    /// Whether its owner was called, or another that sleeps on the same word.
    var isCalled: Bool { board.map { $0.look(word) != seen } ?? false }
}
