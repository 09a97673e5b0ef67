internal import SystemCalls

// What is in the store: every record, the counts, changes that never ended, debris, journals, leases.

extension Doctor {
    /// What looking at all shards has come to.
    struct Survey {
        var records = 0
        var corrupt: [Store.Key] = []
        var wrongCounts: [Int] = []
        /// Shards behind a process that is in the middle of a change, and why.
        var stuck: [StoreError] = []
        /// Shards whose last change never ended: its process was killed.
        var unfinished: [Int] = []
        var stale = 0
        var debris = 0
        var planted: [String] = []
    }

    func checkContents() {
        do throws(StoreError) {
            let survey = try survey()
            tell(survey)
        } catch {
            report(
                Finding(.failed, "records", "\(error)", "remove the cause, and run the check again")
            )
        }
        check("leases") { () throws(StoreError) in try leases() }
        check("journals") { () throws(StoreError) in try journals() }
        check("quarantine") { () throws(StoreError) in
            let count = try store.damagedRecords().count
            guard count > 0 else { return Finding(.ok, "quarantine", "empty") }
            return Finding(
                .warning, "quarantine",
                "\(count) corrupt record\(count == 1 ? " is" : "s are") kept",
                "look at them (flock-cache list --damaged), then remove them (flock-cache reap --max-age D)"
            )
        }
    }

    private func tell(_ survey: Survey) {
        tellRecords(survey)
        if let first = survey.stuck.first {
            report(
                Finding(
                    .failed, "changes", "\(survey.stuck.count) of 256 parts: \(first.reason)"))
        } else if !survey.unfinished.isEmpty {
            report(
                found(
                    "changes", "\(survey.unfinished.count) of a process that was killed",
                    "nothing: the next use of the key completes it", .warning))
        } else {
            report(Finding(.ok, "changes", "none is unfinished"))
        }
        report(
            survey.wrongCounts.isEmpty
                ? Finding(.ok, "counts", "agree with the files")
                : found(
                    "counts", "wrong in \(survey.wrongCounts.count) of 256 parts",
                    "flock-cache doctor --repair", .failed))
        let debris = survey.stale + survey.debris
        if !survey.planted.isEmpty {
            report(
                Finding(
                    .warning, "debris",
                    "no part of the store: \(some(survey.planted, of: survey.planted.count))",
                    "remove it by hand"))
        } else if debris > 0 {
            report(
                found(
                    "debris",
                    "\(survey.stale) stale claims, \(survey.debris) files of killed processes",
                    "flock-cache reap, best from cron or a timer", .warning))
        } else {
            report(Finding(.ok, "debris", "none"))
        }
    }

    private func tellRecords(_ survey: Survey) {
        guard !survey.corrupt.isEmpty else {
            report(Finding(.ok, "records", "complete: \(survey.records)"))
            return
        }
        let keys = some(survey.corrupt.map { "'\($0)'" }, of: survey.corrupt.count)
        report(
            found(
                "records", "corrupt: \(keys)",
                "flock-cache doctor --repair quarantines them; the keys are absent then", .failed))
    }

    /// A finding that a repair has put right.
    private func found(
        _ check: String, _ found: String, _ advice: String, _ verdict: Finding.Verdict
    ) -> Finding {
        repairs && !store.isReadOnly
            ? Finding(.ok, check, "\(found); repaired") : Finding(verdict, check, found, advice)
    }

    // MARK: Leases and journals

    private func leases() throws(StoreError) -> Finding {
        let pass = session.newPass()
        var count = 0
        var corrupt: [String] = []
        for name in try store.leaseNames(pass) {
            count += 1
            guard let file = try store.leaseFile(name, making: false, writing: false) else {
                continue
            }
            for index in 0..<file.count {
                if case .damaged = try store.wholeSlot(index, of: file, name) {
                    corrupt.append("'\(name.key)'")
                    break
                }
            }
        }
        try pass.finish()
        guard corrupt.isEmpty else {
            return Finding(
                .failed, "leases", "corrupt: \(some(corrupt, of: corrupt.count))",
                "nothing: the next lease acquire quarantines the record, and waits one time to live"
            )
        }
        return Finding(.ok, "leases", "complete: \(count)")
    }

    private func journals() throws(StoreError) -> Finding {
        let names = try store.journals.names(ofUsersOnly: false)
        var (count, records) = (0, 0)
        var corrupt: [String] = []
        for name in names {
            let reader = JournalReader(store.journals.journal(name), from: nil, isBounded: true)
            do throws(StoreError) {
                // A killed first append leaves a directory without a record.
                guard try reader.begin() else { continue }
                if name != .changes { count += 1 }
                while case .record = try reader.next() { records += 1 }
            } catch {
                guard error.code == .damaged else { throw error }
                corrupt.append("\(error)")
            }
        }
        guard corrupt.isEmpty else {
            return Finding(
                .failed, "journals", corrupt[0],
                "restore it from a copy, or read from behind it (journal read --from)")
        }
        return Finding(.ok, "journals", "complete: \(count), with \(records) records")
    }
}
