import Glibc
import TestSupport

/// A suspend as a program sees it: the boot clock jumps, the others do not.
///
/// A library that is loaded before all others adds to `CLOCK_BOOTTIME` what a file says. Only programs that are linked
/// dynamically see it, as debug builds are.
struct Suspend {
    private let file: String
    private let library: String

    /// nil where there is no compiler.
    init?(in directory: TemporaryDirectory) {
        guard let library = Self.library else { return nil }
        self.library = library
        file = directory("clock")
        write([UInt8](repeating: 0, count: 8), to: file)
    }

    /// For the environment of those who are to see it.
    var variables: [String: String] { ["LD_PRELOAD": library, "CLOCK_JUMP": file] }

    /// Lets so many seconds pass asleep.
    func sleep(_ seconds: Int64) {
        let descriptor = open(file, O_WRONLY)
        defer { close(descriptor) }
        var total = seconds
        pwrite(descriptor, &total, 8, 0)
    }

    private static let library: String? = {
        guard let compiler = ["cc", "gcc", "clang"].first(where: isInstalled) else { return nil }
        let path = builtProducts + "/suspend.so"
        let fresh = "\(path).\(getpid())"
        let outcome = run(
            compiler, ["-x", "c", "-shared", "-fPIC", "-o", fresh, "-"],
            environment: ["PATH": "/usr/local/bin:/usr/bin:/bin"], input: source)
        guard outcome.code == 0, rename(fresh, path) == 0 else { return nil }
        return path
    }()

    private static let source = """
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        static const volatile long *jump;
        __attribute__((constructor)) static void map_jump(void) {
            const char *name = getenv("CLOCK_JUMP");
            int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
            if (file < 0) return;
            void *memory = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
            if (memory != MAP_FAILED) jump = memory;
            close(file);
        }
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, clock, now);
            if (result == 0 && clock == CLOCK_BOOTTIME && jump) now->tv_sec += *jump;
            return result;
        }
        """
}
