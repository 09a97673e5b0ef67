#include "CSystem.h"
#include "deadline.h"
#include "early.h"

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
    int32_t ignores_pipe, ignores_file_size, ignores_child, ignores_termination;
    pid_t parent;
} at_start;

static int32_t ignores(int32_t number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int32_t csystem_ignores_signal(int32_t number) { return ignores(number); }

void csystem_prepare_process(void) {
    at_start.parent = getppid();
    pthread_sigmask(SIG_SETMASK, NULL, &at_start.mask);
    at_start.ignores_pipe = ignores(SIGPIPE);
    at_start.ignores_file_size = ignores(SIGXFSZ);
    at_start.ignores_child = ignores(SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    at_start.ignores_termination = ignores(SIGTERM);
    // Otherwise the kernel throws away how a child ended.
    if (at_start.ignores_child) signal(SIGCHLD, SIG_DFL);
    at_start.creation_mask = umask(0);
    if (getpid() == 1) csystem_begin_as_first();
    csystem_survive_cuts();
}

pid_t csystem_parent_at_start(void) { return at_start.parent; }

void csystem_obey_termination(void) {
    if (at_start.ignores_termination) signal(SIGTERM, SIG_DFL);
}

// MARK: Children

static void restore_what_was_at_start(void) {
    if (!at_start.ignores_pipe) signal(SIGPIPE, SIG_DFL);
    if (!at_start.ignores_file_size) signal(SIGXFSZ, SIG_DFL);
    if (at_start.ignores_child) signal(SIGCHLD, SIG_IGN);
    if (at_start.ignores_termination) signal(SIGTERM, SIG_IGN);
    umask(at_start.creation_mask);
}

// The command that was started last; 0 for none.
static pid_t command;

void csystem_reap_orphans(void) {
    for (;;) {
        siginfo_t ended = {0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return;
        // The command's own end is left to the thread that waits for it; then all the others end too.
        if (ended.si_pid == 0 || ended.si_pid == command) return;
        waitpid(ended.si_pid, NULL, 0);
        csystem_forget_attendant(ended.si_pid);
    }
}

struct start {
    struct csystem_child *child;
    pid_t parent, group;  // group 0: ours
    volatile int32_t error;
    int status;  // our parent's in /proc; -1 where there is none
    struct csystem_early early;
};

// In the child, which uses the parent's memory until it executes: system calls only.
static int become(void *argument) {
    struct start *start = argument;
    struct csystem_child *child = start->child;
    csystem_leave_first();
    restore_what_was_at_start();
    if (start->group != 0 && setpgid(0, start->group) != 0) goto failed;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
    if (getppid() != start->parent) _exit(127);  // it died before its death would have been told
    if (child->output >= 0 && dup2(child->output, STDOUT_FILENO) < 0) goto failed;
    csystem_look_for_early_signals(start->status, &start->early);
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    // The last look before it: this process may have been stopped, or the machine suspended.
    if (child->not_after != INT64_MAX && csystem_boot_time() >= child->not_after) {
        errno = ETIME;
        goto failed;
    }
    execvpe(child->arguments[0], child->arguments, child->environment);
    child->execution_failed = 1;
failed:
    start->error = errno;
    return 127;
}

// Child and pidfd come from one call, or neither does: a command that was started and then has to be
// killed, for want of a descriptor or because a filter forbids pidfd_open, has done half of something.
static int64_t start_on(char *stack_end, struct csystem_child *child) {
    struct start start = {.child = child, .parent = getpid(), .status = -1};
    sigemptyset(&start.early.got);
    sigfillset(&start.early.before);
    if (child->signals >= 0) {
        int64_t leader = csystem_attend(child->apart, child->not_after);
        if (leader < 0) return leader;
        if (child->apart) start.group = child->group = (int32_t)leader;
        start.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        // What has been sent by now only we have got.
        csystem_set_early_signals_apart(child->signals, &start.early);
    }
    int pidfd = -1;
    // The kernel tells the attendant its number: we may be stopped before we could.
    int32_t *told = child->signals >= 0 ? csystem_guarded_command() : NULL;
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (told ? CLONE_CHILD_SETTID : 0);
    pid_t process = clone(become, stack_end, flags, &start, &pidfd, NULL, told);
    int error = errno;
    if (start.status >= 0) close(start.status);
    if (process < 0) return -error;
    command = process;
    child->pidfd = pidfd;
    if (start.error == 0 && pidfd >= 0) {
        if (child->signals >= 0) csystem_set_early_signals_apart(child->signals, &start.early);
        return process;
    }
    if (pidfd >= 0) {
        close(pidfd);
    } else if (start.error == 0) {  // before Linux 5.2 the flag means nothing
        start.error = ENOSYS;
        kill(process, SIGKILL);
    }
    // Before its number may become another process's.
    csystem_dismiss_attendant();
    waitpid(process, NULL, 0);
    command = 0;
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
    if (result < 0) csystem_dismiss_attendant();
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
    csystem_leave_first();
    restore_what_was_at_start();
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
    execvpe(arguments[0], arguments, environment);
    int32_t error = errno;
    csystem_prepare_process();
    return -error;
}

int64_t csystem_wait_child(int32_t process) {
    siginfo_t info;
    if (waitid(P_PID, (id_t)process, &info, WEXITED | WNOWAIT) != 0) return -errno;
    // Before anything else: from now on our own end is no reason to kill what the command left behind, and its number
    // may become another process's.
    csystem_dismiss_attendant();
    int status;
    if (waitpid(process, &status, 0) < 0) return -errno;
    command = 0;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int has_ended(pid_t process) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)process, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == process;
}

int64_t csystem_signal_command(int32_t process, int32_t group, int32_t number) {
    // Its number is its own until it is waited for.
    if (has_ended(process)) return 0;
    if (group > 0) {
        int result = kill(-group, number) == 0 ? 0 : -errno;
        // A group takes a signal also where one of its processes may not be sent it.
        if (getpgid(process) == group && (number == SIGCONT || result != 0)) return result;
        if (getpgid(process) == group) number = 0;
    }
    return kill(process, number) == 0 || has_ended(process) ? 0 : -errno;
}

int64_t csystem_pipe(int32_t ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno; }

int32_t csystem_line_width(int32_t terminal) {
    struct winsize size;
    return ioctl(terminal, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

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
