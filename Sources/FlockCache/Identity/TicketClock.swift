internal import SystemCalls

/// The clock of queues: the boot clock of the first time namespace, which all processes of a machine share.
enum TicketClock {
    static var now: BootTime {
        BootTime(nanoseconds: BootTime.now.nanoseconds - (TimeNamespace.offset ?? 0) * 1000)
    }

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
