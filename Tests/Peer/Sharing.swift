import FlockCache
import Glibc
import TestSupport

// Work that several processes share.
//
//     share N OTHERS   handles requests until N are handled, one at a time under the lock `requests`, and files each
//                      as `request/NUMBER` with this process's id → shared COUNT, those that this process has
//                      handled. Handling one takes until OTHERS more have said that they ask for the lock: then the
//                      order in which they ask decides who is next, and not who has a processor.

extension Peer {
    func share(_ rest: String) throws -> String {
        let words = rest.split(separator: " ").compactMap { Int64($0) }
        guard words.count == 2 else { return "what?" }
        var handled = 0
        while true {
            try store.increment("asked")
            let isOver = try store.withLock("requests") {
                try !handleNext(of: words[0], others: words[1])
            }
            if isOver { break }
            handled += 1
        }
        return "shared \(handled)"
    }

    /// Handles the next request; false when there is none left.
    private func handleNext(of total: Int64, others: Int64) throws -> Bool {
        guard case .incremented(let number) = try store.increment("handled", within: 0...total)
        else { return false }
        // A number that was handed out twice would be there already.
        let filed = try store.put(
            "\(getpid())".utf8, for: Store.Key("request/\(number)"), if: .absent)
        guard case .updated = filed else { throw SharingError.handledTwice(number) }
        // Whoever handled one of the requests so far had asked for it.
        while case .incremented(let asked) = try store.increment("asked", by: 0),
            asked < number + others
        { yieldToOthers() }
        return true
    }
}

private enum SharingError: Error {
    case handledTwice(Int64)
}
