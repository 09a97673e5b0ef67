import Glibc
import SystemCalls
import Testing
import TestSupport

@testable import FlockCache
@testable import TestHelpers

/// Claims of an earlier boot whose wall clock was ahead of today's, as on machines without a battery for
/// their clock: the wall clock would keep them until it is where it was.
@Suite(.ownThreads) struct ClockSetBackTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory("store") }

    private static let hour: Int64 = 3_600_000_000
    private static let century = 876_600 * hour

    /// A claim of nobody's that was made under an earlier boot, that long before now by the wall clock.
    private func plant(
        _ key: Store.Key, madeBefore age: Int64, staleAfter time: Int64, in store: Store
    ) throws {
        _ = try store.session.claim(key, for: .nobody, maxAge: nil, staleAfter: .seconds(1))
        let path = try file(of: key, in: path) + ".pending"
        let bytes = try #require(contents(of: path))
        var claim = try #require(bytes.withUnsafeBytes { ClaimSection.parse($0)?.section })
        let here = claim.place
        claim.place = Place(
            boot: BootID(high: 1, low: 2), processNamespace: here.processNamespace,
            timeNamespace: here.timeNamespace)
        claim.staleAfter = time
        claim.since = Stamp(wall: WallClock.microseconds - age, boot: Self.hour)
        claim.deadline = Stamp(wall: claim.since.wall + time, boot: Self.hour + time)
        write(claim.text, to: path)
    }

    @Test(.enabled(if: isFirstTimeNamespace, "needs the boot clock of the machine"))
    func aClaimDatedInTheFutureIsAsOldAsThisBoot() throws {
        let store = try Store(at: path)
        try plant("over", madeBefore: -Self.century, staleAfter: 0, in: store)
        try plant("new", madeBefore: -Self.century, staleAfter: Self.century, in: store)
        // By a clock that was not set back it is told what it is, however long this boot lasts.
        try plant("dated", madeBefore: 1_000_000, staleAfter: Self.century, in: store)
        #expect(try store.reap(dryRun: true).map(\.key) == ["over"])
        // What nobody can tell a reaper was told to assume.
        var limits = Store.ReapLimits()
        limits.assumeDeadAfter = .zero
        #expect(Set(try store.reap(limits).map(\.key)) == ["over", "new", "dated"])
    }

    @Test(.enabled(if: isFirstTimeNamespace, "needs the boot clock of the machine"))
    func suchAClaimIsTakenOver() throws {
        let store = try Store(at: path)
        try plant("over", madeBefore: -Self.century, staleAfter: 0, in: store)
        try plant("new", madeBefore: -Self.century, staleAfter: Self.century, in: store)
        #expect(try store.claimAndFinalize("over", []).isWon)
        #expect(try !store.claimAndFinalize("new", []).isWon)
    }

    /// Its boot clock may be any number.
    @Test func fromATimeNamespaceNothingIsAssumed() throws {
        let store = try Store(at: path)
        try plant("over", madeBefore: -Self.century, staleAfter: 0, in: store)
        let open = try store.session.forWriting()
        let bytes = try #require(contents(of: try file(of: "over", in: path) + ".pending"))
        let claim = try #require(bytes.withUnsafeBytes { ClaimSection.parse($0)?.section })
        let here = try open.place()
        let inNamespace = Place(
            boot: here.boot, processNamespace: here.processNamespace, timeNamespace: 1)
        #expect(open.age(of: claim, from: inNamespace) == 0)
    }
}

/// The inode of the first time namespace is the kernel's PROC_TIME_INIT_INO; kernels before 5.6 have none.
private let isFirstTimeNamespace: Bool = {
    var status = stat()
    return stat("/proc/self/ns/time", &status) != 0 || status.st_ino == 0xefff_fffa
}()
