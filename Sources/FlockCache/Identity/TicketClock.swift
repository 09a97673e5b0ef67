internal import Synchronization
internal import SystemCalls

/// The clock of queues: the boot clock of the first time namespace, which all processes of a machine share.
enum TicketClock {
    static var now: BootTime {
        BootTime(nanoseconds: BootTime.now.nanoseconds - offset)
    }

    /// By how many nanoseconds the boot clock here is ahead; 0 where that cannot be told.
    private static var offset: Int64 {
        // Only a fork leads into another namespace; to look takes some system calls.
        let epoch = Int64(ForkEpoch.current) + 1
        if knownEpoch.load(ordering: .acquiring) == epoch {
            return knownOffset.load(ordering: .relaxed)
        }
        let offset = (TimeNamespace.offset ?? 0) * 1000
        knownOffset.store(offset, ordering: .relaxed)
        knownEpoch.store(epoch, ordering: .releasing)
        return offset
    }

    /// 0 before anything is known.
    private static let knownEpoch = Atomic<Int64>(0)
    private static let knownOffset = Atomic<Int64>(0)

    /// What tickets count at a moment: units of 2^16 nanoseconds.
    ///
    /// - Parameter isLocal: whether all who wait are on this machine; each machine's boot clock begins at another time.
    static func units(at moment: BootTime, isLocal: Bool) -> Int64 {
        let ago = BootTime.now.nanoseconds - moment.nanoseconds
        let units = ((isLocal ? now.nanoseconds : WallClock.nanoseconds) - ago) >> 16
        #if DEBUG
        return Faults.ticketClock(units)
        #else
        return units
        #endif
    }
}
