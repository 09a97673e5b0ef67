internal import FlockCache

extension Environment {
    /// The sessions of those `run` that this command is a part of.
    var heldSessions: [UInt64] {
        setting(.held).map { InheritedLocks.claimSessions(in: $0) } ?? []
    }
}

extension Invocation {
    /// What COMMAND sees: our own variables, but those named; nil takes one away.
    func variables(_ own: [(variable: Variable, value: [UInt8]?)]) throws(Failure) -> [[UInt8]] {
        // COMMAND may change its directory.
        let own = own + [(.store, try absoluteStorePath())]
        let inherited = environment.variables().filter { entry in
            !own.contains { entry.starts(with: $0.variable.beginning) }
        }
        return inherited
            + own.compactMap { own in own.value.map { own.variable.beginning + $0 } }
    }
}
