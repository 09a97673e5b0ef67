#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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
static int32_t become(const struct csystem_child *child, pid_t parent) {
    restore_what_was_at_start();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    if (getppid() != parent) _exit(127);  // it died before its death would have been told
    if (child->output >= 0 && dup2(child->output, STDOUT_FILENO) < 0) return errno;
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    execvpe(child->arguments[0], child->arguments, child->environment);
    return errno;
}

int64_t csystem_spawn(const struct csystem_child *child) {
    volatile int32_t error = 0;
    pid_t parent = getpid();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t process = vfork();
    if (process == 0) {
        error = become(child, parent);
        _exit(127);
    }
    int64_t result = process < 0 ? -errno : process;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (process > 0 && error != 0) {
        waitpid(process, NULL, 0);
        return -error;
    }
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

extern char **environ;

const char *csystem_environment_at(size_t index) { return environ ? environ[index] : NULL; }
