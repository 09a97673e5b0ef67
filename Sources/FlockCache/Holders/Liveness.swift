internal import SystemCalls

/// How a PENDING record stands: a live claim, or a stale one and why.
enum Standing: Equatable {
    case live(Holder.Liveness)
    case stale(Store.Reaped.Reason)
}

extension OpenStore {
    /// Judges whether a claim still stands.
    ///
    /// Only what is proven makes it stale: its session's byte is free, its process of this boot and PID
    /// namespace is gone, its boot is over, or its own time is. What cannot be known from here is left
    /// to its deadline, and to a reaper that was told what to assume.
    func standing(of claim: ClaimSection) throws(StoreError) -> Standing {
        let here = try placeIfKnown()
        if let deadline = claim.deadline, deadline.hasCome(of: claim.place, from: here) {
            return .stale(.expired)
        }
        return try standingOfHolder(of: claim, from: here)
    }

    /// The same, whatever time it is.
    private func standingOfHolder(
        of claim: ClaimSection, from here: Place?
    ) throws(StoreError) -> Standing {
        switch claim.holder {
        case .nobody: return .live(.unknown)
        case .session(let id):
            if withLazy({ $0.session?.id }) == id { return .live(.alive) }
            let locks = try locksDirectory()
            let isAlive = try attempt("ask for the session", path) { () throws(Errno) in
                try SessionLock.isAlive(id, in: locks)
            }
            return isAlive ? .live(.alive) : .stale(.deadSession)
        case .process(let process):
            guard let here else { return .live(.unknown) }
            guard claim.place.boot == here.boot else {
                return isLocal ? .stale(.rebooted) : .live(.unknown)
            }
            guard claim.place.processNamespace == here.processNamespace else {
                return .live(.unknown)
            }
            let sameTime = claim.place.timeNamespace == here.timeNamespace
            let isAlive = try attempt("ask for pid \(process.id)", nil) { () throws(Errno) in
                try process.isAlive(sameTimeNamespace: sameTime)
            }
            return isAlive ? .live(.alive) : .stale(.deadProcess)
        }
    }

    /// Who a claim's record names, for messages.
    func holder(of claim: ClaimSection, standing: Standing) -> Holder {
        let here = (try? placeIfKnown()) ?? nil
        let age = claim.since.age(of: claim.place, from: here)
        // A claim whose time is over may well be somebody's who lives.
        let holderStanding =
            standing == .stale(.expired)
            ? try? standingOfHolder(of: claim, from: here) : standing
        let liveness: Holder.Liveness =
            switch holderStanding {
            case .live(let liveness): liveness
            case .stale: .dead
            case nil: .unknown
            }
        let session: UInt64? = if case .session(let id) = claim.holder { id } else { nil }
        return Holder(
            processID: claim.processID == 0 ? nil : claim.processID,
            command: text(ofCommand: claim.command), since: .microseconds(age),
            liveness: liveness, session: session)
    }
}

/// A program's name as a record has it, as text for people.
func text(ofCommand encoded: [UInt8]) -> String? {
    if encoded.isEmpty { return nil }
    // Also where it needed no decoding: another user may have written the record.
    return printable(String(decoding: EntryName.decode(encoded) ?? encoded, as: UTF8.self))
}
