import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// A claim that is finalized when another process has published a value by its generation already.
@Suite(.ownThreads) struct FinalizeAgainTests {
    @Test(arguments: [10, 65_536, 65_537, 300_000])
    func theEntryThatIsThereIsReturned(size: Int) throws {
        let directory = TemporaryDirectory()
        let store = try Store(at: directory("store"))
        for (key, isSame) in [("same", true), ("other", false)] {
            guard case .won(let claim) = try store.claim(Store.Key(key)) else {
                Issue.record("\(key) is taken")
                continue
            }
            let generation = claim.generation
            let first = pattern(size)
            let published = try first.withUnsafeBytes { (bytes) throws(StoreError) in
                try store.session.finalize(
                    Store.Key(key), by: .generation(generation), .bytes(bytes))
            }
            #expect(!published.differs)
            let entry = try claim.finalize(isSame ? first : first.dropLast() + [0xff])
            #expect(entry.value.copied == first)
            #expect(entry.generation == generation)
        }
    }
}
