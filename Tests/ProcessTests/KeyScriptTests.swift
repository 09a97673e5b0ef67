import Testing
import TestSupport

@testable import TestHelpers

/// A key as the shell writes it in `$'…'`, and its name on disk.
struct OddKey: CustomStringConvertible, Sendable {
    let quoted: String
    let encoded: String
    var description: String { encoded }

    static let all = [
        OddKey(quoted: "a/b", encoded: "a%2Fb"),
        OddKey(quoted: "/etc/passwd", encoded: "%2Fetc%2Fpasswd"),
        OddKey(quoted: "../../../escape", encoded: "%2E.%2F..%2F..%2Fescape"),
        OddKey(quoted: ".", encoded: "%2E"),
        OddKey(quoted: "..", encoded: "%2E."),
        OddKey(quoted: ".hidden", encoded: "%2Ehidden"),
        OddKey(quoted: ".tmp-0123456789abcdef-1", encoded: "%2Etmp-0123456789abcdef-1"),
        OddKey(quoted: "-n", encoded: "-n"),
        OddKey(quoted: "--", encoded: "--"),
        OddKey(quoted: "--store=x", encoded: "--store=x"),
        OddKey(quoted: "k.pending", encoded: "k%2Epending"),
        OddKey(quoted: ".pending", encoded: "%2Epending"),
        OddKey(quoted: "k.pending.pending", encoded: "k.pending%2Epending"),
        OddKey(quoted: "two\\nlines", encoded: "two%0Alines"),
        OddKey(quoted: "tab\\there", encoded: "tab%09here"),
        OddKey(quoted: "\\e[31mred", encoded: "%1B%5B31mred"),
        OddKey(quoted: "not \\xff\\xfe UTF-8", encoded: "not%20%FF%FE%20UTF-8"),
        OddKey(quoted: "sha256:ab+cd=@,_", encoded: "sha256:ab+cd=@,_"),
        OddKey(quoted: "100%", encoded: "100%25"),
        OddKey(quoted: "%2F", encoded: "%252F"),
        OddKey(quoted: "*?$(true)`true`", encoded: "%2A%3F%24%28true%29%60true%60"),
    ]
}

@Suite(.ownThreads) struct KeyScriptTests {
    @Test(arguments: OddKey.all)
    func anyBytesAreAKeyAndStayInTheStore(key: OddKey) {
        let stage = Stage()
        let outcome = stage.script(
            """
            key=$'\(key.quoted)'
            flock-cache claim -- "$key" >/dev/null || exit 10
            flock-cache list --pending -0 >"$WORK/pending" || exit 11
            flock-cache finalize -- "$key" "value of it" || exit 12
            flock-cache get -- "$key" >"$WORK/value" || exit 13
            flock-cache list -0 >"$WORK/ready" || exit 14
            printf '%s\\0' "$key" >"$WORK/key"
            cmp "$WORK/key" "$WORK/pending" && cmp "$WORK/key" "$WORK/ready" || exit 15
            flock-cache list | cut -f 1-2
            flock-cache remove -- "$key" || exit 16
            flock-cache get -- "$key"
            """)
        #expect(outcome.code == 1, "\(outcome)")
        #expect(outcome.text == "ready\t\(key.encoded)\n")
        #expect(contents(of: stage.directory("value")) == Array("value of it".utf8))
        // Nothing was written beside the store, and nothing is left in it.
        #expect(names(in: stage.directory.path) == ["key", "pending", "ready", "store", "value"])
        #expect(names(in: stage.store) == ["entries", "flock-cache", "locks"])
        #expect(stage.entryFiles.isEmpty)
    }

    @Test func aMessageNeverCarriesWhatATerminalWouldObey() {
        let stage = Stage()
        let outcome = stage.script(
            """
            flock-cache claim -- $'\\e[2Jclear' >/dev/null
            flock-cache claim -- $'\\e[2Jclear'
            flock-cache $'\\e[2Jverb'
            flock-cache --store $'\\e[2Jstore' get ''
            flock-cache claim k $'\\e[2Jextra'
            """)
        #expect(!outcome.error.utf8.contains(0x1b), "\(outcome)")
        #expect(outcome.error.contains(#"\x1b[2Jclear"#), "\(outcome)")
    }
}
