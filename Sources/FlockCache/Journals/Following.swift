internal import SystemCalls

extension Session {
    /// Sleeps until a reader that has come to the end may have something to read; false where the time was over first.
    ///
    /// - Parameter limit: nil is without end.
    package func waitForRecords(of reader: JournalReader, upTo limit: Duration?) -> Bool {
        let deadline = WaitSpan(limit).deadline
        let position = reader.position
        let journal = reader.journal
        while BootTime.now < deadline {
            guard let board = journal.board.forWaiting() else {
                if position.hasNews() { return true }
                let end = BootTime.now.advanced(by: .nanoseconds(JournalPause.withoutBoard()))
                let left = min(end, deadline).nanoseconds - BootTime.now.nanoseconds
                sleep(nanoseconds: max(1, left))
                continue
            }
            let seen = board.announce(.journal(journal.name))
            if position.hasNews() { return true }
            let end = BootTime.now.advanced(by: .nanoseconds(WaitSpan.untilNextLook()))
            board.wait(
                .journal(journal.name), seen, bits: journal.name.wakeBits, until: min(end, deadline)
            )
        }
        return position.hasNews()
    }
}

enum JournalPause {
    /// After how many nanoseconds to look again where nothing wakes a follower.
    static func withoutBoard() -> Int64 { Int64.random(in: 5_000_000...15_000_000) }
}
