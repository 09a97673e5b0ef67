internal import SystemCalls

// A slot whose record is damaged. Whoever has it cannot be told; but for how long at most can: it was granted or
// renewed before it was found so. From then on the slot is taken by nobody for one time to live, under a generation
// of its own: its former holder is told at its next renewal, and the slot is free when that time is over.
//
// The time is that of the cell beside the damaged one. Where there is none it is what is asked for by who finds it:
// contenders for a lease name the same.

/// A slot that was set aside.
struct LeaseDamage {
    let error: StoreError
    /// Where its bytes are kept; nil where they could not be.
    let keptAt: String?
}

extension OpenStore {
    /// Moves what a damaged slot holds to `damaged/`, and has the slot taken by nobody for one time to live.
    ///
    /// Killed half-way the slot is damaged as before, or taken.
    func setAside(
        _ index: Int, of file: LeaseFile, _ name: EntryName, _ request: LeaseRequest,
        _ held: inout HeldShard
    ) throws(StoreError) -> LeaseDamage {
        guard case .damaged(let beside, _) = try file.slot(index) else {
            preconditionFailure("the slot is not damaged")
        }
        let timeToLive =
            beside?.timeToLive ?? request.timeToLive?.clampedMicroseconds ?? Self.unknownTimeToLive
        let kept = keep(try file.bytes(of: index), of: name)
        let generation = try held.nextGeneration(above: beside?.generation ?? 0)
        let nobody = LeaseCell(
            generation: generation,
            LeaseRequest(timeToLive: .microseconds(timeToLive), processID: 0, command: []),
            at: try place(), since: .now)
        // Whose lease it was the cell beside it most often tells.
        let lost = ToldEvent(event: .expired, generation: beside?.generation ?? 0)
        let sequence = try file.nextSequence(of: index)
        try held.begin(
            generation: generation,
            .lease(
                name, slot: index, sequence: sequence,
                [lost, ToldEvent(event: .leased, generation: generation)]))
        try file.write(nobody, in: index, durably: isDurable)
        held.commit()
        return LeaseDamage(
            error: .damagedLease(
                leasePath(name), keptAt: kept, takenFor: .microseconds(timeToLive)), keptAt: kept)
    }

    /// Where neither the record nor who asks for the lease names a time: a minute, in microseconds.
    private static var unknownTimeToLive: Int64 { 60_000_000 }

    /// Keeps bytes for inspection; returns the path, nil where that fails: it must not keep the slot from being used.
    private func keep(_ bytes: [UInt8], of name: EntryName) -> String? {
        let target = Layout.damagedRecord(name, at: WallClock.microseconds)
        guard let directory = try? files.damagedDirectory() else { return nil }
        do throws(Errno) {
            let file = try marker.create(target, in: directory)
            try file.write(bytes)
        } catch {
            // A part of it would say nothing.
            _ = try? directory.unlink(target)
            return nil
        }
        return self.file(Layout.damaged, in: nil) + "/"
            + String(decoding: target.bytes, as: UTF8.self)
    }
}
