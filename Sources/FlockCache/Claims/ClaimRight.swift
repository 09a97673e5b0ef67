/// By what right a claim is finalized or abandoned.
package enum ClaimRight: Sendable {
    /// Whoever knows its generation.
    case generation(Store.Generation)
    /// One of the processes that the caller is, or anybody if nobody owns it.
    case owner([ProcessIdentity])

    /// The generation that was named, if one was.
    var generation: Store.Generation? {
        if case .generation(let generation) = self { generation } else { nil }
    }

    /// A process's identity says who it is only where it lives: another boot, machine or PID
    /// namespace may have one with the same numbers.
    func covers(_ claim: ClaimSection, at here: Place) -> Bool {
        switch (self, claim.holder) {
        case (.generation(let generation), _): claim.generation == generation
        case (.owner, .nobody): true
        case (.owner(let owners), .process(let process)):
            claim.place.boot == here.boot
                && claim.place.processNamespace == here.processNamespace
                && owners.contains(process)
        case (.owner, _): false
        }
    }
}

/// Where a value comes from.
@unsafe package enum ValueSource {
    case bytes(UnsafeRawBufferPointer)
    /// A descriptor that is read to its end, and remains its owner's; and how it is called in messages.
    case descriptor(Int32, String)
}
