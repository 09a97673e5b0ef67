internal import FlockCache
internal import SystemCalls

/// What `/proc` tells of a holder that is running here, for people and `--json`.
///
/// A holder's number is of its own PID namespace, so the process counts as the holder only if it has the name that the
/// holder has recorded, or is a flock-cache that runs a COMMAND for it.
struct RunningHolder {
    /// A name of `/etc/passwd`, else a number.
    let user: String?
    let isStopped: Bool
    /// The COMMAND that it runs, if it does.
    let child: Int32?

    private static let ownName = Array("flock-cache".utf8)

    /// nil where it is not running, or is not to be seen from here.
    init?(_ holder: Holder) {
        guard holder.liveness == .alive, let id = holder.processID,
            let status = ProcessStatus(of: id)
        else { return nil }
        let isWrapper = status.command == Self.ownName
        // The kernel keeps 15 bytes of a name.
        guard
            isWrapper
                || holder.command.map({ status.command.elementsEqual($0.utf8.prefix(15)) }) == true
        else { return nil }
        isStopped = status.isStopped
        user = (try? FileStatus.of(path: FileName(Array("/proc/\(id)".utf8)))).map {
            Self.name(ofUser: $0.user)
        }
        child = isWrapper ? Self.child(of: id) : nil
    }

    private static func name(ofUser user: UInt32) -> String {
        let number = Array(String(user).utf8)
        let lines = Process.contents(of: "/etc/passwd", upTo: 1 << 20) ?? []
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(
                separator: UInt8(ascii: ":"), maxSplits: 3, omittingEmptySubsequences: false)
            if fields.count > 2, fields[2].elementsEqual(number) {
                return String(decoding: fields[0], as: UTF8.self)
            }
        }
        return String(user)
    }

    /// The child that is no process of flock-cache itself.
    private static func child(of process: Int32) -> Int32? {
        let path = FileName(Array("/proc/\(process)/task/\(process)/children".utf8))
        for number in (Process.contents(of: path) ?? []).split(separator: UInt8(ascii: " ")) {
            guard let id = Int32(String(decoding: number, as: UTF8.self)),
                let status = ProcessStatus(of: id)
            else { continue }
            if !status.command.elementsEqual("attendant".utf8) { return id }
        }
        return nil
    }
}
