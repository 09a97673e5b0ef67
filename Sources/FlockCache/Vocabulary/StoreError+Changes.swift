extension StoreError {
    /// A store that does not tell of its changes was to be watched.
    static func tellsNoChanges(_ path: String, isThere: Bool) -> StoreError {
        let why =
            isThere
            ? "it keeps no journal of its changes, and settings cannot be changed; make a store with "
                + "'flock-cache init --journal'"
            : "there is no store yet; make one that keeps a journal of its changes with "
                + "'flock-cache init --journal'"
        return StoreError(.badConfiguration, "watch the store", path: path, reason: why)
    }

    /// The store that was watched was removed, or moved away.
    static func watchedStoreIsGone(_ path: String) -> StoreError {
        StoreError(
            .notAStore, "watch the store", path: path,
            reason:
                "it was removed or moved while it was watched; the changes of another store have "
                + "numbers of their own, so list that one first")
    }

    static func changeIsTrimmed(_ number: UInt64, first: UInt64) -> StoreError {
        StoreError(
            .trimmed, "read change \(number)",
            reason:
                "it was trimmed; the first change that is kept is \(first): list the store again, "
                + "and go on with --from \(first) or later")
    }

    static func changeBeyond(_ number: UInt64, last: UInt64) -> StoreError {
        StoreError(
            .invalidNumber, "read change \(number)",
            reason: "it is beyond the next one: "
                + (last == 0 ? "there is none yet" : "the last one is \(last)"))
    }

    /// The journal of changes was removed while it was read.
    static func changesAreGone(_ path: String) -> StoreError {
        StoreError(
            .notAStore, "watch the store", path: path,
            reason: "its journal of changes was removed, and numbers begin with 1 again; list the "
                + "store, and watch it again")
    }

    /// A record of the journal of changes that this version does not know.
    static func unknownChange(_ number: UInt64, _ path: String) -> StoreError {
        StoreError(
            .incompatibleFormat, "read change \(number)", path: path,
            reason:
                "a newer version has told of it; use that one, or go on with --from \(number + 1)")
    }

    /// Why a change that was made is not told yet.
    static func changeIsUntold(_ why: StoreError) -> StoreError {
        StoreError(
            why.code, "tell of the change yet", path: why.path, key: why.key,
            systemError: why.systemError, holder: why.holder,
            reason: why.reason
                + "; the change was made, and is told as soon as the journal of changes can be "
                + "written")
    }
}
