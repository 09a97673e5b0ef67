internal import SystemCalls

// Whether what a block counts is what its shard's directory holds. Files come and go also beside this program:
// by hand, from a backup, or in a copy by hard links, which shares its blocks with its original.

extension Shards {
    /// The mark of a shard's directory as it is now; unknown where it cannot be looked at.
    ///
    /// Of the directory that changes are made in: where another has its name by now, they fail by themselves.
    func directoryMark(of shard: Int) -> DirectoryMark {
        do throws(StoreError) {
            guard let directory = try files.shardDirectory(shard, making: false) else {
                return .absent
            }
            // Where it cannot be told, the counts are not relied on by who needs them right.
            return (try? directory.status()).map { DirectoryMark($0) } ?? .unknown
        } catch {
            return .unknown
        }
    }

    /// For each shard whether its block, as it was just read, does not tell what the shard's directory holds:
    /// it was never written, is of another boot, is being changed, or the directory is not as it was counted.
    ///
    /// A look at each directory, 256 system calls.
    func doubtfulShards(_ blocks: [ShardBlock?]) throws(StoreError) -> [Bool] {
        let boot = try files.placeIfKnown()?.boot
        let entries = try entriesIfThere()
        return blocks.enumerated().map { shard, block in
            guard let block, !files.isDoubtful(block, boot) else { return true }
            guard let entries else { return block.mark != .absent }
            do throws(Errno) {
                let status = try entries.status(of: Layout.shard(shard))
                return block.mark != (status.map { DirectoryMark($0) } ?? .absent)
            } catch {
                return true
            }
        }
    }

    /// The same for who may ask many thousand times a second: the directories are looked at only where that was
    /// longer ago than a hundredth of a second, and in between what was found then goes on.
    func shardsInDoubt(now blocks: [ShardBlock?]) throws(StoreError) -> [Bool] {
        let now = BootTime.now
        // What another store has counted is right for that one.
        let isShared = try file().isShared()
        if isShared || nextLook <= now {
            let doubtful = try doubtfulShards(blocks)
            // Until nothing is in doubt each looks again.
            if !doubtful.contains(true) {
                nextLook = now.advanced(by: .milliseconds(10))
            }
            return doubtful
        }
        let boot = try files.placeIfKnown()?.boot
        return blocks.map { $0.map { files.isDoubtful($0, boot) } ?? true }
    }

    private func entriesIfThere() throws(StoreError) -> Directory? {
        do throws(Errno) {
            return try files.root.openDirectory(Layout.entries)
        } catch {
            if error == .noEntry { return nil }
            throw StoreError(error, "open", path: files.file(Layout.entries, in: nil))
        }
    }
}

extension StoreFiles {
    /// Whether what a block counts was counted in this boot: a power cut may have taken files since an earlier one.
    ///
    /// On a network file system another boot is another machine's, and files are lost with the server alone, of which
    /// nobody learns: there any boot will do.
    func isCounted(_ block: ShardBlock, in boot: BootID?) -> Bool {
        block.boot == boot || !isLocal && block.boot != .none
    }

    /// Whether the counts are not known to be right, whatever the directory is like.
    fileprivate func isDoubtful(_ block: ShardBlock, _ boot: BootID?) -> Bool {
        block.changer != 0 || !isCounted(block, in: boot) || block.mark == .unknown
    }
}
