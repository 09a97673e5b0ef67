import Testing
import TestSupport

@testable import TestHelpers

/// The manual and the completions, read by the programs that they are for.
@Suite(.ownThreads) struct CompletionTests {
    private let stage = Stage()

    @Test(.enabled(if: isInstalled("man")))
    func theManualHasNoWarnings() {
        for verb in ["", "lock", "lease run", "claim"] {
            let outcome = stage.script(
                "flock-cache man \(verb) | LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l - > $WORK/page"
            )
            #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
        }
        let page = stage.script("cat $WORK/page").text
        #expect(page.contains("SYNOPSIS") && page.contains("--max-age D"), "\(page)")
    }

    private func bash(_ words: String...) -> [Substring] {
        let list = words.map { "'\($0)'" }.joined(separator: " ")
        let outcome = stage.script(
            """
            source <(flock-cache completions bash)
            COMP_WORDS=(flock-cache \(list)) COMP_CWORD=\(words.count)
            _flock_cache
            printf '%s\\n' "${COMPREPLY[@]}"
            """)
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
        return outcome.text.split(separator: "\n")
    }

    @Test func bashCompletesCommandsOptionsAndKeys() {
        stage.publish("report", "1")
        stage.publish("a b", "1")
        stage.run("journal", "append", "audit", "x")
        stage.run("lease", "acquire", "primary", "--ttl", "1h")
        #expect(bash("cl") == ["claim"])
        #expect(bash("lease", "") == ["run", "acquire", "renew", "release", "check"])
        #expect(bash("lock", "--sl") == ["--slots"])
        #expect(bash("lease", "run", "--t") == ["--ttl"])
        #expect(bash("get", "--max-age", "5", "") == ["report"])
        #expect(bash("journal", "read", "") == ["audit"])
        #expect(bash("lease", "release", "pr") == ["primary"])
        #expect(bash("--store", "/nowhere", "get", "") == [])
        #expect(bash("lock", "k", "--", "flock-cac").contains("flock-cache"))
        #expect(bash("help", "exit").contains("exit-codes"))
        #expect(bash("completions", "") == ["bash", "fish", "zsh"])
    }

    @Test(.enabled(if: isInstalled("zsh"))) func zshReadsItsScript() {
        let outcome = stage.script("flock-cache completions zsh | zsh -n")
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
        // The tables, without the editor.
        let words = stage.script(
            """
            flock-cache completions zsh > $WORK/z
            zsh -fc 'compdef() { }; source $WORK/z; _flock_cache_words lease; print -l -- ${entries%%:*}
                _flock_cache_options lock; print -l -- ${entries%%:*}'
            """)
        #expect(words.code == 0 && words.error.isEmpty, "\(words)")
        #expect(words.text.contains("acquire\n") && words.text.contains("--slots\n"), "\(words)")
    }

    @Test(.enabled(if: isInstalled("fish"))) func fishCompletes() {
        let outcome = stage.script(
            """
            export HOME=$WORK; flock-cache completions fish > $WORK/f
            fish -c "source $WORK/f; complete -C 'flock-cache cl'; complete -C 'flock-cache lease '
                complete -C 'flock-cache lock --slo'"
            """)
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome)")
        let words = Set(outcome.text.split(separator: "\n").map { $0.prefix { $0 != "\t" } })
        #expect(
            words == ["claim", "run", "acquire", "renew", "release", "check", "--slots"], "\(words)"
        )
    }
}
