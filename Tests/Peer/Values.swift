import FlockCache

// Values set and counted. Each order is also there as `race-…`, at the gate.
//
//     put MODE KEY VALUE        MODE is any, absent or a generation → set GENERATION | unmet GENERATION | pending
//     increment N MIN MAX KEY   MIN and MAX may be - → counted NUMBER | range NUMBER | pending
//     count TIMES KEY           adds 1 so many times → counted NUMBER of the last, and only rising numbers
//     update TIMES KEY          doubles what is there and adds 1, so many times → done RUNS of the closure

extension Peer {
    func setValue(_ order: String, _ rest: String) throws -> String {
        let words = rest.split(separator: " ").map(String.init)
        switch order {
        case "put": return try put(words[0], Store.Key(words[1]), words[2])
        case "increment":
            let (least, most) = (Int64(words[1]) ?? .min, Int64(words[2]) ?? .max)
            let result = try store.increment(
                Store.Key(words[3]), by: Int64(words[0]) ?? 0, within: least...most)
            switch result {
            case .incremented(let number): return "counted \(number)"
            case .outOfRange(let number): return "range \(number)"
            case .pending: return "pending"
            }
        case "count": return try count(Int(words[0]) ?? 0, Store.Key(words[1]))
        default: return try update(Int(words[0]) ?? 0, Store.Key(words[1]))
        }
    }

    private func put(_ mode: String, _ key: Store.Key, _ value: String) throws -> String {
        let precondition: Store.Precondition =
            switch mode {
            case "any": .none
            case "absent": .absent
            default: .generation(UInt64(mode) ?? 0)
            }
        switch try store.put(value.utf8, for: key, if: precondition) {
        case .updated(let entry): return "set \(entry.generation)"
        case .unchanged(let entry): return "unmet \(entry?.generation ?? 0)"
        case .pending: return "pending"
        }
    }

    private func count(_ times: Int, _ key: Store.Key) throws -> String {
        var last = Int64.min
        for _ in 0..<times {
            guard case .incremented(let number) = try store.increment(key), number > last else {
                return "not counted after \(last)"
            }
            last = number
        }
        return "counted \(last)"
    }

    private func update(_ times: Int, _ key: Store.Key) throws -> String {
        var runs = 0
        for _ in 0..<times {
            try store.update(key) { entry in
                runs += 1
                let number = entry.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0
                return Array(String(number + 1).utf8)
            }
        }
        return "done \(runs)"
    }
}
