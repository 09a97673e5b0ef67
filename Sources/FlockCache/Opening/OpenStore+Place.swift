internal import SystemCalls

extension OpenStore {
    /// Where this process is.
    func place() throws(StoreError) -> Place {
        guard let known = try placeIfKnown() else { throw .noProc(path) }
        return known
    }

    /// The same for what only reads; nil without a `/proc`.
    func placeIfKnown() throws(StoreError) -> Place? {
        if let known = withLazy({ $0.place }) { return known }
        let place = try attempt("read", "/proc") { () throws(Errno) in try Place.current() }
        withLazy { $0.place = place }
        return place
    }
}
