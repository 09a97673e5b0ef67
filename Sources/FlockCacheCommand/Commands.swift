extension Verb {
    /// All commands, in the order in which they are explained.
    static let all: [Verb] = [
        .run, .claim, .finalize, .renew, .abandon, .get, .wait, .lock,
        .leaseRun, .leaseAcquire, .leaseRenew, .leaseRelease, .leaseCheck, .put, .increment,
        .remove, .journalAppend, .journalRead, .journalTrim, .journalList, .journalRemove, .who,
        .list, .stats, .watch, .initialize, .reap, .doctor, .helpVerb, .man, .completions, .version,
    ]
}
