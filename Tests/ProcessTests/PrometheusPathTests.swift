import Testing
import TestSupport

@testable import TestHelpers

/// `stats` as metrics.
@Suite(.ownThreads) struct PrometheusPathTests {
    @Test func aRelativePathIsMadeAbsolute() {
        let stage = Stage()
        let outcome = stage.script("cd \"$WORK\" && flock-cache --store s stats --prometheus")
        #expect(outcome.text.contains("store=\"\(stage.directory("s"))\""), "\(outcome)")
    }
}
