import Testing
import TestSupport

@testable import TestHelpers

/// Working directories that no path leads to.
@Suite(.ownThreads, .enabled(if: canMount, "needs root, unshare and mount"))
struct WorkingDirectoryTests {
    /// A relative store is there for the command itself; COMMAND would look for it elsewhere.
    @Test(arguments: ["umount -l $WORK/m", "mount -t tmpfs none $WORK/m"])
    func aStoreThatNoPathLeadsToIsNotHandedOn(removal: String) {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                """
                mkdir $WORK/m && mount -t tmpfs none $WORK/m && mkdir $WORK/m/in && cd $WORK/m/in
                flock-cache --store s run k -- sh -c 'echo $FLOCK_CACHE_DIR'
                \(removal)
                flock-cache --store s get k
                flock-cache --store s run l -- sh -c 'echo $FLOCK_CACHE_DIR'
                echo $?
                flock-cache --store s lock l -- echo locked
                echo $?
                flock-cache --store $WORK/other run l -- sh -c 'echo $FLOCK_CACHE_DIR'
                """,
            ], environment: stage.variables)
        let path = stage.directory.path
        let inside = "\(path)/m/in/s\n"
        #expect(outcome.text == inside + inside + "125\n125\n\(path)/other\n", "\(outcome)")
        #expect(outcome.error.contains("name it by a path from the root"), "\(outcome)")
    }
}
