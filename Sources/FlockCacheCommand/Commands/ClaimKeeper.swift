internal import FlockCache
internal import SystemCalls

/// Renews the claim of a COMMAND that runs, at a third of the time after which it is stale.
///
/// Where another process has taken the claim over, that is told when COMMAND has ended: its value is not published.
final class ClaimKeeper {
    private let store: Store
    private let key: Store.Key
    private let generation: Store.Generation
    private var renewal: LeaseRenewal
    private var isLost = false

    init(
        _ store: Store, _ key: Store.Key, _ generation: Store.Generation, _ staleAfter: Duration
    ) {
        self.store = store
        self.key = key
        self.generation = generation
        renewal = LeaseRenewal(staleAfter)
    }

    /// Sleeps stand still through a suspend, and the clock of claims does not.
    private static let longestSleep = Duration.seconds(1)

    /// Renews the claim when it is time; returns when to look again.
    func look() -> Duration? {
        if isLost { return nil }
        if renewal.timeLeft <= .zero { renew() }
        return isLost ? nil : max(.zero, min(renewal.timeLeft, Self.longestSleep))
    }

    private func renew() {
        do throws(StoreError) {
            // Waits for nobody: signals and output are passed on by this thread.
            try store.session.renew(key, generation, patience: .zero)
            renewal.succeeded()
        } catch {
            switch error.code {
            case .claimLost: isLost = true
            case .timedOut: renewal.wasBusy()
            // Tried again until the time is over; what comes of it, publishing tells.
            default: renewal.failed()
            }
        }
    }
}
