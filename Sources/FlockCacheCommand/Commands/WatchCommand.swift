internal import FlockCache

extension Verb {
    static let watch = Verb(
        name: "watch", group: .inspect, summary: "Print each change of the store as it happens.",
        operands: [],
        options: [.prefix, .changesFrom, .watchWait],
        detail: """
            Each line is NUMBER, TIME, EVENT, KEY and GENERATION, separated by tabs. EVENT is claimed, taken-over, finalized, put, incremented, abandoned, removed, reaped, leased, released or expired; or restarted (with the key '/'), which means that the machine was restarted: list the store again then. Each change is printed once, in order for each key, also the changes of killed processes.

            Needs a store created with 'flock-cache init --journal'.
            """,
        exits: """
            64 change N is beyond the next change
            66 change N was trimmed; the message names the first one kept
            78 the store was created without --journal
            124 timed out: no change for -w D
            """,
        example: """
            flock-cache watch --prefix jobs/
            flock-cache watch --from 1 -w 1s
            """,
        run: runWatch)
}

@Sendable private func runWatch(_ invocation: Invocation) throws(Failure) -> ExitCode {
    let store = try invocation.openStore()
    let limit = invocation.wait(.watchWait)?.limit
    let prefix = invocation.text(.prefix).map { Store.Key($0) }
    let watch = try failing { () throws(StoreError) in
        try ChangeWatch(
            store.session, prefix: prefix,
            from: invocation.count(.changesFrom).map { UInt64($0) })
    }
    var results = invocation.results
    while true {
        // All that is there in one write, and then each as it comes.
        while let change = try failing({ () throws(StoreError) in try watch.nextIfThere() }) {
            try results.line(line(of: change, asJSON: invocation.has(.json)))
        }
        try results.flush()
        let next = try failing { () throws(StoreError) in try watch.next(waiting: limit) }
        guard let next else {
            if invocation.has(.json) {
                try invocation.print([.init("state", .text("timed-out"))])
            }
            invocation.words.say("timed out after \((limit ?? .zero).spoken) without a change")
            return .timedOut
        }
        try results.line(line(of: next, asJSON: invocation.has(.json)))
    }
}

private func line(of change: WatchedChange, asJSON: Bool) -> String {
    let time = UTCTime(microseconds: change.time).text
    guard asJSON else {
        let key = change.event == .restarted ? "/" : change.key.description
        return "\(change.number)\t\(time)\t\(change.event.name)\t\(key)\t\(change.generation)"
    }
    var members: [JSON.Member] = [
        .init("number", .generation(change.number)), .init("time", .text(time)),
        .init("event", .text(change.event.name)),
    ]
    if change.event != .restarted {
        members += JSON.members(of: change.key)
        members.append(.init("generation", .generation(change.generation)))
    }
    return JSON.line(members)
}
