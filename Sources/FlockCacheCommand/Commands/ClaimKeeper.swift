internal import FlockCache
internal import SystemCalls

/// Renews the claim of a COMMAND that runs, at a third of the time after which it is stale.
///
/// Where another process has taken the claim over, or it could not be renewed in time, that is told when COMMAND has
/// ended: its value is then not published.
final class ClaimKeeper {
    private let upkeep: Upkeep
    private var isLost = false

    init(
        _ store: Store, _ key: Store.Key, _ generation: Store.Generation, _ staleAfter: Duration
    ) {
        let session = store.session
        upkeep = Upkeep(for: staleAfter, until: BootTime(nanoseconds: .max), overdue: "") {
            do throws(StoreError) {
                // A change takes microseconds: what is busy is tried again.
                try session.renew(key, generation, patience: .zero)
                return .kept
            } catch {
                switch error.code {
                case .claimLost: return .lost(error.description)
                case .timedOut: return .busy
                // Tried again until the time is over, and after it; what comes of it, publishing tells.
                default: return .failed(error.description)
                }
            }
        }
    }

    /// Whether a renewal is being made, which may be waiting for a device or a server.
    var isTrying: Bool { upkeep.isTrying }

    /// Renews the claim when it is time; returns when to look again.
    func look() -> Duration? {
        if isLost { return nil }
        switch upkeep.look() {
        case .kept(let again): return again
        case .lost:
            isLost = true
            return nil
        }
    }
}
