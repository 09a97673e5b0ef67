import FlockCache

func careful(_ store: Store) -> String {
    do {
        let lock = try store.lock("deploy", wait: .upTo(.zero))
        defer { lock.release() }
        return "held"
    } catch {
        // The type is known: no cast.
        switch error.code {
        case .timedOut: return "busy: \(error.holder?.description ?? "unknown")"
        default: return error.description
        }
    }
}
