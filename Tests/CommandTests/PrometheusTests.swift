import Testing
import TestSupport

@testable import TestHelpers

/// `stats` as metrics.
@Suite(.ownThreads) struct PrometheusTests {
    /// A sample of the text format: a name, labels in braces, a value.
    private struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        var value: Int
    }

    /// Reads the exposition format as a collector does; nil where it is none.
    private func samples(_ text: String) -> [Sample]? {
        guard text.hasSuffix("\n") else { return nil }
        var types: Set<String> = []
        var samples: [Sample] = []
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                guard words.count == 4, words[3] == "gauge" else { return nil }
                types.insert(String(words[2]))
            } else if !line.hasPrefix("# HELP ") {
                guard let sample = sample(line), types.contains(sample.name) else { return nil }
                samples.append(sample)
            }
        }
        return samples
    }

    private func sample(_ line: Substring) -> Sample? {
        guard let open = line.firstIndex(of: "{"), let close = line.lastIndex(of: "}"),
            let value = Int(line[line.index(close, offsetBy: 2)...])
        else { return nil }
        var labels: [String: String] = [:]
        var rest = line[line.index(after: open)..<close]
        while let equals = rest.firstIndex(of: "=") {
            let name = String(rest[..<equals])
            rest = rest[equals...].dropFirst()
            guard rest.popFirst() == "\"" else { return nil }
            var text = ""
            while let character = rest.popFirst(), character != "\"" {
                if character != "\\" {
                    text.append(character)
                    continue
                }
                switch rest.popFirst() {
                case "n": text.append("\n")
                case let escaped? where escaped == "\\" || escaped == "\"": text.append(escaped)
                default: return nil
                }
            }
            labels[name] = text
            if rest.first == "," { rest.removeFirst() }
        }
        return Sample(name: String(line[..<open]), labels: labels, value: value)
    }

    @Test func metricsSayWhatTheCountsSay() throws {
        let stage = Stage()
        stage.publish("a", "1")
        stage.publish("b", "2")
        stage.run("claim", "c")
        let outcome = stage.run("stats", "--prometheus")
        #expect(outcome.code == 0, "\(outcome)")
        let plain = stage.run("stats").text.split(separator: "\n")
        let bytes = try #require(plain.last?.split(separator: " ").last.flatMap { Int($0) })
        let store = ["store": stage.store]
        #expect(
            samples(outcome.text) == [
                Sample(
                    name: "flock_cache_entries",
                    labels: ["store": stage.store, "state": "pending"], value: 1),
                Sample(
                    name: "flock_cache_entries",
                    labels: ["store": stage.store, "state": "ready"], value: 2),
                Sample(name: "flock_cache_ready_bytes", labels: store, value: bytes),
                Sample(name: "flock_cache_damaged", labels: store, value: 0),
                Sample(name: "flock_cache_counts_exact", labels: store, value: 1),
            ], "\(outcome)")
    }

    @Test func anyPathIsALabel() throws {
        var stage = Stage()
        for name in ["a \"quoted\" one", "back\\slash", "two\nlines", "ünï"] {
            stage.variables["FLOCK_CACHE_DIR"] = stage.directory(name)
            let outcome = stage.run("stats", "--prometheus")
            let found = try #require(samples(outcome.text), "\(outcome)")
            #expect(found.count == 5)
            #expect(found.allSatisfy { $0.labels["store"] == stage.directory(name) })
            #expect(found.dropLast().allSatisfy { $0.value == 0 })
        }
    }

    @Test func metricsAndJSONExcludeEachOther() {
        #expect(Stage().run("stats", "--prometheus", "--json").code == 64)
    }
}
