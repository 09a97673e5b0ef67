import FlockCache
import Glibc
import TestSupport

extension Peer {
    /// Contends for a lease until its time is over, and says of each moment in which it takes itself for the
    /// one in charge that it does: a line `GENERATION NANOSECONDS` of a log.
    ///
    /// `SEED MILLISECONDS KEY LOG` → `done GRANTS LOSSES`.
    func leaseStorm(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        guard words.count == 4, let seed = UInt64(words[0]), let limit = Int64(words[1]) else {
            return "what?"
        }
        let log = open(words[3], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(log) }
        var random = Seeded(seed: seed)
        var (grants, losses) = (0, 0)
        let end = Self.bootTime + limit * 1_000_000
        while Self.bootTime < end {
            let timeToLive = Duration.milliseconds(Int.random(in: 5...40, using: &random))
            guard
                let lease = try acquired(words[2].key, timeToLive, wait: .milliseconds(200))
            else { continue }
            grants += 1
            let renewals = Int.random(in: 0...3, using: &random)
            for renewal in 0...renewals {
                while true {
                    let now = Self.bootTime
                    // Asked after the time was read: it was in charge then.
                    guard lease.timeLeft > .zero else { break }
                    let line = Array("\(lease.generation) \(now)\n".utf8)
                    _ = write(log, line, line.count)
                    if Bool.random(using: &random) { sched_yield() }
                    if Int.random(in: 0..<40, using: &random) == 0 { break }
                }
                if renewal < renewals, !renewed(lease) {
                    losses += 1
                    break
                }
            }
            if Bool.random(using: &random) { try? lease.release() }
        }
        return "done \(grants) \(losses)"
    }

    private func acquired(
        _ key: Store.Key, _ timeToLive: Duration, wait: Duration
    ) throws(StoreError) -> Lease? {
        do throws(StoreError) {
            return try store.acquireLease(key, timeToLive: timeToLive, wait: .upTo(wait))
        } catch {
            if error.code == .timedOut { return nil }
            throw error
        }
    }

    private func renewed(_ lease: borrowing Lease) -> Bool {
        do throws(StoreError) {
            try lease.renew()
            return true
        } catch {
            return false
        }
    }

    /// `TTL-MS WAIT-MS KEY` → `granted GENERATION` | `busy`.
    mutating func lease(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        guard words.count == 3, let timeToLive = Int(words[0]), let wait = Int(words[1]) else {
            return "what?"
        }
        guard
            let granted = try acquired(
                words[2].key, .milliseconds(timeToLive), wait: .milliseconds(wait))
        else { return "busy" }
        let generation = granted.generation
        leased = consume granted
        return "granted \(generation)"
    }

    /// `renewed` | `lost`, `released` | `lost`, `current` | `lost`.
    mutating func withLease(_ order: String) throws -> String {
        guard let lease = leased.take() else { return "no lease" }
        switch order {
        case "lease-renew":
            let isRenewed = renewed(lease)
            leased = consume lease
            return isRenewed ? "renewed" : "lost"
        default:
            do throws(StoreError) {
                try lease.release()
                return "released"
            } catch {
                return error.code == .leaseLost ? "lost" : "\(error)"
            }
        }
    }

    /// How many milliseconds are left of the lease that is held.
    mutating func leaseLeft() -> String {
        guard let lease = leased.take() else { return "no lease" }
        let (seconds, attoseconds) = lease.timeLeft.components
        leased = consume lease
        return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)"
    }
}

#if Async

extension Peer {
    /// Keeps a lease until it is lost, if it is free: `TTL-MS KEY` → `begun GENERATION NANOSECONDS`, `cancelled`, and
    /// `lost` or what else came of it.
    func keepLease(_ rest: String) -> String {
        let (milliseconds, key) = Self.split(rest)
        return keepLease(milliseconds, key, freezing: nil)
    }

    /// The same on a device that is frozen meanwhile, `TTL-MS DEVICE`: between `cancelled` and `lost` it is `thawed`.
    func keepLeaseFrozen(_ rest: String) -> String {
        let (milliseconds, path) = Self.split(rest)
        return keepLease(milliseconds, "key", freezing: path)
    }

    private func keepLease(_ milliseconds: String, _ key: String, freezing path: String?) -> String
    {
        let device = path.map { FrozenDevice(at: $0) }
        return inTasks { store in
            do {
                try await store.withLease(
                    Store.Key(key), timeToLive: .milliseconds(Int(milliseconds) ?? 0),
                    wait: .upTo(.zero)
                ) { generation in
                    device?.freeze()
                    Self.say("begun \(generation) \(Self.bootTime)")
                    while !Task.isCancelled { try? await Task.sleep(for: .milliseconds(2)) }
                    Self.say("cancelled")
                    if let device {
                        device.thaw()
                        Self.say("thawed")
                    }
                }
                return "kept"
            } catch let error as StoreError {
                return error.code == .leaseLost ? "lost" : "\(error)"
            }
        }
    }
}

#endif
