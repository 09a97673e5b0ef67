internal import SystemCalls

extension Session {
    /// Sleeps until a reader that has come to the end may have something to read; false where the time was over first.
    ///
    /// - Parameter limit: nil is without end.
    package func waitForRecords(of reader: JournalReader, upTo limit: Duration?) -> Bool {
        let span = WaitSpan(limit)
        let position = reader.position
        let journal = reader.journal
        while !span.isOver {
            let wait = BoardWait(
                .journal(journal.name), bits: journal.name.wakeBits,
                on: journal.board.forWaiting())
            if position.hasNews() { return true }
            let pause = wait.hasBoard ? WaitSpan.untilNextLook() : JournalPause.withoutBoard()
            let end = BootTime.now.advanced(by: .nanoseconds(pause))
            wait.sleep(until: min(end, span.deadline))
        }
        return position.hasNews()
    }
}

enum JournalPause {
    /// After how many nanoseconds to look again where nothing wakes a follower.
    static func withoutBoard() -> Int64 { 5_000_000 + jitter(upTo: 10_000_000) }
}
