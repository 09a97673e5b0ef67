import FlockCache

#if canImport(Glibc)
import Glibc
#endif

/// One binary that plays the other processes of a test: a line of standard input is an order, a
/// line of standard output the answer.
///
/// An order that fails answers "error CODE".
///
///     flock-cache-peer --commands    runs commands with faults, see `Commands`
///     flock-cache-peer STORE
///     claim KEY           → won GENERATION | ready VALUE | pending
///     claim-for MS KEY    the same, stale after so many milliseconds
///     claim-many N KEY    claims KEY-0 … KEY-(N-1) → won N
///     finalize VALUE      → done        (the last claim won)
///     finalize-file PATH  → done
///     abandon             → done
///     get KEY             → value VALUE | none
///     remove KEY          → removed | not removed
///     create-delete N     → done        so many keys, one after the other
///     counts              → PENDING READY BYTES
///     gate PATH           → done        the gate at which the orders race… wait
///     race KEY            → ready, then as claim
///     race-open PATH KEY  → ready, then as claim, in a store opened there and then
///     fork                a child that only pauses → child PID
///     fork-often N        N such children while two threads change the store → child PID…
///     fork-inert KEY      a child that ends the claim it inherited, and claims and publishes KEY
///                         → child …, the results
///     fork-wait KEY       two threads wait for KEY, then a child does: waiting thrice, and then of each
///                         thread|child VALUE NANOSECONDS
///     value DIR KEY       the value of KEY, computed as `Computation` says: waiting if it waits, then
///                         value VALUE NANOSECONDS | error CODE
///     lock MODE MS KEY…   takes locks, see `Locking` → held SLOT
///     race-lock …         → ready, then as lock
///     drop-lock           → done
///     lock-storm …        takes locks again and again, see `Locking`
///     lock-subsets …
///     lease …             leases, see `Leasing`; lease-renew, lease-release, lease-storm
///     tasks …             what tasks do, see `Tasks`
///     flat …              whether operations leave anything, see `Flatness`; tasks-flat, tasks-many
///     fork-lock COUNT     children that lock, forked while a thread does: stuck COUNT
///     lock-spawn FIFO     takes the lock k, and begins to start a program that waits for FIFO's reader
///     fork-journal N      two threads append to the journal log, and N children that are forked meanwhile append
///                         a record each → appended COUNT
///     lock-fork-unseen KEY  a thread asks for the lock, and while it waits a child is forked that the handlers of
///                         forks do not see → forked CHILD, held
///     unlock              releases it
///     is-lost             whether the locks were lost → yes | no
///     chdir PATH          → done
///     frozen PATH         works beside the opening of a store on a frozen device, see `Frozen`
///     frozen-existing PATH
///     share N OTHERS      handles N requests together with others, see `Sharing` → shared COUNT
///     put KEY VALUE …     sets and counts values, see `Values`; race-put and so on at the gate
///     exit                ends without giving anything up
@main
struct Peer: ~Copyable {
    var store: Store
    var claim: Claim?
    var locked: HeldLock?
    var leased: Lease?
    var gate: Int32 = -1

    static func main() throws {
        if CommandLine.arguments[1] == "--commands" { Commands.serve() }
        var peer = Peer(store: try Store(at: CommandLine.arguments[1]))
        say("hello")
        while let line = readLine() {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            do {
                say(try peer.obey(words[0], words.count > 1 ? words[1] : ""))
            } catch let error as StoreError {
                say("error \(error.code)")
            }
        }
    }

    private init(store: Store) { self.store = store }

