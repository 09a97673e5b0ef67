import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// `run --fallback`: where no store can be used COMMAND runs all the same.
@Suite(.ownThreads) struct RunFallbackTests {
    private let stage = Stage()

    /// A place below a file, and one on a file system that cannot keep a store.
    @Test(arguments: ["$WORK/file/store", "/proc/store"])
    func commandRunsWhereThereCanBeNoStore(path: String) {
        let outcome = stage.script(
            """
            touch $WORK/file
            flock-cache --store \(path) run --fallback k -- sh -c 'echo computed; exit 3'; echo $?
            flock-cache --store \(path) run k -- echo computed; echo $?
            """)
        #expect(outcome.text == "computed\n3\n125\n", "\(outcome)")
        let lines = outcome.error.split(separator: "\n")
        #expect(lines.count == 2, "\(outcome)")
        #expect(
            lines.first?.contains("running COMMAND uncached (--fallback): ") == true, "\(outcome)")
    }

    /// A store that can be used decides, with the option as without it.
    @Test func whereThereIsAStoreNothingChanges() {
        let outcome = stage.script(
            """
            flock-cache run --fallback k -- echo first; echo $?
            flock-cache run --fallback k -- echo second; echo $?
            flock-cache claim -q --owner $$ busy >/dev/null
            flock-cache run --fallback -n busy -- echo third; echo $?
            flock-cache run --fallback -w 10ms busy -- echo third; echo $?
            """)
        #expect(outcome.text == "first\n0\nfirst\n0\n75\n124\n", "\(outcome)")
    }
}
