internal import CSystem

/// A point on `CLOCK_BOOTTIME`: runs through suspend, never steps, begins anew at boot.
package struct BootTime: Comparable, Hashable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static var now: BootTime { BootTime(nanoseconds: csystem_boot_time()) }

    package static func < (a: BootTime, b: BootTime) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The time that much later; the end of time if that is beyond it.
    package func advanced(by duration: Duration) -> BootTime {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.clampedNanoseconds)
        return BootTime(nanoseconds: overflow ? .max : sum)
    }
}

/// The end of a wait.
///
/// On a clock that stands still through a suspend: what is waited for stood still as well, and would otherwise be
/// given up at resume, before it had a chance.
package struct TimeLimit: Sendable {
    /// On the monotonic clock.
    let end: Int64

    /// So long from now; nil is without end.
    package init(_ limit: Duration?) {
        guard let limit else {
            end = .max
            return
        }
        let (sum, overflow) = csystem_monotonic_time().addingReportingOverflow(
            max(0, limit.clampedNanoseconds))
        end = overflow ? .max : sum
    }

    package var isOver: Bool { left == 0 }

    /// When it comes by the boot clock, if nothing is suspended until then: for one sleep, and not to be kept.
    package var deadline: BootTime {
        let (sum, overflow) = BootTime.now.nanoseconds.addingReportingOverflow(left)
        return BootTime(nanoseconds: overflow ? .max : sum)
    }

    /// How much is left, in nanoseconds.
    package var left: Int64 { end == .max ? .max : max(0, end - csystem_monotonic_time()) }
}

/// The wall clock, in microseconds since 1970: for people, and for what must be told across boots.
package enum WallClock {
    package static var microseconds: Int64 { nanoseconds / 1000 }

    #if DEBUG
    package static var nanoseconds: Int64 { csystem_wall_time() + Faults.wallClockShift }
    #else
    package static var nanoseconds: Int64 { csystem_wall_time() }
    #endif
}

extension Duration {
    /// Whole nanoseconds; about 292 years at most.
    package var clampedNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? .max : sum
    }

    /// Whole microseconds.
    package var clampedMicroseconds: Int64 { clampedNanoseconds / 1000 }
}

/// Sleeps, or until a signal is handled; for waits that look again by themselves.
package func sleep(nanoseconds: Int64) { csystem_sleep(nanoseconds) }

/// Lets somebody else run.
package func yieldProcessor() { csystem_yield() }

/// Whether somebody else can run beside this thread.
package var hasOtherProcessors: Bool { csystem_has_processors() != 0 }

/// Does nothing for a few microseconds, without giving the processor up: for what another processor is about to do.
package func spin(nanoseconds: Int64) { csystem_spin(nanoseconds) }

/// A number from 0 to `most`, as good as chance where nobody is to guess it.
///
/// From the clock: without a system call, and without what `random(in:)` has the runtime build at its first use, under
/// a lock that a child which is forked meanwhile never gets.
package func jitter(upTo most: Int64) -> Int64 {
    let mixed = UInt64(bitPattern: BootTime.now.nanoseconds) &* 0x9e37_79b9_7f4a_7c15
    return Int64(mixed >> 16) % (most + 1)
}

/// 64 bits that nobody can foretell.
package func randomBits() throws(Errno) -> UInt64 {
    var bits: UInt64 = 0
    _ = try call { unsafe csystem_random(&bits, 8) }
    return bits
}
