#if Async

internal import SystemCalls

// What ends a claim on behalf of a task, without blocking the thread that tasks share behind a stopped process.

extension Session {
    /// Publishes the value that a task has computed.
    ///
    /// - Throws: as `Claim.finalize`, and `CancellationError` where the task is cancelled while another change of
    ///   the shard is waited for; the value may be published all the same.
    nonisolated(nonsending) func finalize(
        _ claim: consuming Claim, _ bytes: [UInt8]
    ) async throws -> Value {
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
        guard let result else { throw CancellationError() }
        return try result.get()
    }

    /// Gives up the claim of a task whose computation has thrown.
    nonisolated(nonsending) func giveUp(_ claim: consuming Claim) async {
        let key = claim.key
        let kept = KeptClaim(claim)
        await change(key) { kept.claim = nil }
    }
}

/// A claim on its way to another thread.
private final class KeptClaim: @unchecked Sendable {
    // Used by one thread at a time.
    var claim: Claim?

    init(_ claim: consuming Claim) { self.claim = consume claim }
}

#endif
