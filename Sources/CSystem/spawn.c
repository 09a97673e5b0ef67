#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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
    csystem_survive_cuts();
}

// MARK: Children

static void restore_what_was_at_start(void) {
    if (!at_start.ignores_pipe) signal(SIGPIPE, SIG_DFL);
    if (!at_start.ignores_file_size) signal(SIGXFSZ, SIG_DFL);
    if (at_start.ignores_child) signal(SIGCHLD, SIG_IGN);
    umask(at_start.creation_mask);
}

// The command that was started last; 0 for none.
static pid_t command;

void csystem_reap_orphans(void) {
    for (;;) {
        siginfo_t ended = {0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return;
        // The command's own end is for who waits for it; then all the others end too.
        if (ended.si_pid == 0 || ended.si_pid == command) return;
        waitpid(ended.si_pid, NULL, 0);
    }
}

struct start {
    struct csystem_child *child;
    pid_t parent;
    volatile int32_t error;
};

// In the child, which uses the parent's memory until it executes: system calls only.
static int become(void *argument) {
    struct start *start = argument;
    struct csystem_child *child = start->child;
    restore_what_was_at_start();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
    if (getppid() != start->parent) _exit(127);  // it died before its death would have been told
    if (child->output >= 0 && dup2(child->output, STDOUT_FILENO) < 0) goto failed;
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    execvpe(child->arguments[0], child->arguments, child->environment);
    child->execution_failed = 1;
failed:
    start->error = errno;
    return 127;
}

// Child and pidfd come from one call, or neither does: a command that was started and then has to be
// killed, for want of a descriptor or because a filter forbids pidfd_open, has done half of something.
static int64_t start_on(char *stack_end, struct csystem_child *child) {
    struct start start = {child, getpid(), 0};
    // What a terminal sends from now on the child gets as well; what it has sent, only we.
    int32_t from_kernel;
    int64_t number;
    while (child->signals >= 0 && (number = csystem_next_signal(child->signals, &from_kernel)) > 0)
        child->early |= 1ull << number;
    int pidfd = -1;
    pid_t process =
        clone(become, stack_end, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, &pidfd);
    if (process < 0) return -errno;
    command = process;
    child->pidfd = pidfd;
    if (start.error == 0 && pidfd >= 0) return process;
    if (pidfd >= 0) {
        close(pidfd);
    } else if (start.error == 0) {  // before Linux 5.2 the flag means nothing
        start.error = ENOSYS;
        kill(process, SIGKILL);
    }
    waitpid(process, NULL, 0);
    return -start.error;
}

static int64_t start(struct csystem_child *child) {
    // What execvpe puts there: a path, and the arguments once more for a script without an interpreter.
    size_t count = 0;
    while (child->arguments[count] != NULL) count++;
    size_t size = (64 << 10) + count * sizeof *child->arguments;
    char *stack = mmap(
        NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return -errno;
    int64_t result = start_on(stack + (size & ~(size_t)15), child);
    munmap(stack, size);
    return result;
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
