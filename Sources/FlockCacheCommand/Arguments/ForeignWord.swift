/// What other lockers call things, and what it is here.
///
/// Only words that no command of ours has; each answer is a whole advice.
enum ForeignWord {
    /// Of an option that a command does not have.
    static func option(_ name: [UInt8], of verb: Verb) -> String? {
        let name = String(decoding: name, as: UTF8.self)
        func has(_ option: String) -> Bool { verb.options.contains { $0.name == option } }
        let answers: [String?] = [
            verb.group == .locks ? ofLocks(name) : nil,
            verb.takesCommand ? ofRunners(name) : nil,
            has("wait") ? ofWaiters(name) : nil,
            has("ttl") ? ofLeases(name) : nil,
            has("stale-after") ? ofClaims(name) : nil,
            has("max-age") ? ofAges(name) : nil,
            has("if-absent") || verb.group == .values ? ofValues(name) : nil,
            has("max-bytes") ? ofSizes(name) : nil,
            verb.name == "get" && ["wait", "w", "timeout"].contains(name)
                ? "it does not wait; for a pending claim: flock-cache wait KEY -w D" : nil,
            has("repair") && ["fix", "recover", "force"].contains(name) ? "use --repair" : nil,
        ]
        return answers.compactMap { $0 }.first
    }

    /// What ends a claim; a value is as old as it is, and who asks says what is too old.
    private static func ofClaims(_ name: String) -> String? {
        switch name {
        case "stale", "lease-time": "use --stale-after D"
        case "ttl", "expire", "expires", "lifetime":
            "use --stale-after D to have the claim taken over after D, or --max-age D for values that are too old"
        default: nil
        }
    }

    private static func ofValues(_ name: String) -> String? {
        switch name {
        case "ttl", "expire", "expires", "ex", "px", "max-age":
            "a value has no time to live; get --max-age D takes it for absent then, and reap --max-age D removes it"
        default: nil
        }
    }

    private static func ofAges(_ name: String) -> String? {
        switch name {
        case "ttl", "older-than", "age", "mtime", "max-ttl", "expire": "use --max-age D"
        default: nil
        }
    }

    private static func ofSizes(_ name: String) -> String? {
        switch name {
        case "max-size", "size", "limit", "max-space": "use --max-bytes SIZE"
        case "count", "max-count", "keep": "use --max-entries N"
        default: nil
        }
    }

    private static func ofLocks(_ name: String) -> String? {
        switch name {
        case "x", "exclusive", "e": "locks are exclusive by default; leave it out"
        case "u", "unlock": "a lock is released when COMMAND exits; leave it out"
        case "o", "close": "COMMAND never inherits the lock (except with -F); leave it out"
        case "fcntl": "locks are held by fcntl(2) in any case; leave it out"
        case "read", "readers": "use -s"
        case "ttl":
            "a lock lasts as long as COMMAND; for a time to live: flock-cache lease run NAME --ttl D"
        default: nil
        }
    }

    private static func ofRunners(_ name: String) -> String? {
        switch name {
        case "c", "command": "use: -- sh -c 'COMMAND'"
        case "conflict-code", "conflict-exit": "use -E CODE"
        case "child-exit-code": "the exit code of COMMAND is passed on in any case; leave it out"
        case "background", "bg", "fg":
            "flock-cache runs in the foreground; end the line with & for the background"
        default: nil
        }
    }

    private static func ofWaiters(_ name: String) -> String? {
        switch name {
        case "nonblock", "nb", "nonblocking", "no-block": "use -n"
        case "timeout", "t", "wait-timeout": "use -w D"
        case "r", "retries", "retry": "waiters are woken, not polled; use -w D"
        default: nil
        }
    }

    private static func ofLeases(_ name: String) -> String? {
        switch name {
        case "expire", "expires", "lifetime", "max-age": "use --ttl D"
        default: nil
        }
    }

