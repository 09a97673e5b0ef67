#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// MARK: What this process was started with

static struct {
    sigset_t mask;
    mode_t creation_mask;
    int32_t ignores_pipe, ignores_file_size, ignores_child;
} at_start;

static int32_t ignores(int32_t number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int32_t csystem_ignores_signal(int32_t number) { return ignores(number); }

void csystem_prepare_process(void) {
    pthread_sigmask(SIG_SETMASK, NULL, &at_start.mask);
    at_start.ignores_pipe = ignores(SIGPIPE);
    at_start.ignores_file_size = ignores(SIGXFSZ);
    at_start.ignores_child = ignores(SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    // Otherwise the kernel throws away how a child ended.
    if (at_start.ignores_child) signal(SIGCHLD, SIG_DFL);
    at_start.creation_mask = umask(0);
}

// MARK: Children

static void restore_what_was_at_start(void) {
    if (!at_start.ignores_pipe) signal(SIGPIPE, SIG_DFL);
    if (!at_start.ignores_file_size) signal(SIGXFSZ, SIG_DFL);
    if (at_start.ignores_child) signal(SIGCHLD, SIG_IGN);
    umask(at_start.creation_mask);
}

// In the child, which uses the parent's memory until it executes: system calls only.
static int32_t become(struct csystem_child *child, pid_t parent) {
    restore_what_was_at_start();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    if (getppid() != parent) _exit(127);  // it died before its death would have been told
    if (child->output >= 0 && dup2(child->output, STDOUT_FILENO) < 0) return errno;
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    execvpe(child->arguments[0], child->arguments, child->environment);
    child->execution_failed = 1;
    return errno;
}

static int64_t start(struct csystem_child *child) {
    volatile int32_t error = 0;
    pid_t parent = getpid();
    // A command that was started and then has to be killed has done half of something: make sure beforehand
    // that there is room for its descriptor.
    int32_t reserve = eventfd(0, EFD_CLOEXEC);
    if (reserve < 0) return -errno;
    // What a terminal sends from now on the child gets as well; what it has sent, only we.
    int32_t from_kernel;
    int64_t number;
    while (child->signals >= 0 && (number = csystem_next_signal(child->signals, &from_kernel)) > 0)
        child->early |= 1ull << number;
    pid_t process = vfork();
    if (process == 0) {
        error = become(child, parent);
        _exit(127);
    }
    int64_t result = process < 0 ? -errno : process;
    close(reserve);
    if (process < 0) return result;
    if (error == 0) {
        int64_t pidfd = csystem_pidfd_open(process);
        child->pidfd = (int32_t)pidfd;
        if (pidfd >= 0) return process;
        error = (int32_t)-pidfd;
        kill(process, SIGKILL);
    }
    waitpid(process, NULL, 0);
    return -error;
}

int64_t csystem_spawn(struct csystem_child *child) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int64_t result = start(child);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int64_t csystem_execute(char *const *arguments, char *const *environment) {
    restore_what_was_at_start();
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    execvpe(arguments[0], arguments, environment);
    int32_t error = errno;
    csystem_prepare_process();
    return -error;
}

int64_t csystem_wait_child(int32_t process) {
    int status;
    if (waitpid(process, &status, 0) < 0) return -errno;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int64_t csystem_pipe(int32_t ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno; }

int64_t csystem_readable_bytes(int32_t file) {
    int count = 0;
    return ioctl(file, FIONREAD, &count) == 0 ? count : -errno;
}

int64_t csystem_poll(const int32_t *files, const int32_t *writing, size_t count, int64_t limit) {
    struct pollfd requests[8];
    if (count > 8) return -EINVAL;
    for (size_t i = 0; i < count; i++)
        requests[i] = (struct pollfd){.fd = files[i], .events = writing[i] ? POLLOUT : POLLIN};
    struct timespec time = {limit / 1000000000, limit % 1000000000};
    if (ppoll(requests, count, limit < 0 ? NULL : &time, NULL) < 0) return -errno;
    int64_t ready = 0;
    for (size_t i = 0; i < count; i++)
        if (requests[i].revents != 0) ready |= 1ll << i;
    return ready;
}

void csystem_end_by_signal(int32_t number) {
    // The end was asked for: no core file of this process.
    prctl(PR_SET_DUMPABLE, 0);
    signal(number, SIG_DFL);
    kill(getpid(), number);
    csystem_release_signals();
}

extern char **environ;

const char *csystem_environment_at(size_t index) { return environ ? environ[index] : NULL; }
