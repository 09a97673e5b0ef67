#if Async

internal import SystemCalls

// What ends a claim on behalf of a task. A change takes microseconds, but behind a stopped process it would
// block the thread that tasks share for ten seconds, and a few such tasks all of them.

extension Session {
    /// Publishes the value that a task has computed.
    nonisolated(nonsending) func finalize(
        _ claim: consuming Claim, _ bytes: [UInt8]
    ) async throws(StoreError) -> Value {
        let key = claim.key
        let kept = KeptClaim(claim)
        let result = await change(key) { () -> Result<Value, StoreError> in
            do throws(StoreError) {
                guard let claim = kept.claim.take() else {
                    throw .claimLost("finalize", key, holder: nil)
                }
                return .success(try claim.finalize(bytes).value)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Gives up the claim of a task whose computation has thrown.
    nonisolated(nonsending) func giveUp(_ claim: consuming Claim) async {
        let key = claim.key
        let kept = KeptClaim(claim)
        await change(key) { kept.claim = nil }
    }

    /// Makes a change of a key: here if that can be done at once, otherwise on a thread of its own.
    nonisolated(nonsending) func change<R: Sendable>(
        _ key: Store.Key, _ body: @escaping @Sendable () -> R
    ) async -> R {
        guard isStuck(key) else { return body() }
        return unsafe await withUnsafeContinuation { continuation in
            do throws(Errno) {
                try startThread { unsafe continuation.resume(returning: body()) }
            } catch {
                // Without a thread there is only this one.
                unsafe continuation.resume(returning: body())
            }
        }
    }

    /// Whether somebody else's change of the key's shard takes longer than a task may wait.
    private func isStuck(_ key: Store.Key) -> Bool {
        do throws(StoreError) {
            guard let store = try existing() else { return false }
            _ = try ShardMutex(store, try EntryName(key).shard, patience: Self.politePatience)
            return false
        } catch {
            // Anything else the change itself will say.
            return error.code == .timedOut
        }
    }
}

/// A claim on its way to another thread.
private final class KeptClaim: @unchecked Sendable {
    // Used by one thread at a time.
    var claim: Claim?

    init(_ claim: consuming Claim) { self.claim = consume claim }
}

#endif
