internal import SystemCalls

/// A moment by two clocks: the boot clock of the first time namespace, which all processes of a boot can tell
/// whatever namespace they are in and whatever is done to the wall clock; and the wall clock, for other
/// boots and for people.
///
/// Microseconds.
struct LeaseTime: Equatable, Sendable {
    let stamp: Stamp

    init(_ stamp: Stamp) { self.stamp = stamp }

    /// Now; the boot clock is 0 where its namespace's offset is not known.
    static var now: LeaseTime {
        let boot = TimeNamespace.offset.map { BootTime.now.nanoseconds / 1000 - $0 } ?? 0
        return LeaseTime(Stamp(wall: WallClock.microseconds, boot: boot))
    }

    func advanced(by duration: Duration) -> LeaseTime {
        let later = stamp.advanced(by: duration)
        return LeaseTime(Stamp(wall: later.wall, boot: stamp.boot == 0 ? 0 : later.boot))
    }

    /// Microseconds from now until this moment of a boot, negative when it has passed.
    func timeLeft(ofThisBoot isOfThisBoot: Bool) -> Int64 {
        let now = Self.now.stamp
        guard isOfThisBoot, stamp.boot != 0, now.boot != 0 else {
            return clampedDifference(stamp.wall, now.wall)
        }
        return clampedDifference(stamp.boot, now.boot)
    }
}

/// The time namespace of this process.
enum TimeNamespace {
    /// By how many microseconds the boot clock here is ahead of that of the first namespace; nil where that
    /// cannot be told.
    static var offset: Int64? {
        atStart.epoch == ForkEpoch.current ? atStart.offset : find()
    }

    private static let atStart = (epoch: ForkEpoch.current, offset: find())

    private static func find() -> Int64? {
        // Kernels before 5.6 have no such file, and no such namespaces.
        guard let text = Process.contents(of: "/proc/self/timens_offsets", upTo: 256) else {
            return 0
        }
        // The file is about the namespace that children get, which is ours but between `unshare(2)` and the
        // next fork.
        let own = Process.namespace("/proc/self/ns/time")
        guard own == Process.namespace("/proc/self/ns/time_for_children") else { return nil }
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count == 3, words[0].elementsEqual("boottime".utf8),
                let seconds = Int64(String(decoding: words[1], as: UTF8.self)),
                let nanoseconds = Int64(String(decoding: words[2], as: UTF8.self))
            else { continue }
            return seconds * 1_000_000 + nanoseconds / 1000
        }
        return nil
    }
}
