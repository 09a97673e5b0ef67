// Fails with: 'claim' consumed more than once
import FlockCache

func upload(_ store: Store) throws {
    if let claim = try store.claimIfAvailable("file") {
        try claim.finalize("one".utf8)
        try claim.finalize("two".utf8)
    }
}
