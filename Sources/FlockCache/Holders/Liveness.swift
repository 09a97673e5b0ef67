// Holders: who is alive. A claim is live or stale; it becomes stale when its session's byte is free, its process of
// this boot and PID namespace has exited, its boot is over on a local file system, or its own time has passed.
// What cannot be known is live with liveness unknown: a wrong "dead" would do the work twice.

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
        if isElsewhere(claim, from: here) {
            // What is proven of its holder needs no time.
            let standing = try standingOfHolder(of: claim, from: here)
            guard case .live = standing, isOverElsewhere(claim) else { return standing }
            return .stale(.expired)
        }
        if let deadline = claim.deadline,
            deadline.hasCome(of: claim.place, from: here) || isOver(claim, at: deadline, from: here)
        {
            return .stale(.expired)
        }
        return try standingOfHolder(of: claim, from: here)
    }

    /// Microseconds since a claim was made, at least.
    func age(of claim: ClaimSection, from here: Place?) -> Int64 {
        max(claim.since.age(of: claim.place, from: here), outlived(claim, from: here) ?? 0)
    }

    private func isOver(_ claim: ClaimSection, at deadline: Stamp, from here: Place?) -> Bool {
        let (time, overflow) = deadline.boot.subtractingReportingOverflow(claim.since.boot)
        guard !overflow, let outlived = outlived(claim, from: here) else { return false }
        // One that was renewed began its time again.
        return outlived >= min(time, claim.staleAfter ?? time)
    }

    /// How long this boot has lasted, in microseconds, where nothing better tells how old a claim is: one of
    /// an earlier boot that is dated in the future.
    ///
    /// Then the wall clock was set back (a machine without a battery for its clock begins each boot in the
    /// past), perhaps by years, and would keep the claim for as long. A clock of a time namespace may be any
    /// number: the inode of the first is the kernel's PROC_TIME_INIT_INO, and 0 stands for none at all.
    private func outlived(_ claim: ClaimSection, from here: Place?) -> Int64? {
        guard let here, isLocal, claim.place.boot != here.boot,
            here.timeNamespace == 0xefff_fffa || here.timeNamespace == 0
        else { return nil }
        let now = Stamp.now
        return now.wall < claim.since.wall ? now.boot : nil
    }

    /// Judges a claim whose session's file was removed, which no program of this kind does: its process is
    /// all that is left to ask.
    ///
    /// A process that runs may have given the session up, which then counts as alive for as long: a wrong
    /// "dead" would let two do the work.
    private func standing(ofLostSession claim: ClaimSection, from here: Place?) -> Standing {
        guard let here else { return .live(.unknown) }
        guard claim.place.boot == here.boot else {
            return isLocal ? .stale(.deadSession) : .live(.unknown)
        }
        guard claim.place.processNamespace == here.processNamespace else { return .live(.unknown) }
        do throws(Errno) {
            // Also nil for one that has ended and that its parent has not asked after.
            let process = try ProcessIdentity(of: claim.processID)
            if process == nil { return .stale(.deadSession) }
        } catch {
            return .live(.unknown)
        }
        guard claim.place.timeNamespace == here.timeNamespace,
            let status = ProcessStatus(of: claim.processID)
        else { return .live(.unknown) }
        // A later process has the number by chance. In ticks of a hundredth of a second.
        let started = Int64(clamping: status.startTime).multipliedReportingOverflow(by: 10_000)
        let isLater =
            started.overflow
            || started.partialValue > clampedSum(claim.since.boot, 20_000)
        return isLater ? .stale(.deadSession) : .live(.unknown)
    }

    /// The same, whatever time it is.
    func standingOfHolder(
        of claim: ClaimSection, from here: Place?
    ) throws(StoreError) -> Standing {
        switch claim.holder {
        case .nobody: return .live(.unknown)
        case .session(let id):
            if session.isOwn(id) { return .live(.alive) }
            let locks = try locksDirectory()
            let finding = try attempt("ask for the session", path) { () throws(Errno) in
                try SessionLock.find(id, claimed: claim.since.wall, in: locks)
            }
            return switch finding {
            case .alive: .live(.alive)
            case .dead: .stale(.deadSession)
            case .unproven: standing(ofLostSession: claim, from: here)
            }
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
        // Another machine's clock tells it, and may say anything.
        let age = isElsewhere(claim, from: here) ? nil : age(of: claim, from: here)
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
            command: text(ofCommand: claim.command),
            host: claim.host.flatMap { text(ofCommand: $0) },
            age: age.map { .microseconds($0) },
            liveness: liveness, session: session)
    }
}

/// A program's name as a record has it, as text for people.
func text(ofCommand encoded: [UInt8]) -> String? {
    if encoded.isEmpty { return nil }
    // Also where it needed no decoding: another user may have written the record.
    return printable(String(decoding: PercentCode.decode(encoded) ?? encoded, as: UTF8.self))
}
