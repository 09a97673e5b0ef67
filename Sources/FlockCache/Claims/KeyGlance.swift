internal import SystemCalls

/// How a key is, as far as those who wait for it care.
struct KeyGlance: Equatable {
    /// Of the claim; 0 where there is no whole one.
    var generation: Store.Generation = 0
    /// Of the READY record; 0 where there is none.
    var ready: UInt64 = 0
    /// Whether somebody has it claimed.
    var isHeld = false
}

extension OpenStore {
    /// How a key is now; takes no lock.
    func glance(at name: EntryName) throws(StoreError) -> KeyGlance {
        var glance = KeyGlance()
        guard let directory = try shardDirectory(name.shard, making: false) else { return glance }
        if case .whole(let claim) = try readPending(name, in: directory) {
            glance.generation = claim.generation
            if case .live = try standing(of: claim) { glance.isHeld = true }
        }
        glance.ready = try attempt("read", path) { () throws(Errno) in
            try directory.status(of: name.ready)?.inode ?? 0
        }
        return glance
    }
}
