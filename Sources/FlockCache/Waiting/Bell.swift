internal import SystemCalls

/// What the thread sleeps on: the board's word for any key or any lock, or where there is no board a word of this
/// process alone.
final class Bell: Sendable {
    let board: Board?
    private let word: Board.Word
    private let memory: SharedMemory?
    /// One bit is for whoever changes a key, the others are for calling one process.
    private let ownBit: UInt32 = 1 << UInt32.random(in: 1...31)

    init(_ board: Board?, _ word: Board.Word) {
        self.board = board
        self.word = word
        memory = board == nil ? SharedMemory(count: 64) : nil
    }

    func announce() -> UInt32 { board?.announce(word) ?? memory?.word(at: 0) ?? 0 }

    /// The words of all shards.
    var words: [UInt32] {
        (0..<Layout.shardCount).map { board?.look(.keys($0)) ?? 0 }
    }

    /// Calls this process's thread.
    func ring() {
        board?.call(word, bits: ownBit)
        memory?.wake(1, at: 0, bits: ownBit)
    }

    func wait(_ heard: UInt32, until end: BootTime) {
        board?.wait(word, heard, bits: 1 | ownBit, until: end)
        memory?.wait(at: 0, while: heard, bits: ownBit, until: end)
    }

    /// After how many nanoseconds to look at all keys again; where nobody wakes us, a person's blink
    /// is too long, and a look at 100 keys takes a millisecond.
    func nextLook() -> Int64 {
        board == nil ? Int64.random(in: 5_000_000...15_000_000) : KeyWait.nextAsk()
    }
}
