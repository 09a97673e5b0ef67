// Identity: who and when. Processes told apart from all others (`ProcessIdentity`), the kernel and namespaces in
// which a number or a clock means something (`Place`), moments by two clocks (`Stamp`, `LeaseTime`).
//
// What could break it: a pid that is used again (the inode of a pidfd, or the start time), a clock that is set
// (the boot clock counts within a boot), another PID or time namespace (nothing is concluded across them), no
// /proc (nil: nothing is known). In doubt a process lives.

internal import SystemCalls

/// The kernel and the namespaces in which a process number or a clock means something.
struct Place: Equatable, Sendable {
    /// The kernel's identity since it started.
    let boot: BootID
    /// Inodes of the namespaces.
    let processNamespace: UInt64
    let timeNamespace: UInt64

    /// Where this process is; nil without a `/proc`: the kernel tells the boot id nowhere else.
    ///
    /// A process stays where it is; only a child that is forked may find itself in other
    /// namespaces.
    ///
    /// - Throws: any other reason for which it cannot be told, such as a shortage of descriptors.
    static func current() throws(Errno) -> Place? {
        if atStart.epoch == ForkEpoch.current, let place = atStart.place { return place }
        return try find()
    }

    // What failed is tried again by whoever asks next.
    private static let atStart = (epoch: ForkEpoch.current, place: (try? find()) ?? nil)

    private static func find() throws(Errno) -> Place? {
        guard
            let text = try Process.contentsIfThere(
                of: "/proc/sys/kernel/random/boot_id", upTo: 64),
            let boot = BootID(text.prefix(36)),
            let processNamespace = try Process.namespaceIfThere("/proc/self/ns/pid")
        else { return nil }
        // Kernels before 5.6 have no time namespaces: everybody is in one.
        let timeNamespace = try Process.namespaceIfThere("/proc/self/ns/time") ?? 0
        return Place(boot: boot, processNamespace: processNamespace, timeNamespace: timeNamespace)
    }
}

/// The 128 bits of `/proc/sys/kernel/random/boot_id`.
struct BootID: Equatable, Sendable {
    let high, low: UInt64

    /// Of no boot: what a block holds that was never written.
    static let none = BootID(high: 0, low: 0)

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The digits, with hyphens anywhere.
    init?(_ text: some Collection<UInt8>) {
        var words: (UInt64, UInt64) = (0, 0)
        var count = 0
        for byte in text where byte != UInt8(ascii: "-") {
            guard count < 32, let digit = hexadecimalDigit(byte) else { return nil }
            words.0 = words.0 << 4 | words.1 >> 60
            words.1 = words.1 << 4 | UInt64(digit)
            count += 1
        }
        guard count == 32 else { return nil }
        (high, low) = words
    }

    /// The digits without hyphens.
    var text: [UInt8] { hexadecimal(high, digits: 16) + hexadecimal(low, digits: 16) }
}

/// A moment by two clocks: the boot clock for who shares boot and time namespace, the wall clock
/// for everybody else and for people.
///
/// Microseconds.
struct Stamp: Equatable, Sendable {
    let wall: Int64
    let boot: Int64

    static var now: Stamp {
        Stamp(wall: WallClock.microseconds, boot: bootNow)
    }

    func advanced(by duration: Duration) -> Stamp {
        let step = duration.clampedMicroseconds
        return Stamp(wall: clampedSum(wall, step), boot: clampedSum(boot, step))
    }

    /// Microseconds from this moment of `place` until now, seen from `here`; nil is a place that is not known.
    ///
    /// By the wall clock it is not below zero.
    func age(of place: Place, from here: Place?) -> Int64 {
        place.sharesClock(with: here)
            ? clampedDifference(Self.bootNow, boot)
            : max(0, clampedDifference(WallClock.microseconds, wall))
    }

    /// Microseconds from now until this moment of `place`, seen from `here`; not below zero.
    func timeLeft(of place: Place, from here: Place?) -> Int64 {
        max(
            0,
            place.sharesClock(with: here)
                ? clampedDifference(boot, Self.bootNow)
                : clampedDifference(wall, WallClock.microseconds))
    }

    /// Whether this moment of `place` has come.
    func hasCome(of place: Place, from here: Place?) -> Bool {
        place.sharesClock(with: here) ? Self.bootNow >= boot : WallClock.microseconds >= wall
    }

    private static var bootNow: Int64 { BootTime.now.nanoseconds / 1000 }
}

extension Place {
    /// Whether the boot clock of the one is that of the other.
    fileprivate func sharesClock(with other: Place?) -> Bool {
        boot == other?.boot && timeNamespace == other?.timeNamespace
    }
}

/// The sum, or the end of the range that it is beyond: for numbers that somebody else has written.
func clampedSum<Number: FixedWidthInteger>(_ a: Number, _ b: Number) -> Number {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? (b < 0 ? .min : .max) : sum
}

/// The difference, or the end of the range that it is beyond.
func clampedDifference<Number: FixedWidthInteger>(_ a: Number, _ b: Number) -> Number {
    let (difference, overflow) = a.subtractingReportingOverflow(b)
    return overflow ? (b < 0 ? .max : .min) : difference
}
