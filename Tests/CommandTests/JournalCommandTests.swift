import FlockCacheCommand
import Testing
import TestSupport

@testable import FlockCacheCommand
@testable import TestHelpers

/// `journal` as scripts see it.
@Suite(.ownThreads) struct JournalCommandTests {
    private let stage = Stage()

    @Test func recordsAreAppendedAndRead() throws {
        #expect(stage.run("journal", "read", "log").code == 1)
        #expect(names(in: stage.directory.path) == [])
        #expect(stage.run("journal", "append", "log", "a\tb%\n").text == "1\n")
        #expect(stage.run("journal", "append", "log", "").text == "2\n")
        write("one\n\nlast".utf8, to: stage.directory("lines"))
        let lines = stage.run(
            "journal", "append", "log", "--lines", "--file", stage.directory("lines"))
        #expect(lines.text == "5\n", "\(lines)")
        let whole = stage.run("journal", "append", "log", "--file", stage.directory("lines"))
        #expect(whole.text == "6\n", "\(whole)")
        // Standard input is empty here.
        #expect(stage.run("journal", "append", "log").text == "7\n")
        #expect(stage.run("journal", "append", "log", "--lines").text == "")
        let read = stage.run("journal", "read", "log").text.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        #expect(read.map { $0[0] } == (1...7).map { "\($0)" })
        #expect(
            read.map { $0[2] } == ["a%09b%25%0A", "", "one", "", "last", "one%0A%0Alast", ""])
        let time = try #require(read.first?[1])
        #expect(time.count == 27 && time.hasPrefix("20") && time.hasSuffix("Z"), "\(time)")
        #expect(
            stage.run("journal", "read", "log", "--from", "5", "-0").text
                == "last\u{0}one\n\nlast\u{0}\u{0}")
        #expect(stage.run("journal", "read", "log", "--from", "8").text == "")
    }

    @Test func resultsAreJSONWhereThatIsAskedFor() {
        let appended = stage.run("journal", "append", "a b", "x", "--json")
        #expect(appended.text == "{\"journal\":\"a%20b\",\"number\":1}\n")
        write([0xff, 0x00], to: stage.directory("bytes"))
        stage.run("journal", "append", "a b", "--file", stage.directory("bytes"))
        let read = stage.run("journal", "read", "a b", "--json").text.split(separator: "\n")
        #expect(read[0].hasPrefix("{\"journal\":\"a%20b\",\"number\":1,\"time\":\"20"))
        #expect(read[0].hasSuffix("\"encoding\":\"utf-8\",\"value\":\"x\"}"))
        #expect(read[1].hasSuffix("\"encoding\":\"base64\",\"value\":\"/wA=\"}"))
        let list = stage.run("journal", "list", "--json")
        #expect(
            list.text == "{\"journal\":\"a%20b\",\"first\":1,\"last\":2,\"bytes\":4163}\n",
            "\(list)"
        )
        let error = stage.run("journal", "read", "a b", "--from", "9", "--json")
        #expect(error.code == 64 && error.error.contains("\"exit\":64"), "\(error)")
    }

    @Test func journalsAreListedTrimmedAndRemoved() {
        #expect(stage.run("journal", "list").text == "")
        #expect(stage.run("journal", "trim", "log", "--keep", "1").code == 0)
        #expect(stage.run("journal", "remove", "log").code == 0)
        #expect(names(in: stage.directory.path) == [])
        for name in ["b", "a/c"] { stage.run("journal", "append", name, "text") }
        #expect(stage.run("journal", "list").text == "a%2Fc\t1\t1\t4132\nb\t1\t1\t4132\n")
        #expect(stage.run("journal", "trim", "b", "--keep", "0").code == 0)
        #expect(stage.run("journal", "list").text.hasSuffix("b\t2\t1\t4096\n"))
        let trimmed = stage.run("journal", "read", "b", "--from", "1")
        #expect(trimmed.code == 66 && trimmed.error.contains("is 2 (--from 2)"), "\(trimmed)")
        #expect(stage.run("journal", "read", "b").code == 0)
        #expect(stage.run("journal", "append", "b", "next").text == "2\n")
        #expect(stage.run("journal", "remove", "b").code == 0)
        #expect(stage.run("journal", "append", "b", "anew").text == "1\n")
    }

    @Test func aRecordOfMoreThan16MiBIsRefused() {
        write([UInt8](repeating: 65, count: (16 << 20) + 1), to: stage.directory("large"))
        for option in [["--lines"], []] {
            let arguments = ["journal", "append", "log", "--file", stage.directory("large")]
            let outcome = stage.line((arguments + option).joined(separator: " "))
            #expect(outcome.code == 64 && outcome.error.contains("16 MiB"), "\(outcome)")
        }
        #expect(stage.run("journal", "read", "log").code == 1)
    }

    @Test func aDamagedRecordIsNamed() throws {
        for text in ["one", "two", "three"] { stage.run("journal", "append", "log", text) }
        let path = stage.store + "/journal/log/00000000000000000001"
        overwrite(path, at: 4096 + 35 + 33, with: [0])
        let read = stage.run("journal", "read", "log")
        #expect(read.code == 65 && read.text.hasSuffix("\tone\n"), "\(read)")
        #expect(read.error.contains("record 2") && read.error.contains("4131"), "\(read)")
        #expect(stage.run("journal", "append", "log", "four").text == "4\n")
        write([1, 2, 3], to: path)
        let broken = stage.run("journal", "append", "log", "five")
        #expect(broken.code == 65 && broken.error.contains(path), "\(broken)")
    }

    @Test(arguments: [
        WrongLine("journal", "journal needs one of", "append, read, trim, list, remove"),
        WrongLine("journal append", "journal append needs NAME"),
        WrongLine("journal append log a b", "does not take 'b'"),
        WrongLine("journal append log a --lines", "not both"),
        WrongLine("journal append log a --file x", "not both"),
        WrongLine("journal read log -w 1", "--follow"),
        WrongLine("journal read log --from x", "number"),
        WrongLine("journal trim log", "--keep, --max-age or --max-bytes"),
    ])
    func aWrongLineIsExplained(_ wrong: WrongLine) {
        let outcome = stage.line(wrong.line)
        #expect(outcome.code == 64, "\(outcome)")
        for word in wrong.words { #expect(outcome.error.contains(word), "\(outcome.error)") }
        #expect(names(in: stage.directory.path).isEmpty, "a wrong line touches nothing")
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (1_764_134_406_123_456, "2025-11-26T05:20:06.123456Z"),
    ])
    func timesAreWrittenAsRFC3339(_ microseconds: Int64, _ text: String) {
        #expect(UTCTime(microseconds: microseconds).text == text)
    }
}
