internal import FlockCache
internal import SystemCalls

extension Verb {
    static let doctor = Verb(
        name: "doctor", group: .maintain, summary: "Check the store and its file system.",
        operands: [], options: [.repair, .serve, .meet, .meetingWait],
        detail: """
            Each line is ok, warning or failed, the check, what was found, and what to do, separated by tabs; on a terminal, a table. It checks the file system and its mount options, locks, permissions, free space, the clock, every record, the counts, unfinished changes, lock files that were removed while in use, and debris.
            Without --repair it changes nothing. With it, it recounts, removes stale claims and debris, completes the changes of killed processes, and quarantines corrupt records; it is safe beside everything else.
            Where hosts share a store, run --serve on one and --meet on another to check that the two exclude one another.
            """,
        exits: """
            0 every check is ok or a warning, or was repaired
            1 at least one check failed
            66 there is no store
            124 timed out, with --serve or --meet: no other host came
            """,
        example: """
            flock-cache doctor
            flock-cache --store /var/lib/app doctor --repair
            flock-cache --store /net/app doctor --serve
            """,
        run: runDoctor)
}

@Sendable private func runDoctor(_ invocation: Invocation) throws(Failure) -> ExitCode {
    if invocation.has(.serve) || invocation.has(.meet) { return try hold(invocation) }
    var findings: [Finding] = []
    do throws(Failure) {
        let store = try invocation.openStore()
        let progress = Progress(invocation, "checking records")
        let isThere = try failing { () throws(StoreError) in
            try Doctor.examine(
                store.session, repairing: invocation.has(.repair),
                sweep: { () throws(StoreError) in
                    try store.session.reapAll(ReapRequest(.init(), dryRun: false) { _ in })
                },
                report: { findings.append($0) }, progress: progress.step)
        }
        progress.end()
        guard isThere else {
            throw Failure(
                .notAStore,
                "there is no store at \(shown(try invocation.storePath())); its first use creates it: check the path"
            )
        }
    } catch {
        // What keeps every command from using the store is what is to be found.
        guard error.storeError != nil, error.code != .notAStore else { throw error }
        let advice =
            error.storeError?.code == .permissionDenied
            ? "run doctor as the user whose store it is, or as root"
            : "remove the cause, and run doctor again"
        findings.append(Finding(.failed, "store", error.message, advice))
    }
    try invocation.report(findings)
    return findings.contains { $0.verdict == .failed } ? .no : .yes
}

/// Has two hosts prove that they exclude one another.
private func hold(_ invocation: Invocation) throws(Failure) -> ExitCode {
    guard !invocation.has(.repair), invocation.has(.serve) != invocation.has(.meet) else {
        throw .usage("doctor takes one of --serve, --meet and --repair")
    }
    let store = try invocation.openStore()
    let wait = try invocation.waitByDefault()
    let end = try failing { () throws(StoreError) in
        try Meeting.hold(
            store.session, serving: invocation.has(.serve), waiting: wait.limit)
    }
    guard case .found(let finding) = end else {
        let other = invocation.has(.serve) ? "--meet" : "--serve"
        throw Failure(
            .timedOut,
            "no other host came: run 'flock-cache doctor \(other)' there, on the same store")
    }
    try invocation.report([finding])
    return finding.verdict == .failed ? .no : .yes
}

extension Invocation {
    fileprivate func report(_ findings: [Finding]) throws(Failure) {
        var results = results
        if has(.json) {
            for finding in findings { try results.line(JSON.line(finding.members)) }
        } else if let table = Table(self) {
            let rows = findings.map { [$0.verdict.rawValue, $0.check, $0.found] }
            let lines = table.lines(rows)
            for (line, finding) in zip(lines, findings) {
                try results.line(table.colored(line, finding.color))
                if !finding.advice.isEmpty { try results.line("         → \(finding.advice)") }
            }
        } else {
            for finding in findings {
                let fields = [
                    finding.verdict.rawValue, finding.check, finding.found, finding.advice,
                ]
                // A path may have a tab.
                try results.line(
                    fields.map { $0.substituting(" ", for: "\t") }.joined(separator: "\t"))
            }
        }
        try results.flush()
    }
}

extension Finding {
    fileprivate var members: [JSON.Member] {
        [
            .init("verdict", .text(verdict.rawValue)), .init("check", .text(check)),
            .init("found", .text(found)), .init("advice", .text(advice)),
        ]
    }

    fileprivate var color: Table.Color? {
        switch verdict {
        case .ok: nil
        case .warning: .yellow
        case .failed: .red
        }
    }
}
