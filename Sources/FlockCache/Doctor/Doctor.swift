// Doctor: whether a store can keep its promises where it is, and whether it is whole.
//
// Looks, and tries out on files with private names, which it removes; changes nothing else unless it is to repair.
// Every check is judged from what is on disk under the mutex that guards it, for one shard at a time, so it is safe
// beside everything else and when it is killed. A check that cannot be made is a failed one, and the others are made
// all the same.
//
// What could break it: a process that is stopped in the middle of a change (each mutex is waited for a moment, and
// the process named), a kill between making and removing what is tried out (private names, which `reap` removes
// after an hour).

internal import SystemCalls

/// What one check has come to.
package struct Finding: Sendable {
    package enum Verdict: String, Sendable {
        case ok, warning, failed
    }

    package let verdict: Verdict
    /// One word or two, the same in every version: "locks", "records".
    package let check: String
    /// What was found.
    package let found: String
    /// What to do; empty where nothing is.
    package let advice: String

    package init(_ verdict: Verdict, _ check: String, _ found: String, _ advice: String = "") {
        self.verdict = verdict
        self.check = check
        self.found = found
        self.advice = advice
    }
}

/// One examination of a store.
package struct Doctor {
    let store: OpenStore
    let session: Session
    let repairs: Bool
    /// Removes stale claims and debris, where it repairs: housekeeping is above this.
    let sweep: () throws(StoreError) -> Void
    /// Called for each check when it has been made.
    let report: (Finding) -> Void
    /// Called before each of so many steps.
    let progress: (_ step: Int, _ steps: Int) -> Void

    /// Runs all checks.
    ///
    /// - Returns: whether there is a store.
    package static func examine(
        _ session: Session, repairing: Bool, sweep: @escaping () throws(StoreError) -> Void,
        report: @escaping (Finding) -> Void,
        progress: @escaping (_ step: Int, _ steps: Int) -> Void
    ) throws(StoreError) -> Bool {
        guard let store = try session.existingNow() else { return false }
        let doctor = Doctor(
            store: store, session: session, repairs: repairing, sweep: sweep, report: report,
            progress: progress)
        doctor.checkPlace()
        doctor.checkNetwork()
        doctor.checkTrials()
        doctor.checkMachine()
        doctor.checkPermissions()
        doctor.checkContents()
        return true
    }

    /// Makes a check; one that cannot be made has failed.
    func check(_ name: String, _ body: () throws(StoreError) -> Finding) {
        do throws(StoreError) {
            report(try body())
        } catch {
            report(Finding(.failed, name, "\(error)", "remove the cause, and run the check again"))
        }
    }

    func text(_ bytes: some Collection<UInt8>) -> String {
        printable(String(decoding: bytes, as: UTF8.self))
    }
}

/// At most so many of a list, and how many there are beside.
func some(_ names: [String], of count: Int) -> String {
    let few = names.prefix(3).joined(separator: ", ")
    return count > 3 ? "\(few) and \(count - 3) more" : few
}
