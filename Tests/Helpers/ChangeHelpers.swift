import TestSupport

@testable import FlockCache

extension Store {
    /// A store that tells of its changes.
    static func telling(
        at path: String, _ change: (inout Configuration) -> Void = { _ in }
    ) throws -> Store {
        var configuration = Configuration()
        configuration.journalsChanges = true
        change(&configuration)
        let store = try Store(at: path, configuration: configuration)
        _ = try store.session.forWriting()
        return store
    }

    /// All changes that are told, from a number on.
    func allChanges(from number: UInt64 = 1) throws -> [WatchedChange] {
        let watch = try ChangeWatch(session, prefix: nil, from: number)
        var changes: [WatchedChange] = []
        while let change = try watch.nextIfThere() { changes.append(change) }
        return changes
    }

    /// What is told of a key, in order: `claimed`, or `claimed 5` with the generation.
    func events(of key: Key) throws -> [String] {
        try allChanges().filter { $0.key == key }.map(\.event.name)
    }
}

/// What a store holds, as its changes tell it, or as it lists it.
struct Replay: Equatable, CustomStringConvertible {
    /// The generations of a key's two states.
    struct Entry: Equatable {
        var ready: Store.Generation?
        var pending: Store.Generation?
    }

    private(set) var entries: [Store.Key: Entry] = [:]
    /// By key, the generations that are granted.
    private(set) var leases: [Store.Key: Set<Store.Generation>] = [:]

    init(_ changes: [WatchedChange]) {
        for change in changes { apply(change) }
    }

    mutating func apply(_ change: WatchedChange) {
        let (key, generation) = (change.key, change.generation)
        var entry = entries[key] ?? Entry()
        switch change.event {
        case .claimed, .takenOver: entry.pending = generation
        case .finalized, .put, .incremented:
            entry.ready = generation
            if let pending = entry.pending, pending <= generation { entry.pending = nil }
        case .abandoned, .removed, .reaped:
            if entry.pending == generation {
                entry.pending = nil
            } else if entry.ready == generation {
                entry.ready = nil
            } else if generation == 0 {
                // Its record could not be read: a value's is removed, a claim's reaped.
                if change.event == .removed { entry.ready = nil } else { entry.pending = nil }
            }
        case .leased: leases[key, default: []].insert(generation)
        case .released, .expired:
            // 0: of which one a damaged record did not tell.
            if generation == 0 { leases[key] = nil }
            leases[key]?.remove(generation)
            if leases[key]?.isEmpty == true { leases[key] = nil }
        case .restarted: break
        }
        entries[key] = entry == Entry() ? nil : entry
    }

    /// As the store lists its entries, and its leases' files say.
    init(listing store: Store) throws {
        var listed = try store.entries()
        while let summary = try listed.next() {
            switch summary.state {
            case .ready: entries[summary.key, default: Entry()].ready = summary.generation
            case .pending: entries[summary.key, default: Entry()].pending = summary.generation
            }
        }
        let opened = try store.session.forWriting()
        for name in try opened.leaseNames(store.session.newPass()) {
            guard let file = try opened.leaseFile(name, making: false, writing: false) else {
                continue
            }
            for index in 0..<file.count {
                guard let cell = try opened.wholeSlot(index, of: file, name).cell,
                    !cell.hasEnded
                else { continue }
                leases[name.key, default: []].insert(cell.generation)
            }
        }
    }

    var description: String {
        let keys = entries.sorted { $0.key.description < $1.key.description }.map {
            "\($0.key): \($0.value.ready ?? 0) \($0.value.pending ?? 0)"
        }
        return "\(keys.joined(separator: ", ")); leases \(leases)"
    }
}

/// Why a list of changes cannot be one that is told: nil where nothing is wrong.
///
/// Numbers without gaps, and nothing told twice: of what begins or ends a generation there is one record each. A
/// lease may expire and be renewed, in turn.
func flaw(in changes: [WatchedChange], from first: UInt64 = 1) -> String? {
    var told: Set<String> = []
    var number = first
    for change in changes {
        guard change.number == number else { return "number \(change.number), not \(number)" }
        number += 1
        let text = "\(change.event.name) \(change.key) \(change.generation)"
        switch change.event {
        case .leased: told.remove("expired \(change.key) \(change.generation)")
        case .expired: told.remove("leased \(change.key) \(change.generation)")
        default: break
        }
        guard change.generation == 0 || told.insert(text).inserted else {
            return "told twice: \(text)"
        }
    }
    return nil
}
