internal import FlockCache
internal import Synchronization
internal import SystemCalls

/// Says that the store's file system does not answer, while this process waits for it in the kernel.
///
/// Such a call returns when the server is back, whatever time the command was given, and meanwhile its thread can say
/// nothing: no handler of a signal runs in it. So a thread of its own looks at it once a second, and makes no call of a
/// file that could wait itself.
///
/// It is there only where such a file system may be: where the kernel has mounted NFS, or a file system was allowed by
/// name. Elsewhere it costs one look at a name.
final class SilenceNotice: Sendable {
    private let isOver = Atomic<Bool>(false)
    private let words: Words
    private let path: [UInt8]
    private let patience: Duration

    private init(_ words: Words, _ path: [UInt8], _ patience: Duration) {
        (self.words, self.path, self.patience) = (words, path, patience)
    }

    /// Begins to look; nil where no file system could be silent.
    static func begin(_ environment: Environment, _ words: Words, _ path: [UInt8]) -> SilenceNotice?
    {
        guard environment.setting(.allowedFileSystems) != nil || mayHaveServers else { return nil }
        let notice = SilenceNotice(words, path, WaitNotice.patience(environment))
        do throws(Errno) {
            try startThread { notice.watch() }
        } catch {
            // The command does its work without.
            return nil
        }
        return notice
    }

    func end() { isOver.store(true, ordering: .relaxed) }

    /// Whether the kernel's client of NFS is there, in use or not.
    private static var mayHaveServers: Bool {
        (try? FileStatus.of(path: "/proc/fs/nfsfs/servers")) != nil
    }

    private func watch() {
        var blocked = Duration.zero
        var hasSpoken = false
        var switches: UInt64?
        while true {
            sleep(nanoseconds: Duration.seconds(1).clampedNanoseconds)
            if isOver.load(ordering: .relaxed) { return }
            let isBlocked = ProcessStatus.own?.isBlocked == true
            let former = switches
            switches = isBlocked ? ProcessStatus.ownSwitches : nil
            // Who makes many calls that wait is found in one of them each time, and is woken between them; a call
            // whose server is away is woken when it is tried again.
            guard let former, let now = switches, now - min(former, now) <= 1 else {
                (blocked, hasSpoken) = (.zero, false)
                continue
            }
            blocked += .seconds(1)
            // One look could have met a call that takes no time.
            guard !hasSpoken, blocked >= max(patience, .seconds(2)) else { continue }
            hasSpoken = true
            words.say(
                "the file system of the store at \(shown(path)) has not answered for \(blocked.spoken); this command goes "
                    + "on when it answers; to end it: kill \(Process.id) (in the middle of a change: kill -9)"
            )
        }
    }
}
