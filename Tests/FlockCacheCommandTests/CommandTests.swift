import Testing
import TestSupport

@Test func theCommandPrintsItsVersion() {
    let outcome = run(builtProducts + "/flock-cache", ["version"])
    #expect(outcome.code == 0)
    #expect(outcome.text.hasPrefix("flock-cache "))
}
