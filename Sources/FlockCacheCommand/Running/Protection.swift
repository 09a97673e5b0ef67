internal import FlockCache
internal import SystemCalls

/// What COMMAND runs under, and that ends it when that is lost: TERM, and KILL after a time.
final class Protection {
    private let upkeep: Upkeep?
    private let killAfter: Duration
    /// Why it was lost.
    private(set) var loss: String?
    /// When COMMAND is killed; nil when it was.
    private var killing: BootTime?

    /// - Parameter upkeep: nil where nothing has to be kept up.
    init(_ upkeep: Upkeep?, killAfter: Duration) {
        self.upkeep = upkeep
        self.killAfter = killAfter
    }

    /// From when on COMMAND must not be started any more; nil where nothing has to be kept up.
    var deadline: BootTime? { upkeep?.deadline }

    /// Sleeps stand still through a suspend, and the clock of leases does not.
    private static let longestSleep = Duration.seconds(1)

    /// Sees to what is kept up, and ends COMMAND when it is lost; returns when to look again.
    func look(_ relay: SignalRelay) -> Duration? {
        if loss != nil { return lookAtEnding(relay) }
        guard let upkeep else { return nil }
        switch upkeep.look() {
        case .kept(let again):
            if relay.guardEnd(at: upkeep.deadline, killAfter: killAfter) { return again }
            lose(Self.unknown + Self.whileStopped)
            return min(killAfter, Self.longestSleep)
        case .lost(let reason):
            if ChildProcess.takeEnd(killAfter: killAfter) {
                lose(reason + Self.whileStopped)
            } else {
                lose(reason)
                relay.send(.terminates)
            }
            return min(killAfter, Self.longestSleep)
        }
    }

    private func lookAtEnding(_ relay: SignalRelay) -> Duration? {
        guard let killing else { return nil }
        let left = killing.nanoseconds - BootTime.now.nanoseconds
        if left > 0 { return min(.nanoseconds(left), Self.longestSleep) }
        relay.send(.kills)
        self.killing = nil
        return nil
    }

    /// Sees whether it was kept to the end, when COMMAND has ended.
    ///
    /// - Parameter again: whether that has to be asked once more.
    func finish(again: Bool) {
        guard loss == nil, let upkeep else { return }
        let wasEnded = ChildProcess.takeEnd(killAfter: killAfter)
        let reason = upkeep.finish(again: again)
        if wasEnded {
            lose((reason ?? Self.unknown) + Self.whileStopped)
        } else if let reason {
            lose(reason)
        }
    }

    private static let unknown = "what COMMAND ran under was not known to last any longer"
    /// Added where the process beside COMMAND has ended it.
    private static let whileStopped = ", while flock-cache was stopped"

    func lose(_ reason: String) {
        loss = reason
        killing = BootTime.now.advanced(by: killAfter)
    }

    /// Whether something that it began may be waiting for a device or a server, as anything would that is done next.
    var isStuck: Bool { upkeep?.isTrying ?? false }
}
