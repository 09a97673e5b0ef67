internal import FlockCache

/// What a pass over the store went on past, for people: a few, and not a million.
///
/// The first failure ends the command when the pass is over, so it is held back until then: each is told once.
final class PassedOver: @unchecked Sendable {
    // A command has one thread that makes passes.
    private let words: Words
    private var count = 0
    private var wasHeldBack = false
    private var heldBack: StoreError?
    private static let most = 20

    init(_ words: Words) { self.words = words }

    @Sendable func failed(_ error: StoreError) {
        guard wasHeldBack else {
            wasHeldBack = true
            heldBack = error
            return
        }
        if mayTell() { words.warn(Self.line(error)) }
    }

    /// Something that is no part of the store.
    @Sendable func planted(_ error: StoreError) {
        if mayTell() { words.say(Self.line(error)) }
    }

    /// Tells what was held back, unless it is what the command ends with.
    func end(with failure: Failure?) {
        guard let held = heldBack.take(), failure?.message.hasPrefix(held.description) != true
        else { return }
        words.warn(Self.line(held))
    }

    private func mayTell() -> Bool {
        count += 1
        if count == Self.most + 1 { words.say("passed over: what else there is is not told") }
        return count <= Self.most
    }

    private static func line(_ error: StoreError) -> String { "passed over: \(error)" }
}
