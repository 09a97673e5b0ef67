import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// The small formats: the marker, the shard blocks, the checksum.
@Suite(.ownThreads) struct MarkerTests {
    // MARK: Shard blocks

    // MARK: The marker

    @Test(arguments: [
        "\n", "flock-cache\n", "flock-cache x\n", "flock-cache 3", "\0flock-cache 1\n",
        "flock-cache 0\n", "flock-cache -1\n", "flock-cache 1 2\n", "other 1\n",
        "flock-cache 1\nmode 0700\n", "flock-cache 1\nmode: 0777\n", "flock-cache 1\nmode: 9\n",
        "flock-cache 99999999999999999999\n",
    ])
    func whatIsNoMarkerIsRefused(text: String) throws {
        #expect(Marker.read(Array(text.utf8)) == .notAMarker)
        let directory = TemporaryDirectory()
        write(text.utf8, to: directory("flock-cache"))
        #expect(storeError { _ = try Store(at: directory.path) }?.code == .notAStore)
        #expect(names(in: directory.path) == ["flock-cache"], "it was not touched")
    }

    @Test func aDirectoryWithSomethingElseIsNotTouched() throws {
        let directory = TemporaryDirectory()
        write("precious".utf8, to: directory("file"))
        #expect(storeError { _ = try Store(at: directory.path) }?.code == .notAStore)
        #expect(names(in: directory.path) == ["file"])
    }

    @Test func aStoreOfALaterVersionIsRefused() {
        let directory = TemporaryDirectory()
        write("flock-cache 3\n".utf8, to: directory("flock-cache"))
        #expect(storeError { _ = try Store(at: directory.path) }?.code == .incompatibleFormat)
        #expect(names(in: directory.path) == ["flock-cache"])
    }

    // MARK: The checksum
}
