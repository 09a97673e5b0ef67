import Glibc
import TestSupport
import Testing

/// Values of a clock that was ahead are not fresh for ever.
@Suite struct FutureTests {
    /// A stage with a value that was published by a clock ahead by so many seconds.
    private func stage(_ ahead: Int) -> Stage {
        let stage = Stage()
        stage.script(
            """
            export FLOCK_CACHE_WALL_CLOCK=\(ahead) FLOCK_CACHE_OWNER=$$
            flock-cache claim k >/dev/null && flock-cache finalize k old
            """)
        #expect(stage.run("get", "k").text == "old")
        return stage
    }

    @Test(arguments: [30, 86_400, 315_576_000], ["0", "10s", "100d"])
    func aValueFromTheFutureIsOlderThanAnyAge(ahead: Int, maxAge: String) throws {
        let got = stage(ahead).run("get", "k", "--max-age", maxAge)
        #expect(got.code == 1 && got.text.isEmpty, "\(got)")
        let run = stage(ahead)
        let ran = run.script("flock-cache run k --max-age \(maxAge) -- echo new")
        #expect(ran.code == 0 && ran.text == "new\n", "\(ran)")
        // What was computed anew has an age again.
        let again = run.script("flock-cache run k --max-age 100d -- echo newer")
        #expect(again.text == "new\n", "\(again)")
        let claimed = stage(ahead).run("claim", "k", "--max-age", maxAge)
        #expect(claimed.code == 0 && claimed.generation != nil, "\(claimed)")
        let reaped = stage(ahead).run("reap", "--max-age", maxAge)
        #expect(reaped.text == "k\ttoo-old\n", "\(reaped)")
    }

    @Test func useSetsATimeInTheFutureRightAndWithoutUseItIsNoUse() throws {
        let stage = Stage()
        for key in ["a", "b", "c"] { stage.publish(key, "v") }
        setModified(try #require(stage.entryFile("a")), secondsAgo: 1000)
        for key in ["b", "c"] {
            setModified(try #require(stage.entryFile(key)), secondsAgo: -86_400)
        }
        #expect(stage.run("get", "b").code == 0)
        var status = stat()
        #expect(stat(try #require(stage.entryFile("b")), &status) == 0)
        #expect(status.st_mtim.tv_sec <= time(nil) + 1, "use sets the time right")
        // `c` was not used since its clock was set right; `a` was, a while ago; `b` just now.
        #expect(stage.run("reap", "--max-entries", "2").text == "c\tevicted\n")
        #expect(stage.run("reap", "--max-entries", "1").text == "a\tevicted\n")
    }

    @Test func timesBeyondAllClocksAreTimesToo() throws {
        let stage = Stage()
        let ends = [Int.max, Int.min, 16_000_000_000, -16_000_000_000]
        for (index, seconds) in ends.enumerated() {
            stage.publish("k\(index)", "v")
            let moment = timespec(tv_sec: seconds, tv_nsec: 999_999_999)
            utimensat(AT_FDCWD, try #require(stage.entryFile("k\(index)")), [moment, moment], 0)
        }
        stage.publish("now", "v")
        #expect(stage.run("list").text.split(separator: "\n").count == 5)
        let reaped = stage.run("reap", "--max-entries", "1")
        #expect(reaped.code == 0 && reaped.text.split(separator: "\n").count == 4, "\(reaped)")
        #expect(!reaped.text.contains("now"), "\(reaped)")
        #expect(stage.run("get", "now").code == 0)
    }
}
