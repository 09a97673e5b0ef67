import Glibc

/// Every process that came from this one and has not been reaped, parents first.
package func descendants() -> [pid_t] {
    var found: [pid_t] = []
    var next = [getpid()]
    while let process = next.popLast() {
        for thread in names(in: "/proc/\(process)/task") {
            let text = contents(of: "/proc/\(process)/task/\(thread)/children") ?? []
            let children = String(decoding: text, as: UTF8.self).split(separator: " ")
            next.append(contentsOf: children.compactMap { pid_t($0) })
        }
        if process != getpid() { found.append(process) }
    }
    return found
}

/// A line that says what a process is, in which state, and what each of its threads waits for.
package func situation(of process: pid_t) -> String {
    func text(_ name: String) -> String {
        let bytes = (contents(of: "/proc/\(process)/\(name)") ?? []).map { $0 < 32 ? 32 : $0 }
        return String(decoding: bytes.prefix(300), as: UTF8.self)
    }
    // State and parent stand behind the name, which is in parentheses.
    let fields = (text("stat").split(separator: ")").last ?? "").split(separator: " ").prefix(2)
    let waits = names(in: "/proc/\(process)/task").map { text("task/\($0)/wchan") }
    let state = fields.joined(separator: ", child of ")
    return "\(process) \(state), in \(waits.joined(separator: " ")): \(text("cmdline"))"
}
