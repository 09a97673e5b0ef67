extension Store {
    /// A number that only rises for a key: each claim, update or lease grant gets a higher one.
    ///
    /// Pass it to a resource as its fencing token. Below 2^53, based on microseconds since 1970.
    public typealias Generation = UInt64
}
