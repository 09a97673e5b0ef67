internal import SystemCalls

// Claims that are stale after a time, of another machine or an earlier boot, on a network file system: `Sighting`.

extension OpenStore {
    /// Whether a claim of another boot has been seen unchanged for as long as it lasts; notes that it was seen.
    ///
    /// Its deadline is by the wall clock of the machine that wrote it, and says nothing here.
    func isOverElsewhere(_ claim: ClaimSection) -> Bool {
        Sighting.Subject(claim, in: self).map { Sighting.noteIfPossible(of: $0, in: self) } == 0
    }

    /// How long a claim may last, in microseconds, where it is renewed no more; nil where no time ends it.
    ///
    /// Of another machine's claim, as long as it has to be seen unchanged.
    func timeLeft(of claim: ClaimSection) throws(StoreError) -> Int64? {
        let here = try placeIfKnown()
        guard let deadline = claim.deadline else { return nil }
        guard isElsewhere(claim, from: here), let subject = Sighting.Subject(claim, in: self) else {
            return deadline.timeLeft(of: claim.place, from: here)
        }
        return try Sighting.timeLeft(of: subject, in: self) ?? subject.timeToLive
    }

    /// Takes away what was seen of another machine's claim, which has been taken over.
    func forgetSighting(of claim: ClaimSection) {
        guard isElsewhere(claim, from: (try? placeIfKnown()) ?? nil),
            let subject = Sighting.Subject(claim, in: self)
        else { return }
        Sighting.forget(subject, in: self)
    }

    /// Whether a claim may be another machine's.
    func isElsewhere(_ claim: ClaimSection, from here: Place?) -> Bool {
        !isLocal && claim.place.boot != here?.boot
    }
}

extension Sighting.Subject {
    /// nil for a claim that no time ends.
    fileprivate init?(_ claim: ClaimSection, in store: OpenStore) {
        guard let deadline = claim.deadline, let time = claim.renewedFor,
            let key = PercentCode.decode(claim.name), let name = try? EntryName(Store.Key(key))
        else { return nil }
        self.init(
            shard: name.shard, text: claim.name + Array("/claim".utf8), slot: 0,
            generation: claim.generation,
            // Each renewal moves it.
            sequence: UInt64(clamping: deadline.boot), timeToLive: time,
            path: store.file(name.pending, in: name.shard))
    }
}
