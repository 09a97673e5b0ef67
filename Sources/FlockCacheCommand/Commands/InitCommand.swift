internal import FlockCache

extension Verb {
    static let initialize = Verb(
        name: "init", group: .maintain, summary: "Create a store with settings.",
        operands: [],
        options: [.mode, .durable, .journal],
        detail: """
            Needed only for settings: a store is otherwise created by its first use. Settings cannot be changed later.

            With --mode 0770 the members of the directory's group use the store too, with 0750 they read it. Make the directory first, with that group: install -d -m 2755 -g GROUP DIRECTORY.
            """,
        exits: """
            0 created, or exists with these settings
            73 exists with other settings
            """,
        example: """
            flock-cache --store /var/cache/builds init --mode 0770
            """,
        run: runInit)
}

@Sendable private func runInit(_ invocation: Invocation) throws(Failure) -> ExitCode {
    var marker = Marker()
    if let mode = invocation.mode(.mode) {
        guard Marker.isAcceptable(mode: mode) else {
            let text = shown(invocation.text(.mode) ?? [])
            throw .usage("--mode takes \(OptionKind.mode.expectation), not '\(text)'")
        }
        marker.mode = mode
    }
    marker.isDurable = invocation.has(.durable)
    marker.hasJournal = invocation.has(.journal)
    let store = try invocation.openStore()
    let wanted = marker
    let found = try failing { () throws(StoreError) in try store.session.make(wanted) }
    guard found == wanted else {
        throw Failure(
            .cannotCreate,
            "the store at \(shown(try invocation.storePath())) exists with other settings "
                + "(\(found.summary)); settings cannot be changed: make another store, or, when no process uses this one, "
                + "remove it and make it again")
    }
    return .yes
}

extension Marker {
    fileprivate var summary: String {
        "mode 0\(String(mode, radix: 8)), \(isDurable ? "durable" : "not durable"), "
            + (hasJournal ? "with a journal of its changes" : "without a journal of its changes")
    }
}
