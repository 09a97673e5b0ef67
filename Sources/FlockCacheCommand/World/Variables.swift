internal import FlockCache

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
