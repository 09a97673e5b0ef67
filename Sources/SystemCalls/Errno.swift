internal import CSystem
internal import Glibc

/// A reason the kernel gave for refusing a call.
package struct Errno: Error, Hashable, Sendable {
    package let code: Int32

    package init(code: Int32) { self.code = code }

    package static let exists = Errno(code: EEXIST)
    package static let interrupted = Errno(code: EINTR)
    package static let illegalSeek = Errno(code: ESPIPE)
    package static let invalid = Errno(code: EINVAL)
    package static let noDevice = Errno(code: ENODEV)
    package static let noEntry = Errno(code: ENOENT)
    package static let noLocks = Errno(code: ENOLCK)
    package static let noMemory = Errno(code: ENOMEM)
    package static let noPermission = Errno(code: EACCES)
    package static let noSpace = Errno(code: ENOSPC)
    package static let noSuchProcess = Errno(code: ESRCH)
    package static let notADirectory = Errno(code: ENOTDIR)
    package static let notImplemented = Errno(code: ENOSYS)
    package static let notPermitted = Errno(code: EPERM)
    package static let brokenPipe = Errno(code: EPIPE)
    package static let fileTooBig = Errno(code: EFBIG)
    package static let noSuchOperation = Errno(code: ENOTTY)
    package static let notSupported = Errno(code: EOPNOTSUPP)
    package static let overQuota = Errno(code: EDQUOT)
    package static let readOnly = Errno(code: EROFS)
    package static let isADirectory = Errno(code: EISDIR)
    package static let symbolicLink = Errno(code: ELOOP)
    package static let tooManyFiles = Errno(code: EMFILE)
    package static let tooManyFilesInSystem = Errno(code: ENFILE)
    package static let timerExpired = Errno(code: ETIME)
    package static let wouldBlock = Errno(code: EAGAIN)
    package static let inputOutput = Errno(code: EIO)

    /// Whether there is nothing of that name, or no longer.
    var meansNothingThere: Bool {
        self == .noEntry || self == .notADirectory || self == .noSuchProcess
    }

    /// Whether the system, or this process by its limits, is out of descriptors, memory or locks: what was asked
    /// for may be there all the same.
    package var isShortage: Bool {
        switch self {
        case .tooManyFiles, .tooManyFilesInSystem, .noMemory, .noLocks: true
        default: false
        }
    }

    /// The system's words for it.
    package var message: String { unsafe String(cString: csystem_message(code)) }
}

/// Makes a system call, again for as long as a signal interrupts it: the only such loop.
///
/// `close` does not come through here: on Linux the descriptor is gone even when it is interrupted,
/// and a second try could close somebody else's.
@inline(__always)
func call(_ body: () -> Int64) throws(Errno) -> Int64 {
    while true {
        #if DEBUG
        let result = Faults.reach() ?? body()
        #else
        let result = body()
        #endif
        if result >= 0 { return result }
        let errno = Errno(code: Int32(truncatingIfNeeded: -result))
        if errno != .interrupted { throw errno }
    }
}
