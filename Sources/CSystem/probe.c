// What the checks of a store try out: whether a lock keeps another process out, and how much room there is.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CSystem.h"

// Past pthread_atfork: the child makes system calls only, and touches no lock of this process.
static pid_t fork_plainly(void) { return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L); }

enum { excluded = 0, granted = 1, not_opened = 2, refused = 3 };

static int try_lock(int directory, const char *name) {
    int file = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return not_opened;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) return granted;
    return errno == EAGAIN || errno == EACCES ? excluded : refused;
}

int64_t csystem_lock_excludes(int32_t directory, const char *name) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork_plainly();
    if (child == 0) _exit(try_lock(directory, name));
    int error = errno, status = 0;
    if (child > 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) return -error;
    if (!WIFEXITED(status)) return -EIO;
    switch (WEXITSTATUS(status)) {
        case excluded: return 1;
        case granted: return 0;
        case not_opened: return -EACCES;
        default: return -ENOLCK;
    }
}

int64_t csystem_space(int32_t file, uint64_t *bytes, uint64_t *inodes) {
    struct statvfs status;
    if (fstatvfs(file, &status) < 0) return -errno;
    *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    // Some file systems make them as they are needed, and count none.
    *inodes = status.f_files == 0 ? UINT64_MAX : (uint64_t)status.f_favail;
    return 0;
}
