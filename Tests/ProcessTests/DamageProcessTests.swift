import FlockCache
import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A record that is not as it was written is never believed, whichever bit of it has changed.
@Suite(.ownThreads) struct DamageProcessTests {
    // The value is checked to its end before its first byte is printed.
    @Test func ofADamagedLargeValueNothingIsPrinted() throws {
        let stage = Stage()
        stage.run("claim", "k")
        #expect(stage.script("head -c 3000000 /dev/zero >$WORK/value").code == 0)
        stage.run("finalize", "k", "--file", stage.directory("value"))
        #expect(stage.run("get", "k").output.count == 3_000_000)
        let path = try #require(stage.entryFile("k"))
        let file = open(path, O_WRONLY)
        #expect(pwrite(file, "x", 1, 2_900_000) == 1)
        close(file)
        let get = stage.run("get", "k")
        #expect(get.code == 65 && get.output.isEmpty, "\(get.ending) \(get.error)")
        #expect(stage.run("get", "k").code == 1)
    }
}
