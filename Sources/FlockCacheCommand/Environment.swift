internal import FlockCache
internal import SystemCalls

/// What a command gets from outside; tests give their own.
package final class Environment {
    /// Without the program's name.
    package var arguments: [[UInt8]]
    /// The value of an environment variable.
    package var variable: (StaticString) -> [UInt8]?
    package var input: Int32 = 0
    package var output: Int32 = 1
    package var error: Int32 = 2

    package init(arguments: [[UInt8]], variable: @escaping (StaticString) -> [UInt8]?) {
        self.arguments = arguments
        self.variable = variable
    }

    /// The sessions of those `run` that this command is a part of, outermost first.
    ///
    /// `FLOCK_CACHE_HELD` has an entry `claim/SESSION` for each, parted by spaces; other entries are passed
    /// on.
    var heldSessions: [UInt64] {
        guard let text = setting("FLOCK_CACHE_HELD") else { return [] }
        return text.split(separator: UInt8(ascii: " ")).compactMap { entry in
            guard entry.starts(with: Self.claimEntry) else { return nil }
            let digits = String(decoding: entry.dropFirst(Self.claimEntry.count), as: UTF8.self)
            return UInt64(digits, radix: 16)
        }
    }

    /// What `FLOCK_CACHE_HELD` is for a COMMAND that runs for a session's claim.
    func held(with session: UInt64) -> [UInt8] {
        let entry = Self.claimEntry + Array(String(session, radix: 16).utf8)
        return (setting("FLOCK_CACHE_HELD").map { $0 + [UInt8(ascii: " ")] } ?? []) + entry
    }

    private static let claimEntry = Array("claim/".utf8)

    /// The value of a variable that is set and not empty.
    func setting(_ name: StaticString) -> [UInt8]? {
        variable(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}

extension Invocation {
    /// Where the store is: the option, else the variable, else the user's cache.
    func storePath() throws(Failure) -> [UInt8] {
        if let path = raw(.store) {
            guard !path.isEmpty else { throw .usage("--store names no directory") }
            return path
        }
        if let path = environment.setting("FLOCK_CACHE_DIR") { return path }
        // The base directory specification: a relative path there is invalid, and ignored.
        if let base = environment.setting("XDG_CACHE_HOME"), base[0] == UInt8(ascii: "/") {
            return base + Array("/flock-cache".utf8)
        }
        guard let home = environment.setting("HOME") else {
            throw Failure(
                .configuration,
                "which store? Name one with --store or FLOCK_CACHE_DIR; HOME is not set either")
        }
        return home + Array("/.cache/flock-cache".utf8)
    }

    /// The same wherever one goes from here.
    func absoluteStorePath() throws(Failure) -> [UInt8] {
        let path = try storePath()
        if path.first == UInt8(ascii: "/") { return path }
        guard let here = Process.workingDirectory else {
            throw Failure(
                .inputOutput, "the store's path is relative, and the directory cannot be told")
        }
        return here + [UInt8(ascii: "/")] + path
    }

    func openStore(durable: Bool = false) throws(Failure) -> Store {
        var configuration = Store.Configuration()
        if durable { configuration.durability = .powerLoss }
        if let names = environment.setting("FLOCK_CACHE_ALLOW_FILE_SYSTEM") {
            let words = String(decoding: names, as: UTF8.self).split(separator: ",")
            configuration.allowedFileSystems = words.map(String.init)
        }
        let words = Words(self)
        configuration.onDamage = { key, path in
            let fate = path.map { "it is kept at \(printable($0))" } ?? "it stays where it is"
            words.say("the value of \(key) was damaged, and counts as absent; \(fate)")
        }
        let path = try storePath()
        return try failing { () throws(StoreError) in
            try Store(path: path, configuration: configuration)
        }
    }

    /// The key an operand is.
    func key(_ index: Int = 0) -> Store.Key { Store.Key(operands[index]) }
}
