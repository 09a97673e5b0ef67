package import SystemCalls

/// What is asked for.
package struct LeaseRequest: Sendable {
    /// nil: until its owner ends.
    var timeToLive: Duration?
    /// The process with which it ends.
    var owner: ProcessIdentity?
    /// How many may have the lease at once.
    var slots: Int
    /// For messages.
    var processID: Int32
    var command: [UInt8]

    package init(
        timeToLive: Duration?, owner: ProcessIdentity? = nil, slots: Int = 1, processID: Int32,
        command: [UInt8]
    ) {
        self.timeToLive = timeToLive
        self.owner = owner
        self.slots = slots
        self.processID = processID
        self.command = command
    }

    /// Throws where it makes no sense.
    func check(_ key: Store.Key) throws(StoreError) {
        guard 1...Limits.slots ~= slots else { throw .badSlots(slots) }
        guard let timeToLive else { return }
        guard timeToLive > .zero, timeToLive <= Limits.timeToLive else { throw .badTimeToLive(key) }
    }

    /// Who is named in messages.
    package mutating func setHolder(_ process: Int32, _ command: [UInt8]) {
        processID = process
        self.command = command
    }
}

/// What was granted.
package struct LeaseGrant: Sendable {
    package let generation: Store.Generation
    package let slot: Int
    /// By this process's clock; the end of time for one that ends with its owner.
    package let deadline: BootTime

    /// How long it lasts if it is not renewed; nil where only its owner's end ends it.
    package var timeLeft: Duration? { LeaseGrant.timeLeft(until: deadline) }

    static func timeLeft(until deadline: BootTime) -> Duration? {
        deadline.nanoseconds == .max
            ? nil : .nanoseconds(max(0, deadline.nanoseconds - BootTime.now.nanoseconds))
    }
}

/// What asking for a lease comes to.
package enum LeaseOutcome: Sendable {
    case granted(LeaseGrant)
    /// Somebody else has it, or all its slots.
    case busy(Holder?)
}

extension LeaseCell {
    /// What is granted by a request.
    init(
        generation: Store.Generation, _ request: LeaseRequest, at place: Place, since: LeaseTime
    ) {
        self.generation = generation
        owner = request.owner
        processID = request.processID
        command = Self.encode(command: request.command)
        self.place = place
        self.since = since
        timeToLive = request.timeToLive.map { max(1, $0.clampedMicroseconds) }
        deadline = request.timeToLive.map { since.advanced(by: $0) }
    }
}
