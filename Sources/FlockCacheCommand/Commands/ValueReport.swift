internal import FlockCache

extension Invocation {
    /// Prints a value: raw, or as a JSON object.
    func report(_ ready: ReadyFile, of key: Store.Key) throws(Failure) {
        var results = results
        guard has(.json) else {
            try results.value(ready)
            return
        }
        let head = JSON.line(
            JSON.members(
                "ready", key,
                [
                    .init("generation", .generation(ready.generation)),
                    .init("age", .seconds(ready.age)),
                ]))
        try results.bytes(head.utf8.dropLast())
        try results.bytes(",".utf8)
        try JSONValue(ready: ready).write(to: &results)
        try results.line("}")
        try results.flush()
    }
}
