extension Verb {
    /// All commands, in the order in which they are explained.
    static let all: [Verb] = [
        .claim, .finalize, .renew, .abandon, .get, .wait, .run, .put, .increment, .lock,
        .leaseAcquire, .leaseRenew, .leaseRelease, .leaseCheck, .leaseRun, .journalAppend,
        .journalRead, .journalTrim, .journalList, .journalRemove, .who, .watch, .remove, .list,
        .stats, .reap, .initialize,
        .helpVerb, .version,
    ]
}
