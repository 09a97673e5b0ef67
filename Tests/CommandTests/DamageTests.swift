import FlockCache
import Glibc
import Testing
import TestSupport

@testable import TestHelpers

/// A record that is not as it was written is never believed, whichever bit of it has changed.
@Suite(.ownThreads) struct DamageTests {
    /// Every copy of a record with one bit changed.
    private func forEachFlip(of record: [UInt8], _ body: ([UInt8], String) throws -> Void) rethrows
    {
        for index in record.indices {
            for bit in 0..<8 {
                var flipped = record
                flipped[index] ^= 1 << bit
                try body(flipped, "bit \(bit) of byte \(index)")
            }
        }
    }

    @Test func noBitOfAReadyRecordCanChangeUnseen() throws {
        let stage = Stage()
        stage.publish("k", "a value of some length")
        let path = try #require(stage.entryFile("k"))
        let record = try #require(contents(of: path))
        let store = try Store(at: stage.store)
        var flips = 0
        try forEachFlip(of: record) { flipped, place in
            flips += 1
            write(flipped, to: path)
            if flips % 8 == 0 {
                // Whoever claims wins, as for an absent key, and nobody sees the value.
                guard case .won(let claim) = try store.claim("k") else {
                    Issue.record("\(place): a damaged value counts as absent")
                    return
                }
                try claim.abandon()
            } else {
                guard case .damaged = try store.session.get("k", maxAge: nil) else {
                    Issue.record("\(place) changed unseen")
                    return
                }
            }
            // Once: then it is absent.
            guard case .absent = try store.session.get("k", maxAge: nil) else {
                Issue.record("\(place): what was set aside is still there")
                return
            }
        }
        #expect(flips == record.count * 8)
        #expect(names(in: stage.store + "/damaged").count == flips, "each is kept")
        print("flipped \(flips) bits of a READY record")
    }

    @Test func noBitOfAPendingRecordCanChangeUnseen() throws {
        let stage = Stage()
        let store = try Store(at: stage.store)
        guard case .won(let mine) = try store.claim("k") else {
            Issue.record("a fresh key is won")
            return
        }
        let path = try #require(stage.entryFile("k.pending"))
        let record = try #require(contents(of: path))
        let other = try Store(at: stage.store)
        guard case .pending(let holder) = try other.claim("k") else {
            Issue.record("a whole record is a claim")
            return
        }
        #expect(holder.liveness == .alive)
        var flips = 0
        try forEachFlip(of: record) { flipped, place in
            flips += 1
            write(flipped, to: path)
            guard case .pending(let unknown) = try other.session.get("k", maxAge: nil),
                unknown.processID == nil
            else {
                Issue.record("\(place) was believed")
                return
            }
            // What is not whole is nobody's: the next to ask takes over, and never gets a value.
            guard case .won(let claim) = try other.claim("k"), claim.generation > mine.generation
            else {
                Issue.record("\(place) was taken for a claim")
                return
            }
            try claim.abandon()
        }
        print("flipped \(flips) bits of a PENDING record")
        do {
            try mine.finalize("late".utf8)
            Issue.record("the claim was lost")
        } catch {
            #expect(error.code == .claimLost)
        }
    }

    @Test func noTruncationOfARecordIsBelieved() throws {
        let stage = Stage()
        stage.publish("ready", "a value")
        stage.run("claim", "pending")
        let store = try Store(at: stage.store)
        let ready = try #require(stage.entryFile("ready"))
        let record = try #require(contents(of: ready))
        for count in 0..<record.count {
            write(record[..<count], to: ready)
            guard case .damaged = try store.session.get("ready", maxAge: nil) else {
                Issue.record("\(count) bytes of a READY record were believed")
                continue
            }
        }
        write(record + [0], to: ready)
        guard case .damaged = try store.session.get("ready", maxAge: nil) else {
            Issue.record("a byte behind a READY record was believed")
            return
        }
        let pending = try #require(stage.entryFile("pending.pending"))
        let claim = try #require(contents(of: pending))
        for count in 0..<claim.count {
            write(claim[..<count], to: pending)
            guard case .won(let mine) = try store.claim("pending") else {
                Issue.record("\(count) bytes of a PENDING record were believed")
                continue
            }
            try mine.abandon()
        }
    }

    // What a finalize that was killed has appended says nothing, however much of it there is.
    @Test func aValueBehindAClaimIsNoValueUntilItIsRenamed() throws {
        let stage = Stage()
        stage.publish("k", "old")
        let generation = try #require(stage.run("claim", "--max-age", "0", "k").generation)
        let path = try #require(stage.entryFile("k.pending"))
        let claim = try #require(contents(of: path))
        let section = try stage.record("k").suffix(74)
        let store = try Store(at: stage.store)
        for count in 0...section.count {
            write(claim + section.prefix(count), to: path)
            let entry = try #require(try store.entry(for: "k"))
            #expect(entry.value.elementsEqual("old".utf8))
        }
        let finalize = stage.run("finalize", "--generation", "\(generation)", "k", "new")
        #expect(finalize.code == 0, "\(finalize)")
        #expect(stage.run("get", "k").text == "new")
    }

    @Test func theCommandReportsDamageOnceKeepsTheRecordAndGoesOn() throws {
        let stage = Stage()
        stage.publish("other", "whole")
        for (round, command) in ["get", "claim"].enumerated() {
            stage.publish("k", "some value")
            let path = try #require(stage.entryFile("k"))
            var record = try #require(contents(of: path))
            record[record.count - 1] ^= 1
            write(record, to: path)
            let list = stage.run("list")
            #expect(list.code == 0 && list.text.contains("\tother\t"), "\(list)")

            let first = stage.run(command, "k")
            #expect(first.code == (command == "get" ? 65 : 0), "\(first)")
            #expect(!first.text.contains("some"), "\(first)")
            #expect(first.error.contains("'k' was corrupt"), "\(first)")
            #expect(first.error.contains("kept at \(stage.store)/damaged/k."), "\(first)")
            let kept = names(in: stage.store + "/damaged")
            #expect(kept.count == round + 1)
            #expect(kept.contains { contents(of: "\(stage.store)/damaged/\($0)") == record })
            if command == "get" {
                let second = stage.run("get", "k")
                #expect(second.code == 1 && second.error.isEmpty, "\(second)")
            } else {
                #expect(stage.run("finalize", "k", "anew").code == 0)
                #expect(stage.run("get", "k").text == "anew")
            }
            #expect(stage.run("get", "other").text == "whole")
            let stats = stage.run("stats").text
            #expect(stats.hasPrefix("pending 0\nready \(round + 1)\n"), "\(stats)")
        }
    }

    // A whole record under another key's name is not that key's value.
    @Test func aRecordThatWasCopiedToAnotherKeyIsDamaged() throws {
        let stage = Stage()
        stage.publish("a", "of a")
        stage.publish("b", "of b")
        let record = try stage.record("a")
        write(record, to: try #require(stage.entryFile("b")))
        let get = stage.run("get", "b")
        #expect(get.code == 65 && get.output.isEmpty, "\(get)")
        #expect(stage.run("get", "a").text == "of a")
    }
}
