import Testing
import TestSupport

@testable import TestHelpers

/// What `who`, `list`, `stats` and `doctor` print for people, on a terminal, and for programs, on a pipe.
@Suite(.ownThreads, .enabled(if: isInstalled("script"), "needs script"))
struct TerminalTableTests {
    private let stage = Stage()

    private func onTerminal(_ line: String) -> String {
        let outcome = stage.script("script -qec 'flock-cache \(line)' /dev/null < /dev/null")
        #expect(outcome.code == 0, "\(outcome)")
        return outcome.text.replacing("\r\n", with: "\n")
    }

    @Test func peopleGetSortedColumnsAndProgramsTabs() {
        for key in ["b", "a", "c"] { stage.publish(key, "value") }
        let rows = onTerminal("list").split(separator: "\n")
        #expect(rows.count == 4 && rows[0].contains("STATE") && rows[0].contains("AGE"), "\(rows)")
        #expect(rows.dropFirst().map { $0.split(separator: " ")[1] } == ["a", "b", "c"])
        #expect(rows[1].hasSuffix(" s  5 B"), "\(rows)")
        let piped = stage.run("list").text.split(separator: "\n")
        #expect(piped.count == 3 && piped.allSatisfy { $0.split(separator: "\t").count == 5 })
        #expect(onTerminal("stats").contains("ready") && onTerminal("stats").contains(" B"))
    }

    @Test func whoShowsCommandUserAndState() {
        let holder = stage.start("flock-cache lock deploy -- sh -c 'echo held; read end; exit 0'")
        #expect(holder.line() == "held")
        let rows = onTerminal("who").split(separator: "\n")
        #expect(rows.count == 2 && rows[0].contains("STATE"), "\(rows)")
        #expect(rows[1].contains("\(holder.id)+") && rows[1].contains("running"), "\(rows)")
        let fields = stage.run("who").text.split(separator: "\t")
        #expect(fields.count == 10 && fields[2] == "\(holder.id)", "\(fields)")
        #expect(fields.last == "running\n", "\(fields)")
        let json = stage.run("who", "--json").text
        #expect(json.contains("\"child\":") && json.contains("\"stopped\":false"), "\(json)")
        #expect(!json.contains("\"child\":null"), "\(json)")
        holder.closeInput()
        _ = holder.wait()
    }

    @Test func thereIsColourOnlyOnATerminalAndNotWithNO_COLOR() {
        stage.publish("a", "v")
        #expect(onTerminal("list").contains("\u{1b}[1m"))
        #expect(!stage.run("list").text.contains("\u{1b}"))
        let plain = stage.script(
            "export NO_COLOR=1; script -qec 'flock-cache list' /dev/null < /dev/null"
        ).text
        #expect(plain.contains("STATE") && !plain.contains("\u{1b}"), "\(plain)")
    }
}
