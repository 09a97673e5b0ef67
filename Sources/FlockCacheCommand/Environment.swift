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
    /// What a pass of the command has gone on past so far.
    var passedOver: PassedOver?

    package init(arguments: [[UInt8]], variable: @escaping (StaticString) -> [UInt8]?) {
        self.arguments = arguments
        self.variable = variable
    }

    /// The sessions of those `run` that this command is a part of.
    var heldSessions: [UInt64] {
        setting("FLOCK_CACHE_HELD").map { InheritedLocks.claimSessions(in: $0) } ?? []
    }

    /// The value of a variable that is set and not empty.
    func setting(_ name: StaticString) -> [UInt8]? {
        variable(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// What a pass over the store went on past, for people: a few, and not a million.
///
/// The first failure ends the command when the pass is over, so it is held back until then: each is told once.
final class PassedOver: @unchecked Sendable {
    // A command has one thread that makes passes.
    private let words: Words
    private var count = 0
    private var wasHeldBack = false
    private var heldBack: StoreError?
    private static let most = 20

    init(_ words: Words) { self.words = words }

    @Sendable func failed(_ error: StoreError) {
        guard wasHeldBack else {
            wasHeldBack = true
            heldBack = error
            return
        }
        if mayTell() { words.warn(Self.line(error)) }
    }

    /// Something that is no part of the store.
    @Sendable func planted(_ error: StoreError) {
        if mayTell() { words.say(Self.line(error)) }
    }

    /// Tells what was held back, unless it is what the command ends with.
    func end(with failure: Failure?) {
        guard let held = heldBack.take(), failure?.message.hasPrefix(held.description) != true
        else { return }
        words.warn(Self.line(held))
    }

    private func mayTell() -> Bool {
        count += 1
        if count == Self.most + 1 { words.say("passed over: what else there is is not told") }
        return count <= Self.most
    }

    private static func line(_ error: StoreError) -> String { "passed over: \(error)" }
}

extension Invocation {
    /// Where the store is: the option, else the variable, else the user's cache.
    func storePath() throws(Failure) -> [UInt8] {
        if let path = raw(.store) {
            guard !path.isEmpty else { throw .usage("--store names no directory") }
            if let why = Self.unexpanded(path) {
                throw .usage("--store \(shown(path)): \(why)")
            }
            return path
        }
        if let path = environment.setting("FLOCK_CACHE_DIR") {
            if let why = Self.unexpanded(path) {
                throw Failure(.configuration, "FLOCK_CACHE_DIR is \(shown(path)): \(why)")
            }
            return path
        }
        // The base directory specification: a relative path there is invalid, and ignored.
        if let base = environment.setting("XDG_CACHE_HOME"), base[0] == UInt8(ascii: "/") {
            return base + Array("/flock-cache".utf8)
        }
        guard let home = environment.setting("HOME") else {
            throw Failure(
                .configuration,
                "which store? Name one with --store or FLOCK_CACHE_DIR; HOME is not set either")
        }
        try checkHome(home)
        return home + Array("/.cache/flock-cache".utf8)
    }

    /// Why a path that begins with `~` is not what was meant; nil for others.
    private static func unexpanded(_ path: [UInt8]) -> String? {
        guard path.first == UInt8(ascii: "~") else { return nil }
        return
            "only a shell replaces '~', at the beginning of a word and outside quotes; write the "
            + "path in full, or ./~ for a directory of that name; nothing was made"
    }

    /// Throws where HOME is no place for a store; there it would be made wherever the command runs, or by
    /// root where no home is meant to be.
    private func checkHome(_ home: [UInt8]) throws(Failure) {
        let advice = "nothing was made; set HOME, or name a directory (--store, FLOCK_CACHE_DIR)"
        guard home[0] == UInt8(ascii: "/") else {
            throw Failure(
                .configuration, "HOME is \(shown(home)), which is not an absolute path; \(advice)")
        }
        guard !home.contains(0) else { return }
        do throws(Errno) {
            guard try FileStatus.of(path: FileName(home)).isDirectory else {
                throw Errno.notADirectory
            }
        } catch {
            // Others, such as no permission to look, are met again where the store is opened.
            guard error == .noEntry || error == .notADirectory else { return }
            throw Failure(
                .configuration, "HOME is \(shown(home)): \(error.message); \(advice)")
        }
    }

    /// The same wherever one goes from here.
    func absoluteStorePath() throws(Failure) -> [UInt8] {
        let path = try storePath()
        if path.first == UInt8(ascii: "/") { return path }
        guard let here = Process.workingDirectory else {
            throw Failure(
                .inputOutput,
                "the store's path is relative, and no path leads to the working directory, so COMMAND "
                    + "would not find the store; name it by a path from the root")
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
            words.warn("the value of \(key) was damaged, and counts as absent; \(fate)")
        }
        let passedOver = PassedOver(words)
        environment.passedOver = passedOver
        configuration.onPassedOver = passedOver.failed
        configuration.onPlanted = passedOver.planted
        let path = try storePath()
        return try failing { () throws(StoreError) in
            try Store(path: path, configuration: configuration)
        }
    }

    /// What COMMAND sees: our own variables, but those named; nil takes one away.
    func variables(_ own: [(name: String, value: [UInt8]?)]) throws(Failure) -> [[UInt8]] {
        // COMMAND may change its directory.
        let own = own + [("FLOCK_CACHE_DIR", try absoluteStorePath())]
        let inherited = Process.environment.filter { variable in
            !own.contains { variable.starts(with: Array("\($0.name)=".utf8)) }
        }
        return inherited
            + own.compactMap { own in own.value.map { Array("\(own.name)=".utf8) + $0 } }
    }

    /// The key an operand is.
    func key(_ index: Int = 0) -> Store.Key { Store.Key(operands[index]) }
}
