/// Where what is on the board lies: a page for the header, 64 bytes for each shard, and 144 for each of
/// the slots of locks.
enum BoardLayout {
    static let byteCount = slot(slotCount)
    static func shard(_ index: Int) -> Int { 4096 + index * 64 }
    static func slot(_ index: Int) -> Int { shard(Layout.shardCount) + index * 144 }
    static let slotCount = 4096
    /// In the header's page.
    static let anything = 64
}
