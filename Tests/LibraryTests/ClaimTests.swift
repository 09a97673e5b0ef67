import FlockCache
import Testing
import TestSupport

@testable import TestHelpers

@Suite(.ownThreads) struct ClaimTests {
    @Test func claimsAreWonOnceThenReady() throws {
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        switch try store.claim("a") {
        case .won(let claim):
            switch try store.claim("a") {
            case .pending(let holder): #expect(holder.liveness == .alive)
            default: Issue.record("a claimed key is pending")
            }
            try claim.finalize("value".utf8)
        default: Issue.record("a fresh key is won")
        }
        let entry = try #require(try store.entry(for: "a"))
        #expect(entry.value.elementsEqual("value".utf8))
    }
}
