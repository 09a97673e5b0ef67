import Glibc
import TestSupport

/// What a wrapper started and has not ended, but for the process beside COMMAND.
func commands(of wrapper: pid_t) -> [pid_t] {
    let path = "/proc/\(wrapper)/task/\(wrapper)/children"
    let text = String(decoding: contents(of: path) ?? [], as: UTF8.self)
    return text.split(separator: " ").compactMap { pid_t($0) }.filter { child in
        let name = String(decoding: contents(of: "/proc/\(child)/comm") ?? [], as: UTF8.self)
        return name != "attendant\n" && !hasEnded(child)
    }
}
