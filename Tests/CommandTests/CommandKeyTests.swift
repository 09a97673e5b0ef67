import Testing
import TestSupport

@testable import TestHelpers

@Suite(.ownThreads) struct CommandKeyTests {
    @Test func anEmptyKeyIsAUsageErrorAndMakesNoStore() {
        let stage = Stage()
        for command in ["claim", "get", "abandon", "remove"] {
            let outcome = stage.run(command, "")
            #expect(outcome.code == 64, "\(command): \(outcome)")
            #expect(outcome.error.contains("empty"), "\(command): \(outcome)")
        }
        #expect(stage.run("finalize", "", "v").code == 64)
        #expect(names(in: stage.directory.path).isEmpty)
    }

    @Test func aKeyOf200BytesIsTheLongest() {
        let stage = Stage()
        let longest = String(repeating: "k", count: 200)
        stage.publish(longest, "v")
        #expect(stage.run("get", longest).text == "v")
        for command in ["claim", "get", "abandon", "remove"] {
            let outcome = stage.run(command, longest + "k")
            #expect(outcome.code == 64, "\(command): \(outcome)")
            #expect(outcome.error.contains("201 bytes"), "\(outcome)")
            #expect(outcome.error.contains("hash it first"), "\(outcome)")
        }
        #expect(stage.run("finalize", longest + "k", "v").code == 64)
    }

    // 80 bytes that become three each are 240, one more is too many for a file name.
    @Test func aKeyWhoseNameOnDiskIsTooLongIsRefused() {
        let stage = Stage()
        let widest = String(repeating: "/", count: 80)
        stage.publish(widest, "v")
        #expect(stage.run("get", widest).text == "v")
        let outcome = stage.run("claim", widest + "/")
        #expect(outcome.code == 64, "\(outcome)")
        #expect(outcome.error.contains("hash it first"), "\(outcome)")
    }

    // The file of the one claim must not be taken for the value of the other key.
    @Test func aKeyThatLooksLikeAClaimsFileIsAKeyOfItsOwn() {
        let stage = Stage()
        stage.run("claim", "k")
        #expect(stage.run("get", "k.pending").code == 1)
        stage.publish("k.pending", "another")
        #expect(stage.run("get", "k").code == 75)
        stage.run("finalize", "k", "the one")
        #expect(stage.run("get", "k").text == "the one")
        #expect(stage.run("get", "k.pending").text == "another")
    }
}
