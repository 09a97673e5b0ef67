internal import SystemCalls

/// What somebody who waits for a lock sleeps on until the next step.
struct LockRest {
    private let board: Board?
    private let word: Board.Word
    private let seen: UInt32
    private let bits: UInt32
    /// When to look again whatever happens.
    let end: BootTime
    let line: Line

    /// Those who wait for the same in the same way, of whom one is to be woken at a time.
    struct Line: Hashable {
        let hash: UInt64
        let bits: UInt32
    }

    init(_ board: Board?, _ name: LockName, seen: UInt32, bits: UInt32, end: BootTime) {
        self.board = board
        word = .lock(name)
        self.seen = seen
        self.bits = bits
        self.end = end
        line = Line(hash: name.hash, bits: bits)
    }

    /// Sleeps until something may have changed, or the time has come; true when it ended by itself.
    func sleep(until deadline: BootTime) -> Bool {
        let end = min(end, deadline)
        guard let board else {
            SystemCalls.sleep(nanoseconds: max(1, end.nanoseconds - BootTime.now.nanoseconds))
            return true
        }
        board.wait(word, seen, bits: bits, until: end)
        return BootTime.now >= end
    }

    /// Whether something may have changed since.
    var isOver: Bool { board.map { $0.look(word) != seen } ?? true }
}
