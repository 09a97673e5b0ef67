internal import FlockCache
internal import SystemCalls

// World: what a command finds around it: the store that is meant, the process on whose behalf it
// runs, who else is at work, and what a COMMAND is to see of all this.
//
// Uses Arguments, which say what was asked for, and Report. It runs nothing, and no single command
// is known here: what two of them need of the world stands here, so that they need not know one
// another.

extension Invocation {
    /// Where the store is: the option, else the variable, else the user's cache.
    func storePath() throws(Failure) -> [UInt8] { try storeChoice().path }

    /// The same, and what has decided it.
    private func storeChoice() throws(Failure) -> (path: [UInt8], reason: String) {
        if let path = text(.store) {
            guard !path.isEmpty else { throw .usage("--store names no directory") }
            if let why = Self.unexpanded(path) {
                throw .usage("--store \(shown(path)): \(why)")
            }
            return (path, "--store")
        }
        if let path = environment.setting(.store) {
            if let why = Self.unexpanded(path) {
                throw Failure(.configuration, "\(Variable.store) is \(shown(path)): \(why)")
            }
            return (path, "\(Variable.store)")
        }
        // The base directory specification: a relative path there is invalid, and ignored.
        if let base = environment.setting(.cacheHome), base[0] == UInt8(ascii: "/") {
            return (base + Array("/flock-cache".utf8), "\(Variable.cacheHome)" + Self.oneUsers)
        }
        guard let home = environment.setting(.home) else {
            throw Failure(
                .configuration,
                "no store is named, and there is no default because HOME is not set; use --store DIR or "
                    + "FLOCK_CACHE_DIR")
        }
        try checkHome(home)
        return (home + Array("/.cache/flock-cache".utf8), "HOME" + Self.oneUsers)
    }

    /// What is worth knowing of a store that was not named: sudo, cron and services often have another HOME.
    private static let oneUsers =
        "; other users, sudo and cron may have another: name one for all with --store"

    /// Says which store is used, and why.
    private func explainStore() throws(Failure) {
        let (path, reason) = try storeChoice()
        let isThere = (try? FileStatus.of(path: FileName(path))) != nil
        words.say(
            "using the store at \(shown(path)) (\(reason))"
                + (isThere ? "" : ", which does not exist yet"))
    }

    /// For commands that only look: on a terminal, says where there is no store.
    ///
    /// Elsewhere that is no more than nothing found, as in a crontab before the first use.
    func tellIfThereIsNoStore() throws(Failure) {
        let path = try storePath()
        guard Process.isTerminal(environment.error), !words.isVerbose,
            (try? FileStatus.of(path: FileName(path))) == nil
        else { return }
        words.say("there is no store at \(shown(path)) yet")
    }

    /// Why a path that begins with `~` is not what was meant; nil for others.
    private static func unexpanded(_ path: [UInt8]) -> String? {
        guard path.first == UInt8(ascii: "~") else { return nil }
        return
            "only a shell replaces '~', at the beginning of a word and outside quotes; write the "
            + "path in full, or ./~ for a directory of that name; nothing was made"
    }

    /// Throws where HOME is no place for a store; there it would be made wherever the command runs,
    /// or by root where no home is meant to be.
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
        if let names = environment.setting(.allowedFileSystems) {
            let names = String(decoding: names, as: UTF8.self).split(separator: ",")
            configuration.allowedFileSystems = names.map(String.init)
        }
        let words = words
        configuration.onDamage = { key, path in
            let fate = path.map { "it is kept at \(printable($0))" } ?? "it stays where it is"
            words.warn(
                "the value of \(Phrases.quoted(key)) was corrupt, and counts as absent; \(fate)")
        }
        let passedOver = PassedOver(words)
        environment.passedOver = passedOver
        configuration.onPassedOver = passedOver.failed
        configuration.onPlanted = passedOver.planted
        configuration.onUntold = { words.say("\($0)") }
        let path = try storePath()
        let silence = SilenceNotice.begin(environment, words, path)
        environment.atEnd = { silence?.end() }
        if words.isVerbose { try explainStore() }
        let store = try failing { () throws(StoreError) in
            try Store(path: path, configuration: configuration)
        }
        // One that was allowed by name is not local.
        if store.session.isLocal { silence?.end() }
        return store
    }
}