    private mutating func obey(_ order: String, _ rest: String) throws -> String {
        switch order {
        case "claim": return try claim(rest)
        case "claim-for":
            let (milliseconds, key) = Self.split(rest)
            return try claim(key, staleAfter: .milliseconds(Int(milliseconds) ?? 0))
        case "claim-many": return try claimMany(rest)
        case "finalize":
            guard let mine = claim.take() else { return "no claim" }
            try mine.finalize(rest.utf8)
            return "done"
        case "finalize-file":
            guard let mine = claim.take() else { return "no claim" }
            try mine.finalize(contentsOfFile: rest)
            return "done"
        case "abandon":
            guard let mine = claim.take() else { return "no claim" }
            try mine.abandon()
            return "done"
        case "get":
            guard let entry = try store.entry(for: Store.Key(rest)) else { return "none" }
            return "value \(String(decoding: entry.value, as: UTF8.self))"
        case "remove": return try store.remove(Store.Key(rest)) ? "removed" : "not removed"
        case "counts":
            let counts = try store.counts()
            return "\(counts.pending) \(counts.ready) \(counts.bytes)"
        case "gate":
            gate = open(rest, O_RDWR | O_CLOEXEC)
            return "done"
        case "race":
            return try atGate { (peer) throws in try peer.claim(rest) }
        case "race-open":
            let (path, key) = Self.split(rest)
            return try atGate { (peer) throws in
                peer.claim = nil
                peer.store = try Store(at: path)
                return try peer.claim(key)
            }
        case "fork": return forkToPause()
        case "fork-often": return try forkOften(Int(rest) ?? 0)
        case "fork-inert": return forkInert(rest)
        case "fork-wait": return try forkToWait(rest)
        case "fork-journal": return try forkToAppend(Int(rest) ?? 0, in: CommandLine.arguments[1])
        case "fork-lock": return try forkToLock(Int(rest) ?? 0)
        case "lock-spawn": return try lockAndSpawn(rest)
        case "lock-fork-unseen": return try lockAndForkUnseen(rest)
        case "unlock": return unlock()
        case "is-lost": return locked?.isLost == true ? "yes" : "no"
        case "create-delete":
            for number in 0..<(Int(rest) ?? 0) {
                let key = Store.Key("document-\(number)")
                if case .won(let won) = try store.claim(key) { try won.finalize("v".utf8) }
                try store.remove(key)
            }
            return "done"
        case "chdir": return chdir(rest) == 0 ? "done" : "no"
        case "frozen": return try openBesideFrozen(rest, existing: false)
        case "frozen-existing": return try openBesideFrozen(rest, existing: true)
        case "value":
            let (directory, key) = Self.split(rest)
            return try value(of: key, Computation(directory))
        case "lock": return try lock(rest)
        case "race-lock": return try atGate { (peer) throws in try peer.lock(rest) }
        case "drop-lock":
            locked = nil
            return "done"
        case "lease": return try lease(rest)
        case "lease-renew", "lease-release": return try withLease(order)
        case "lease-left": return leaseLeft()
        case "claim-renew": return try renewClaim()
        case "lease-storm": return try leaseStorm(rest)
        case "lock-storm": return try lockStorm(rest)
        case "lock-subsets": return try lockSubsets(rest)
        #if Async
        case "tasks-values": return try values(rest)
        case "tasks-wait": return try waitInTasks(rest)
        case "tasks-compute": return try computeInTasks(rest)
        case "tasks-cancel": return try cancelTasks(rest)
        case "tasks-follow": return try followInTasks(rest)
        case "tasks-times": return try timeTasks(rest)
        case "lease-kept": return keepLease(rest)
        case "lease-kept-frozen": return keepLeaseFrozen(rest)
        case "flat": return try flat(rest)
        case "tasks-flat": return try flatInTasks(rest)
        case "tasks-many": return try waitInManyTasks(rest)
        #endif
        case "put", "increment", "count", "update": return try setValue(order, rest)
        case "race-put", "race-increment", "race-count", "race-update":
            return try atGate { (peer) throws in
                try peer.setValue(String(order.dropFirst(5)), rest)
            }
        case "share": return try share(rest)
        case "exit": _exit(0)
        default: return "what?"
        }
    }

    // MARK: Claims

    private mutating func claim(_ key: String, staleAfter: Duration? = nil) throws -> String {
        switch try store.claim(Store.Key(key), staleAfter: staleAfter) {
        case .won(let won):
            let generation = won.generation
            claim = consume won
            return "won \(generation)"
        case .ready(let entry): return "ready \(String(decoding: entry.value, as: UTF8.self))"
        case .pending: return "pending"
        }
    }

    private mutating func renewClaim() throws -> String {
        guard let mine = claim.take() else { return "no claim" }
        var answer = "renewed"
        do throws(StoreError) {
            try mine.renew()
        } catch {
            answer = error.code == .claimLost ? "lost" : "\(error)"
        }
        claim = consume mine
        return answer
    }

    private mutating func claimMany(_ rest: String) throws -> String {
        let (count, key) = Self.split(rest)
        var won = 0
        for index in 0..<(Int(count) ?? 0) {
            // Kept until this process ends: only the last one can be finalized.
            if case .won(let claim) = try store.claim(Store.Key("\(key)-\(index)")) {
                won += 1
                Kept.claims.append(Kept(claim))
            }
        }
        return "won \(won)"
    }

    private mutating func atGate(_ body: (inout Peer) throws -> String) throws -> String {
        Self.say("ready")
        flock(gate, LOCK_SH)
        defer { flock(gate, LOCK_UN) }
        return try body(&self)
    }

    static func split(_ text: String) -> (String, String) {
        let words = text.split(separator: " ", maxSplits: 1).map(String.init)
        return (words[0], words.count > 1 ? words[1] : "")
    }

    static func say(_ text: String) {
        // One write, also where parent and child both have something to say.
        let bytes = Array((text + "\n").utf8)
        _ = write(1, bytes, bytes.count)
    }
}

/// A claim that is never given up.
final class Kept {
    nonisolated(unsafe) static var claims: [Kept] = []
    let claim: Claim

    init(_ claim: consuming Claim) { self.claim = claim }
}
