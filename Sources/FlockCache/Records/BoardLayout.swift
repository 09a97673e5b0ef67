/// Where what is on the board lies: a page for the header, 64 bytes for each shard, and 160 for each of
/// the slots of locks.
enum BoardLayout {
    static let byteCount = slot(slotCount)
    static func shard(_ index: Int) -> Int { 4096 + index * 64 }
    static func slot(_ index: Int) -> Int { shard(Layout.shardCount) + index * 160 }
    static let slotCount = 4096
    /// In the header's page.
    static let anything = 64
    /// In the header's page too: until when those may wait in queues who have a former board.
    static let doubt = 80
    /// Within a slot, behind the word, the count, the time of those who wait, and the note: the last ticket that
    /// was passed, and when the lock last became free.
    static let passed = 144
    static let freed = 152
}
