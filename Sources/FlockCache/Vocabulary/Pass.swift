internal import SystemCalls

/// A pass over the whole store: what was in its way, so that one such thing does not stop it for ever.
///
/// What stands in the place of a record and is none (a FIFO, a link, a directory) is no part of the store: it is
/// named, and no failure. A record or a part of the store that cannot be read, changed or removed is named as
/// well; the pass goes on with the others, and fails at its end with the first of these failures.
package final class Pass: @unchecked Sendable {
    // Used by one thread at a time: that which makes the pass.
    private let tell: (@Sendable (StoreError) -> Void)?
    private let tellOfPlanted: (@Sendable (StoreError) -> Void)?
    private var failure: StoreError?
    private var failures = 0
    private var wasStuck = false
    private var named: Set<String> = []
    /// Beyond it something may be named twice.
    private static let mostNamed = 10_000

    /// - Parameter tellOfPlanted: is told of what is no part of the store, if it is to be another than `tell`.
    init(
        telling tell: (@Sendable (StoreError) -> Void)?,
        ofPlanted tellOfPlanted: (@Sendable (StoreError) -> Void)? = nil
    ) {
        self.tell = tell
        self.tellOfPlanted = tellOfPlanted ?? tell
    }

    /// Names what is no part of the store.
    func notice(_ error: StoreError) {
        if isNew(error) { tellOfPlanted?(error) }
    }

    /// Does what concerns one record; nil where it fails.
    ///
    /// - Throws: what others would fail with as well.
    func record<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R? {
        do throws(StoreError) {
            return try body()
        } catch {
            if error.isPlanted { notice(error) } else { try passOver(error) }
            return nil
        }
    }

    /// Does what concerns a part of the store, a directory; nil where it fails.
    ///
    /// - Throws: what others would fail with as well.
    func part<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R? {
        do throws(StoreError) {
            return try body()
        } catch {
            try passOver(error)
            return nil
        }
    }

    /// Goes on past a failure, or throws it where going on makes no sense.
    ///
    /// Of parts behind a stopped process one is passed over: waiting ten seconds for each of 256 would be another
    /// way of never coming to an end.
    func passOver(_ error: StoreError) throws(StoreError) {
        guard error.canBePassedOver, error.code != .timedOut || !wasStuck else { throw error }
        if error.code == .timedOut { wasStuck = true }
        guard isNew(error) else { return }
        failures += 1
        failure = failure ?? error
        tell?(error)
    }

    /// Ends the pass.
    ///
    /// - Throws: the first failure that was passed over.
    package func finish() throws(StoreError) {
        if let failure { throw .passedOver(failure, of: failures) }
    }

    private func isNew(_ error: StoreError) -> Bool {
        let text = error.description
        if named.contains(text) { return false }
        if named.count < Self.mostNamed { named.insert(text) }
        return true
    }
}

extension StoreError {
    /// Whether something else was put in the place of a record.
    var isPlanted: Bool { code == .notAStore && systemError != nil }

    /// Whether a pass may go on with others behind it: not where they would fail as well.
    var canBePassedOver: Bool {
        if code == .timedOut { return true }
        guard let systemError, code != .readOnly, code != .noSpace else { return false }
        let shortages: [Errno] = [.tooManyFiles, .tooManyFilesInSystem, .noMemory, .noLocks]
        return !shortages.contains { $0.code == systemError }
    }

    /// What stands in the place of a record and is no regular file.
    static func planted(_ path: String) -> StoreError {
        StoreError(
            .notAStore, "use", path: path,
            reason:
                "it is no regular file, and no part of the store; nothing was touched; remove it")
    }

    /// How a pass ends that went on past a failure.
    static func passedOver(_ first: StoreError, of count: Int) -> StoreError {
        let others = count > 1 ? "; it is the first of \(count) failures" : ""
        return StoreError(
            first.code, first.operation, path: first.path, key: first.key,
            systemError: first.systemError, holder: first.holder,
            reason: first.reason + others + "; all else was done")
    }
}
