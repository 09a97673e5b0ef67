import Testing
import TestSupport

@testable import TestHelpers

@Suite(.ownThreads) struct VersionTests {
    @Test func theCommandPrintsItsVersion() {
        let outcome = Stage().run("version")
        #expect(outcome.code == 0)
        #expect(outcome.text.hasPrefix("flock-cache "))
    }
}
