// What is often written first and does not compile, with the remedy as the compiler's message. None of it can be
// called.

extension Store {
    /// Unavailable: a value is bytes, so write `text.utf8`.
    @available(*, unavailable, message: "Write 'text.utf8': a value is bytes.")
    @discardableResult
    public func put(
        _ text: String, for key: some KeyConvertible, if precondition: Precondition = .none
    ) throws(StoreError) -> UpdateResult { fatalError() }

    /// Unavailable: a value is bytes, so write `text.utf8`.
    @available(*, unavailable, message: "Write 'text.utf8': a value is bytes.")
    public func computeIfAbsent(
        _ key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
        compute: () throws -> String
    ) throws -> Value { fatalError() }

    /// Unavailable: `entry(for:)` reads, `computeIfAbsent` computes.
    @available(
        *, unavailable,
        message: "Write 'entry(for:)' to read, or 'computeIfAbsent(_:)' with a closure."
    )
    public func value<R>(
        for key: some KeyConvertible, maxAge: Duration? = nil, wait: Wait = .standard,
        compute: () throws -> R
    ) throws -> Value { fatalError() }
}

extension Store.Claim {
    /// Unavailable: a value is bytes, so write `text.utf8`.
    @available(*, unavailable, message: "Write 'text.utf8': a value is bytes.")
    @discardableResult
    public consuming func finalize(_ text: String) throws(StoreError) -> Store.Entry {
        fatalError()
    }
}

@available(*, unavailable, message: "Write '.seconds(5)' or another unit.")
extension Store.Wait: ExpressibleByIntegerLiteral {
    /// Unavailable: a number has no unit, so write `.seconds(5)`.
    public init(integerLiteral value: Int) { fatalError() }
}

extension Store.Journal {
    /// Unavailable: a record is bytes, so write `text.utf8`.
    @available(*, unavailable, message: "Write 'text.utf8': a record is bytes.")
    @discardableResult
    public func append(_ text: String) throws(StoreError) -> UInt64 { fatalError() }
}
