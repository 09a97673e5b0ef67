internal import SystemCalls

/// How long a change waits for the changes of others, and when it takes one for stuck.
///
/// On a busy machine a hundred processes may have a mutex in turn, all together for longer than one of them has
/// patience, and none of them is stuck. So who has it is looked for twice, half a second before the patience ends and
/// at its end: it is stuck where that is the same process, or one that cannot be seen. Otherwise the wait goes on from
/// look to look, to six times the patience at most.
struct Patience {
    /// From what patience on that is looked for, which takes milliseconds.
    ///
    /// Shorter waits are tries: of tasks, of those who keep leases, and of counting. They come again.
    static let worthASearch = Duration.seconds(1)
    private static let step = Duration.milliseconds(500)

    let duration: Duration
    /// How long was waited when the limit is over, for messages.
    private(set) var waited: Duration
    /// When to ask next whether it goes on.
    private(set) var limit: TimeLimit
    private var looks: Int
    private var former: Int32??

    /// - Parameter limit: when the patience ends, some of which may be over.
    init(_ duration: Duration, until limit: TimeLimit) {
        self.duration = duration
        waited = duration
        guard duration >= Self.worthASearch else {
            (self.limit, looks) = (limit, 0)
            return
        }
        self.limit = TimeLimit(.nanoseconds(limit.left) - Self.step)
        looks = Int(6 * (duration / Self.step))
    }

    /// Whether to wait on when the limit is over; then there is a new one.
    ///
    /// - Parameter holder: the process that has the mutex; nil where it cannot be seen.
    mutating func goesOn(behind holder: @autoclosure () -> Int32?) -> Bool {
        guard looks > 0 else { return false }
        looks -= 1
        let holder = holder()
        defer { former = .some(holder) }
        if let former {
            if former == holder { return false }
            waited += Self.step
        }
        limit = TimeLimit(Self.step)
        return true
    }
}
