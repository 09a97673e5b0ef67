import Testing
import TestSupport

@testable import TestHelpers

/// Directories in which names that differ by case mean one file.
@Suite(.ownThreads) struct CaseFoldingTests {
    private static let refusal = "the directory ignores the case of letters in names"

    // Debug builds take both from these variables: ext4, and FS_CASEFOLD_FL.
    @Test func aDirectoryThatIgnoresCaseIsRefused() {
        var stage = Stage()
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "61267"
        stage.variables["FLOCK_CACHE_INODE_FLAGS"] = "1073741824"
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == 69, "\(outcome)")
        #expect(outcome.error.contains(Self.refusal), "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty, "it is refused before anything is made")

        stage.variables["FLOCK_CACHE_INODE_FLAGS"] = "524288"  // FS_EXTENT_FL
        stage.publish("k", "v")
        stage.variables["FLOCK_CACHE_INODE_FLAGS"] = "1074266112"
        #expect(stage.run("get", "k").code == 69)
        // Where no directory can have the attribute it is not asked for.
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = "1481003842"  // XFS
        #expect(stage.run("get", "k").text == "v")
    }

    @Test(.enabled(if: canFoldCase, "needs root, loop devices and a kernel with CONFIG_UNICODE"))
    func onExt4SuchADirectoryIsRefused() {
        let stage = Stage()
        let outcome = TestSupport.run(
            "unshare",
            [
                "-m", "bash", "-c",
                makeFoldingDirectory + """

                    flock-cache --store $WORK/m/folding/store claim k; echo $?
                    flock-cache --store $WORK/m/folding claim k; echo $?
                    flock-cache --store $WORK/m/plain claim -q k >/dev/null; echo $?
                    rmdir $WORK/m/plain/entries/* $WORK/m/plain/entries || rm -r $WORK/m/plain/entries
                    mkdir $WORK/m/plain/entries; chattr +F $WORK/m/plain/entries
                    flock-cache --store $WORK/m/plain claim l; echo $?
                    find $WORK/m/folding -mindepth 1
                    """,
            ], environment: stage.variables)
        #expect(outcome.text == "69\n69\n0\n69\n", "\(outcome)")
        #expect(outcome.error.contains(Self.refusal), "\(outcome)")
    }
}

private let makeFoldingDirectory = """
    set -e
    truncate -s 8M $WORK/image
    mkfs.ext4 -q -O casefold $WORK/image
    mkdir $WORK/m
    mount -o loop $WORK/image $WORK/m
    mkdir $WORK/m/folding
    chattr +F $WORK/m/folding
    set +e
    """

private let canFoldCase: Bool = {
    guard canMount, isInstalled("mkfs.ext4"), isInstalled("chattr") else { return false }
    let stage = Stage()
    return run("unshare", ["-m", "bash", "-c", makeFoldingDirectory], environment: stage.variables)
        .code == 0
}()
