// The guardian of a lock whose holder executes another program in its place (`lock -F`).
//
// The program inherits the descriptors, and with them the locks. Programs that close what they inherit
// (ssh, sudo, daemons) would give the locks up without a word, and a second holder would begin. So a
// process of ours has the descriptors as well, and ends when the program has ended: the locks live as
// long as the program, or as a descriptor of theirs in what it left behind.
//
// The guardian is a child of process 1 alone, because a program may wait for all its children; it has
// a session and a name of its own, blocks every signal, and keeps no other descriptor and no directory.
// What could break it: it is killed (then the program's own descriptors count); it is stopped (then the locks are
// kept for longer); the program has ended and the guardian has not run since (some ten microseconds in
// which the lock is held by no process that lives; `lock -n` waits for that).

#include "CSystem.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int32_t *kept;
static size_t kept_count;

void csystem_note_kept(int32_t file) {
    int32_t *more = realloc(kept, (kept_count + 1) * sizeof *kept);
    if (more == NULL) abort();
    kept = more;
    kept[kept_count++] = file;
}

static int by_number(const void *a, const void *b) {
    return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

static void close_others(void) {
    uint32_t next = 0;
    for (size_t i = 0; i < kept_count; i++) {
        for (; next < (uint32_t)kept[i]; next++) close((int)next);
        next = (uint32_t)kept[i] + 1;
    }
    csystem_close_from(next);
}

static void keep_until_end(pid_t process, int pidfd) {
    setsid();
    if (chdir("/") != 0) {}  // only so that no file system is kept from being unmounted
    close_others();
    csystem_rename_process("lock-guardian");
    struct pollfd request = {.fd = pidfd, .events = POLLIN};
    if (pidfd >= 0)
        while (poll(&request, 1, -1) < 0 && errno == EINTR) {}
    // A filter may forbid descriptors of processes. Another process of that number only makes it longer.
    const struct timespec pause = {0, 20000000};
    while (pidfd < 0 && (kill(process, 0) == 0 || errno == EPERM)) nanosleep(&pause, NULL);
    _exit(0);
}

static pid_t fork_plainly(void) { return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L); }

int64_t csystem_start_guardian(void) {
    pid_t process = getpid();
    csystem_leave_first();  // process 1 ignores the ends of children, and this one is waited for
    int pidfd = (int)csystem_pidfd_open(process);
    size_t count = kept_count;
    if (pidfd >= 0) csystem_note_kept(pidfd);
    qsort(kept, kept_count, sizeof *kept, by_number);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t between = fork_plainly();
    if (between == 0) {
        pid_t guardian = fork_plainly();
        if (guardian == 0) keep_until_end(process, pidfd);
        _exit(guardian < 0 ? errno & 0xff : 0);
    }
    int error = errno, status = 0;
    if (between > 0)
        while (waitpid(between, &status, 0) < 0 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    kept_count = count;
    if (pidfd >= 0) close(pidfd);
    if (between < 0) return -error;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EAGAIN;
}
