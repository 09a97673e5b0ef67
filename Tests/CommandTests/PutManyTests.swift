import Testing
import TestSupport

@testable import TestHelpers

/// `put --null`: many values by one process.
@Suite(.ownThreads) struct PutManyTests {
    private let stage = Stage()

    private func put(_ pairs: [String], _ options: String...) -> Outcome {
        write(pairs.map { $0 + "\0" }.joined().utf8, to: stage.directory("pairs"))
        return stage.run(["put", "--null", "--file", stage.directory("pairs")] + options)
    }

    private func lines(_ outcome: Outcome) -> [[String]] {
        outcome.text.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }

    @Test func eachPairIsSetAndTold() throws {
        // More than one read yields, so that pairs are put together from pieces.
        let pairs = (0..<3000).flatMap { ["key \($0)", String(repeating: "\($0)\n", count: 50)] }
        let outcome = put(pairs)
        #expect(outcome.code == 0 && outcome.error.isEmpty, "\(outcome.error)")
        let lines = lines(outcome)
        #expect(lines.count == 3000)
        for (number, line) in lines.enumerated() {
            try #require(line.prefix(2) == ["ready", "key%20\(number)"] && UInt64(line[2]) != nil)
        }
        #expect(stage.line("stats").text.hasPrefix("pending 0\nready 3000\n"))
        for number in [0, 1234, 2999] {
            #expect(stage.run("get", "key \(number)").text == pairs[2 * number + 1])
        }
        #expect(put([]).code == 0)
        // No value is a value too.
        #expect(put(["empty", ""]).code == 0 && stage.run("get", "empty").code == 0)
    }

    @Test func itGoesOnPastWhatIsNotSet() throws {
        let first = lines(put(["a", "1", "b", "1"]))
        let some = put(["a", "2", "c", "2", "b", "2"], "--if-absent")
        #expect(some.code == 1 && some.error.isEmpty, "\(some)")
        let told = lines(some)
        #expect(told.map { $0[0] } == ["unchanged", "ready", "unchanged"])
        #expect(told[0][2] == first[0][2] && stage.run("get", "a").text == "1")
        #expect(stage.run("claim", "claimed").code == 0)
        let rest = put(["a", "3", "claimed", "3", "d", "3"], "--if-absent")
        #expect(rest.code == 75 && rest.error.contains("claimed"), "\(rest)")
        #expect(lines(rest).map { $0[0] } == ["unchanged", "pending", "ready"])
        let json = put(["claimed", "4", "a", "4"], "--json", "-q")
        let objects = json.text.split(separator: "\n")
        #expect(json.code == 75 && objects.count == 2 && json.error.isEmpty, "\(json)")
        #expect(objects[0].hasPrefix(#"{"state":"pending","key":"claimed""#))
        #expect(objects[0].contains(#""holder":{"pid":"#), "\(json)")
        #expect(objects[1].hasPrefix(#"{"state":"ready","key":"a""#))
    }

    @Test func whatIsWrongEndsItAndWhatWasSetIsTold() {
        let odd = put(["a", "1", "b"])
        #expect(odd.code == 64 && lines(odd).map { $0[1] } == ["a"], "\(odd)")
        #expect(odd.error.contains("'b'") && odd.error.contains("values set: 1"), "\(odd)")
        write("c\u{0}unfinished".utf8, to: stage.directory("cut"))
        let cut = stage.run("put", "-0", "--file", stage.directory("cut"))
        #expect(cut.code == 64 && stage.run("get", "c").code == 1, "\(cut)")
        let noKey = put(["a", "2", "", "3", "d", "4"])
        #expect(noKey.code == 64 && stage.run("get", "a").text == "2", "\(noKey)")
        #expect(stage.run("get", "d").code == 1)
        let large = put(["e", "5", "f", String(repeating: "x", count: (1 << 20) + 1)])
        #expect(large.code == 64 && large.error.contains("--file PATH"), "\(large)")
        #expect(stage.run("get", "e").text == "5" && stage.run("get", "f").code == 1)
        #expect(put(["f", String(repeating: "x", count: 1 << 20)]).code == 0)
        for line in ["put", "put -0 k", "put -0 k v", "put -0 --if-generation 5"] {
            let outcome = stage.line(line)
            #expect(outcome.code == 64 && outcome.output.isEmpty, "\(line): \(outcome)")
        }
    }
}
