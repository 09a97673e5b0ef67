// The help that is about no single command: the overview, groups of commands, and topics.

extension Verb {
    /// Of one in full, of several a line each, of all with what holds for all.
    static func help(of verbs: [Verb], among all: [Verb]) -> String {
        if verbs.count == 1 { return verbs[0].page.text }
        if verbs.count == all.count { return overview(of: all).text }
        let group = verbs.first.map { String($0.name.prefix { $0 != " " }) } ?? ""
        let page = HelpPage(
            summary: "The commands for \(group)s.",
            usage: "flock-cache \(group) COMMAND [OPTIONS] …",
            sections: [
                .init(title: "Commands", body: .rows(verbs.map { ($0.name, $0.summary) })),
                .init(
                    title: "",
                    body: .paragraphs(["See 'flock-cache help \(verbs[0].name)' for details."])),
            ])
        return page.text
    }

    /// A topic by name; nil where there is none.
    static func topic(_ name: [UInt8]) -> HelpPage? {
        if name.elementsEqual("exit-codes".utf8) { return exitCodes }
        if name.elementsEqual("environment".utf8) { return environment }
        return nil
    }

    static let topicNames = ["exit-codes", "environment"]

    static func overview(of all: [Verb]) -> HelpPage {
        var sections = Group.allCases.map { group in
            HelpPage.Section(
                title: group.rawValue,
                body: .rows(all.filter { $0.group == group }.map { ($0.name, $0.summary) }))
        }
        sections += [
            .init(
                title: HelpPage.generalOptions,
                body: .rows((Option.everywhere + [Option.version]).map(\.row))),
            .init(
                title: "",
                body: .paragraphs([
                    "A duration is 250ms, 30s, 5m, 2h, 7d, 2w, 1m30s, or a number of seconds. "
                        + "A size is 4096, 64K, 10M, 1.5G or 2T.",
                    "See 'flock-cache help COMMAND' for a command, 'help exit-codes' and "
                        + "'help environment' for what all have in common.",
                ])),
        ]
        return HelpPage(
            summary: "Coordinate processes through a shared directory, without a daemon.",
            usage: "flock-cache [--store DIR] COMMAND [OPTIONS] …", sections: sections)
    }

    static var exitCodes: HelpPage {
        let rows = ExitCode.allCases.map { (word: String($0.rawValue), text: $0.meaning) }
        return HelpPage(
            summary:
                "Exit codes of all commands. Treat every code that is not expected as a failure.",
            usage: "rc=0; out=$(flock-cache …) || rc=$?",
            sections: [
                .init(title: "Exit status", body: .rows(rows)),
                .init(
                    title: "",
                    body: .paragraphs([
                        "lock, run and lease run exit with the code of COMMAND, or are ended by the same "
                            + "signal. Of their own they use 75, 76 and 124 to 127 only; -E CODE replaces "
                            + "75 and 124.",
                        "Assign before testing: local x=$(…), export x=$(…) and 'if ! …' lose "
                            + "the code in every shell.",
                    ])),
            ])
    }

    static var environment: HelpPage {
        HelpPage(
            summary: "Environment variables.", usage: "FLOCK_CACHE_DIR=/var/lib/app flock-cache …",
            sections: [
                .init(title: "Read", body: .rows(Variable.read)),
                .init(title: "Set for COMMAND", body: .rows(Variable.given)),
            ])
    }
}

extension Variable {
    /// What is said of those that are read.
    static let read: HelpPage.Rows = [
        (
            "\(store)",
            "the store, unless --store is given; else $XDG_CACHE_HOME/flock-cache, else "
                + "$HOME/.cache/flock-cache; other users, sudo and cron may have another"
        ),
        (
            "\(wait)",
            "how long lock, run, wait and lease run wait: a duration, or forever (default: 300s)"
        ),
        (
            "\(owner)",
            "the owner of claims: a process number, or none (default: the calling program)"
        ),
        (
            "\(allowedFileSystems)",
            "names of file systems to accept although they are not known to keep the promises, "
                + "separated by commas"
        ),
        ("\(noColor)", "if set and not empty, no colour on terminals"),
    ]

    /// What is said of those that a COMMAND gets.
    static let given: HelpPage.Rows = [
        ("\(store)", "the store, as an absolute path"),
        ("\(key)", "the key; of several locks the first in order"),
        ("\(generation)", "the generation (fencing token) of the claim or lease"),
        ("\(slot)", "the slot, with --slots"),
        ("\(held)", "what the flock-cache commands hold that started COMMAND, to detect deadlocks"),
    ]
}