    /// Of a command that does not exist.
    static func command(_ name: [UInt8]) -> String? {
        switch String(decoding: name, as: UTF8.self) {
        case "unlock", "release", "force-unlock", "forceunlock":
            "a lock is released when its COMMAND exits; for a lease: flock-cache lease release NAME"
        case "sem", "semaphore": "use flock-cache lock --slots N KEY -- COMMAND"
        case "acquire", "trylock", "flock", "mutex":
            "use flock-cache lock KEY -- COMMAND, or flock-cache lease acquire NAME --ttl D"
        case "ls", "dir", "keys": "use flock-cache list"
        case "gc", "clean", "cleanup", "prune", "purge", "expire", "vacuum": "use flock-cache reap"
        case "rm", "del", "delete", "unset": "use flock-cache remove KEY"
        case "set", "store", "write", "save": "use flock-cache put KEY VALUE"
        case "read", "cat", "show", "fetch": "use flock-cache get KEY"
        case "incr", "inc", "add", "count", "counter": "use flock-cache increment KEY [N]"
        case "decr", "dec", "decrement": "use flock-cache increment KEY -1"
        case "ps", "holders", "holder", "status", "locks", "top": "use flock-cache who"
        case "check", "verify", "fsck", "repair", "test", "diagnose": "use flock-cache doctor"
        case "exec", "once", "cache", "memoize": "use flock-cache run KEY -- COMMAND"
        case "publish", "commit", "done", "complete": "use flock-cache finalize KEY VALUE"
        case "cancel", "rollback", "giveup": "use flock-cache abandon KEY"
        case "kill", "break", "steal":
            "flock-cache who KEY shows the holder, which can be ended with kill; "
                + "a lease: flock-cache lease release NAME --force"
        case "leader", "elect", "leases": "use flock-cache lease run NAME --ttl D -- COMMAND"
        case "log", "append", "tail", "follow":
            "use flock-cache journal append NAME, or flock-cache journal read NAME --follow"
        case "events", "monitor", "subscribe": "use flock-cache watch"
        case "create", "new", "mkstore": "use flock-cache init"
        case "info", "metrics", "df", "du": "use flock-cache stats"
        case "manual", "manpage": "use flock-cache man"
        case "completion": "use flock-cache completions bash, zsh or fish"
        default: nil
        }
    }

    /// Of an option before a command, and of a path in a command's place: flock(1) has no commands.
    static func beforeCommand(_ word: String) -> String? {
        let options = [
            "w", "n", "x", "s", "u", "c", "E", "F", "o", "e", "timeout", "wait", "nonblock",
            "exclusive", "shared",
        ]
        return options.contains(word) || word.hasPrefix("/") || word.hasPrefix("./")
            ? "for a lock as of flock(1): flock-cache lock [OPTIONS] KEY -- COMMAND" : nil
    }

    /// Of a command that a group does not have; the advice for every other word where the group has one.
    static func command(_ name: [UInt8], in group: [UInt8]) -> String? {
        let word = String(decoding: name, as: UTF8.self)
        return switch String(decoding: group, as: UTF8.self) {
        case "journal ": ofJournals(word)
        case "lease ": ofLeaseCommands(word)
        default: nil
        }
    }

    private static func ofJournals(_ name: String) -> String? {
        switch name {
        case "tail", "follow", "watch": "use flock-cache journal read NAME --follow"
        case "cat", "show", "get", "print": "use flock-cache journal read NAME"
        case "add", "write", "log", "put": "use flock-cache journal append NAME"
        case "ls": "use flock-cache journal list"
        case "rotate", "prune", "truncate", "clean", "gc": "use flock-cache journal trim NAME"
        case "rm", "delete", "del": "use flock-cache journal remove NAME"
        default: nil
        }
    }

    private static func ofLeaseCommands(_ name: String) -> String? {
        switch name {
        case "status", "show", "list", "ls", "holder", "who", "info": "use flock-cache who NAME"
        case "get", "take", "grant", "create", "grab":
            "use flock-cache lease acquire NAME --ttl D"
        case "free", "drop", "end", "revoke", "unlock", "steal", "break", "remove", "rm":
            "use flock-cache lease release NAME"
        case "extend", "refresh", "keepalive", "keep-alive", "heartbeat":
            "use flock-cache lease renew NAME"
        default: nil
        }
    }
}
