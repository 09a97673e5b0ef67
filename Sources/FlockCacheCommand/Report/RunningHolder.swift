internal import FlockCache
internal import SystemCalls

/// What `/proc` tells of a holder that is running here, for people and `--json`.
///
/// A holder's number is of its own PID namespace, so the process counts as the holder only if it has the name that the
/// holder has recorded, or is a flock-cache that runs a COMMAND for it.
struct RunningHolder {
    /// A name of `/etc/passwd`, else a number.
    let user: String?
    /// It, or the COMMAND that it runs.
    let isStopped: Bool
    /// The COMMAND that it runs, if it does.
    let child: Int32?

    /// The name of COMMAND's program where `run` has claimed a key, and the claim has the name of flock-cache; else what
    /// the holder has recorded.
    let command: String?

    /// It may have been installed under another name than its own.
    private static let wrapperNames =
        [Array("flock-cache".utf8)] + (ProcessStatus(of: Process.id).map { [$0.command] } ?? [])

    /// nil where it is not running, or is not to be seen from here.
    init?(_ holder: Holder) {
        guard holder.liveness == .alive, let id = holder.processID,
            let status = ProcessStatus(of: id)
        else { return nil }
        let isWrapper = Self.wrapperNames.contains(status.command)
        // The kernel keeps 15 bytes of a name.
        let hasRecordedName =
            holder.command.map { status.command.elementsEqual($0.utf8.prefix(15)) } == true
        guard isWrapper || hasRecordedName else { return nil }
        user = (try? FileStatus.of(path: FileName(Array("/proc/\(id)".utf8)))).map {
            Self.name(ofUser: $0.user)
        }
        child = isWrapper ? Self.child(of: id) : nil
        let childStatus = child.flatMap { ProcessStatus(of: $0) }
        // A stopped COMMAND holds as one whose flock-cache is stopped.
        isStopped = status.isStopped || childStatus?.isStopped == true
        command =
            hasRecordedName && isWrapper
            ? childStatus.map { String(decoding: $0.command, as: UTF8.self) } ?? holder.command
            : holder.command
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
