import Testing
import TestSupport

@testable import SystemCalls
@testable import TestHelpers

/// What the kernel's table of mounts says beside `statfs(2)`, which is the file system's own word.
@Suite(.ownThreads) struct MountTableTests {
    /// Debug builds take both from variables.
    private func claim(magic: String, mount: String, allowed: String = "") -> (Outcome, Stage) {
        var stage = Stage()
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = magic
        stage.variables["FLOCK_CACHE_MOUNT"] = mount
        if !allowed.isEmpty { stage.variables["FLOCK_CACHE_ALLOW_FILE_SYSTEM"] = allowed }
        return (stage.run("claim", "k"), stage)
    }

    private func expectRefusal(_ magic: String, _ mount: String, _ words: String) {
        let (outcome, stage) = claim(magic: magic, mount: mount)
        #expect(outcome.code == 69 && outcome.error.contains(words), "\(outcome)")
        #expect(names(in: stage.directory.path).isEmpty, "it is refused before anything is made")
    }

    private static let (ext4, nfs) = ("61267", "26985")

    @Test func whatLooksLikeAnotherMachinesDiskIsRefused() {
        expectRefusal(
            Self.ext4, "9p rw,trans=virtio", "the file system 9p is not known to keep locks apart")
        #expect(claim(magic: Self.ext4, mount: "9p rw", allowed: "9p").0.code == 0)
        #expect(claim(magic: Self.nfs, mount: "fuse.proxy rw").0.code == 69)
    }

    @Test(arguments: ["nolock", "local_lock=all", "local_lock=posix"])
    func nfsWithLocksOfEachHostIsRefused(option: String) {
        expectRefusal(
            Self.nfs, "nfs rw,vers=3,\(option),addr=::1",
            "nfs is mounted with \(option), so other hosts")
        #expect(claim(magic: Self.nfs, mount: "nfs rw,\(option)", allowed: "nfs").0.code == 0)
    }

    @Test func softMountsAreRefused() {
        expectRefusal(Self.nfs, "nfs4 rw,soft,vers=4.2", "nfs is mounted with soft")
        #expect(claim(magic: Self.nfs, mount: "nfs4 rw,soft", allowed: "nfs").0.code == 0)
    }

    /// Two mounts of one export that have caches of their own; bind mounts have one.
    @Test(arguments: [("0:35", 69), ("0:34", 0)] as [(String, Int32)])
    func anExportThatIsMountedTwiceIsRefused(device: String, code: Int32) {
        var stage = Stage()
        write(
            Array(
                """
                36 25 0:34 / /m rw,relatime shared:1 - nfs4 a:/export rw,hard
                37 25 \(device) / /m\\0402 rw,relatime - nfs4 a:/export rw,hard
                38 25 0:36 / /m3 rw,relatime - nfs4 a:/export/other rw,hard

                """.utf8), to: stage.directory("table"))
        stage.variables["FLOCK_CACHE_FILE_SYSTEM"] = Self.nfs
        stage.variables["FLOCK_CACHE_MOUNT"] = "nfs4 rw,hard"
        stage.variables["FLOCK_CACHE_MOUNT_TABLE"] = stage.directory("table")
        let outcome = stage.run("claim", "k")
        #expect(outcome.code == code, "\(outcome)")
        #expect(
            code == 0 || outcome.error.contains("mounted a second time on this host, at /m\\0402"))
    }

    @Test(arguments: [("12805120", "ceph"), ("198183888", "lustre"), ("18225520", "gfs2")])
    func whatWasNotMeasuredIsAcceptedByNameOnly(magic: String, name: String) {
        expectRefusal(magic, "\(name) rw", "\(name) has a lock manager, but has not been measured")
        #expect(claim(magic: magic, mount: "\(name) rw", allowed: name).0.code == 0)
    }

    @Test(arguments: [
        ("nfs rw,vers=3,local_lock=none", nfs), ("nfs rw,local_lock=flock", nfs),
        ("nfs4 rw,nolock", nfs), ("ext3 rw", ext4), ("overlay rw", "2035054128"),
        ("rootfs rw", "16914836"),
    ])
    func whatKeepsLocksApartIsAccepted(mount: String, magic: String) {
        let (outcome, _) = claim(magic: magic, mount: mount)
        #expect(outcome.code == 0, "\(outcome)")
    }

    /// As the kernel tells it: by statmount(2), where it is there, and by /proc/self/mountinfo.
    @Test(.enabled(if: isMounted("/dev/shm", as: "tmpfs"), "needs a tmpfs on /dev/shm"))
    func theKernelIsAsked() throws {
        let directory = try Directory.open(path: "/dev/shm")
        for withOptions in [false, true] {
            let mount = try #require(try directory.mount(withOptions: withOptions))
            #expect(mount.kind == .of(type: "tmpfs"))
            #expect(mount.options.isEmpty == !withOptions, "\(mount.options)")
        }
        let proc = try #require(try Directory.open(path: "/proc/self").mount(withOptions: false))
        #expect(proc.kind == .of(type: "proc"))
    }
}

private func isMounted(_ path: String, as type: String) -> Bool {
    let outcome = TestSupport.run("stat", ["-f", "-c", "%T", path])
    return outcome.text == type + "\n"
}
