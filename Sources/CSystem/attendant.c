// A process of ours beside a command, in the command's process group, for three things that no process can do for
// itself: to tell which signals others got, to kill a group when we are killed, and to end a command in time when we
// are stopped (deadline.c).
//
// It reports the signals that it gets from processes. One that it got as well was sent to the group, or to
// each of our processes (a service manager does that), so the command has it already.
//
//   apart    Without a terminal the command has a group of its own, which the attendant leads. The command
//            does not lead it, because setsid(1) and daemons behave differently in a leader. When we end
//            before the attendant is dismissed, it kills the group, and with it the command's children.
//   beside   At a terminal the command stays in our group, which is the terminal's business: ^Z, fg and
//            pipelines are as without us.
//
// It blocks every signal, has no descriptors but the report, and ends when it is dismissed or we end. It has a name of
// its own: pkill(1) with our name must not send it what it would take for a signal to the group. What could break it:
// it is killed or stopped (the group, or the command's owner, may do so); then a group is not killed with us, a signal
// is taken to be ours alone, and only we end the command in time. It is forked past pthread_atfork: nothing of this
// process is used in it.

#include "CSystem.h"
#include "deadline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A signal to the attendant that asks whether it has reported everything before.
#define QUESTION (SIGRTMIN + 7)

struct report {
    int64_t time;  // on the boot clock
    int32_t number, sender;
};

static pid_t attendant;  // 0 for none
static int reports = -1;

void csystem_close_from(uint32_t first) {
    if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
    struct rlimit limit;
    rlim_t end = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
    if (end > 1 << 20) end = 1 << 20;
    for (rlim_t file = first; file < end; file++) close((int)file);
}

void csystem_rename_process(const char *name) {
    prctl(PR_SET_NAME, name);
    // The command line is the memory from the first argument on; how long it is, /proc knows.
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    char bytes[1024];
    ssize_t count = read(file, bytes, sizeof bytes);
    size_t length = count > 0 ? (size_t)count : 0;
    // Not where another program, such as the loader, was called with this one as an argument.
    int is_first = memchr(bytes, 0, length) != NULL && strcmp(bytes, program_invocation_name) == 0;
    while (is_first && (count = read(file, bytes, sizeof bytes)) > 0) length += (size_t)count;
    close(file);
    if (!is_first) return;
    memset(program_invocation_name, 0, length);
    if (length > strlen(name)) memcpy(program_invocation_name, name, strlen(name));
}

// In the child, where every signal is blocked.
static void attend(pid_t parent, int apart, int report) {
    if (apart) setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGHUP);
    if (dup2(report, 0) < 0) _exit(1);
    csystem_close_from(1);
    csystem_rename_process("attendant");
    sigset_t all;
    sigfillset(&all);
    struct csystem_guard guard = csystem_begin_guard(apart);
    while (getppid() == parent) {
        siginfo_t info;
        // Where the kernel gives no timer (RLIMIT_SIGPENDING) it looks each second.
        struct timespec second = {.tv_sec = 1};
        int got = guard.timer < 0 ? sigtimedwait(&all, &info, &second) : sigwaitinfo(&all, &info);
        if (got < 0 && errno == EAGAIN) csystem_look_at_deadline(&guard);
        if (got < 0) continue;
        if (info.si_signo == CSYSTEM_GUARD_SIGNAL) {
            csystem_look_at_deadline(&guard);
            continue;
        }
        // What the kernel sends for a terminal it sends to the whole group; what we and it send we know.
        if (info.si_code > 0) continue;
        if (info.si_signo != QUESTION && (info.si_pid == parent || info.si_pid == getpid() ||
                                          !csystem_is_passed_on(info.si_signo)))
            continue;
        struct report told = {csystem_boot_time(), info.si_signo, info.si_pid};
        // The pipe is full when it was not read for long; then only old reports are lost.
        if (write(0, &told, sizeof told) < 0 && errno == EPIPE) break;
    }
    if (apart && getpgrp() == getpid()) kill(0, SIGKILL);
    _exit(0);
}

int64_t csystem_attend(int32_t apart, int64_t end) {
    int ends[2];
    int64_t result = csystem_share_deadline(end);
    if (result < 0) return result;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -errno;
    pid_t parent = getpid();
    // As fork(2) without what is done at forks: the descriptors that carry locks are closed with the others.
    pid_t process = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
    if (process == 0) attend(parent, apart, ends[1]);
    int error = errno;
    close(ends[1]);
    if (process < 0) {
        close(ends[0]);
        return -error;
    }
    // Whoever of the two comes first; the command joins the group in a moment.
    if (apart) setpgid(process, process);
    attendant = process;
    csystem_set_guard(process);
    reports = ends[0];
    return process;
}

void csystem_dismiss_attendant(void) {
    pid_t process = attendant;
    attendant = 0;
    csystem_set_guard(0);
    if (reports >= 0) close(reports);
    reports = -1;
    if (process == 0) return;
    kill(process, SIGKILL);
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {}
}

void csystem_forget_attendant(int32_t process) {
    if (process != attendant) return;
    attendant = 0;
    csystem_set_guard(0);
}

// MARK: What the attendant got

// The last reports, the newest first; a report is used up by the signal that it explains.
static struct report known[16];

static int read_reports(void) {
    struct report told;
    int answered = 0;
    while (reports >= 0 && read(reports, &told, sizeof told) == (ssize_t)sizeof told) {
        if (told.number == QUESTION) {
            answered = 1;
            continue;
        }
        for (size_t i = sizeof known / sizeof *known - 1; i > 0; i--) known[i] = known[i - 1];
        known[0] = told;
    }
    return answered;
}

// Whether the attendant got a signal of that sender in the last second.
static int has_come(int32_t number, int32_t sender) {
    int64_t oldest = csystem_boot_time() - 1000000000;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].number != number || known[i].sender != sender || known[i].time < oldest)
            continue;
        known[i].number = 0;
        return 1;
    }
    return 0;
}

// Waits until the attendant has reported all that it has got; no longer than a second.
static void await_reports(void) {
    if (attendant == 0 || reports < 0 || kill(attendant, QUESTION) != 0) return;
    int64_t end = csystem_boot_time() + 1000000000;
    while (!read_reports()) {
        int64_t left = end - csystem_boot_time();
        struct pollfd request = {.fd = reports, .events = POLLIN};
        if (left <= 0 || poll(&request, 1, (int)(left / 1000000) + 1) == 0) return;
        // The attendant has ended.
        if ((request.revents & POLLIN) == 0 && request.revents != 0) return;
    }
}

int32_t csystem_others_got(int32_t number, int32_t sender) {
    await_reports();
    return has_come(number, sender);
}
