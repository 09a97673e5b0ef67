#include "CSystem.h"
#include "early.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Thread_local sigset_t mask_before;
static _Thread_local int32_t blocks_termination;

// Those that end a process unless it says otherwise, and that are passed on to a command.
static const int passed_on_numbers[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                        SIGUSR1, SIGUSR2, SIGWINCH};

int32_t csystem_is_passed_on(int32_t number) {
    for (size_t i = 0; i < sizeof passed_on_numbers / sizeof *passed_on_numbers; i++)
        if (passed_on_numbers[i] == number) return 1;
    return 0;
}

static sigset_t passed_on(void) {
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof passed_on_numbers / sizeof *passed_on_numbers; i++)
        sigaddset(&signals, passed_on_numbers[i]);
    return signals;
}

void csystem_block_termination(int32_t blocked) {
    if (blocked == blocks_termination) return;
    blocks_termination = blocked;
    sigset_t signals = passed_on();
    if (blocked) {
        pthread_sigmask(SIG_BLOCK, &signals, &mask_before);
    } else {
        pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    }
}

// MARK: Process 1 of a container: the kernel ends it by no signal that it does not handle

static void end_first(int number) { _exit(128 + number); }

static int is_first;

void csystem_begin_as_first(void) {
    is_first = 1;
    // What others leave behind ends without a trace, as long as no command is waited for.
    signal(SIGCHLD, SIG_IGN);
    static const int ending[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (!csystem_ignores_signal(ending[i])) signal(ending[i], end_first);
}

void csystem_leave_first(void) {
    if (!is_first) return;
    signal(SIGCHLD, SIG_DFL);
    struct sigaction action;
    for (int number = 1; number < 32; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == end_first)
            signal(number, SIG_DFL);
}

// MARK: Signals that are read

// What was read from the descriptor, and is still to be told.
static struct csystem_signal waiting[32];
static size_t waiting_count;

static void put_apart(struct csystem_signal signal) {
    // Where it is full, one of the same number is in it: as with the kernel, two are then one.
    if (waiting_count < sizeof waiting / sizeof *waiting) waiting[waiting_count++] = signal;
}

int64_t csystem_catch_signals(int32_t apart) {
    sigset_t signals = passed_on();
    // A COMMAND in a group of its own gets these from this process alone.
    if (apart) {
        sigaddset(&signals, SIGTSTP);
        sigaddset(&signals, SIGCONT);
    }
    if (getpid() == 1) {
        // It inherits what others leave behind; only while SIGCHLD is blocked is it queued.
        sigaddset(&signals, SIGCHLD);
        signal(SIGCHLD, SIG_DFL);
    }
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    // They stay blocked when changes no longer block termination.
    sigorset(&mask_before, &mask_before, &signals);
    int file = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return file < 0 ? -errno : file;
}

void csystem_release_signals(void) {
    sigset_t signals = passed_on();
    sigaddset(&signals, SIGTSTP);
    sigaddset(&signals, SIGCONT);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    blocks_termination = 0;
}

static int64_t read_signal(int32_t file, struct csystem_signal *signal) {
    struct signalfd_siginfo info;
    do {
        ssize_t count = read(file, &info, sizeof info);
        if (count < 0) return errno == EAGAIN ? 0 : -errno;
        if (info.ssi_signo == SIGCHLD) csystem_reap_orphans();
    } while (info.ssi_signo == SIGCHLD);
    *signal = (struct csystem_signal){
        .number = (int32_t)info.ssi_signo,
        .sender = (int32_t)info.ssi_pid,
        .from_kernel = info.ssi_code == SI_KERNEL,
    };
    return signal->number;
}

int64_t csystem_next_signal(int32_t file, struct csystem_signal *signal) {
    if (waiting_count == 0) return read_signal(file, signal);
    *signal = waiting[0];
    waiting_count--;
    for (size_t i = 0; i < waiting_count; i++) waiting[i] = waiting[i + 1];
    return signal->number;
}

void csystem_look_for_early_signals(int status, struct csystem_early *early) {
    char bytes[4096];
    ssize_t count = status < 0 ? -1 : pread(status, bytes, sizeof bytes - 1, 0);
    bytes[count < 0 ? 0 : count] = 0;
    const char *pending = strstr(bytes, "\nShdPnd:\t");
    if (pending != NULL) {
        uint64_t set = strtoull(pending + 9, NULL, 16);
        sigemptyset(&early->before);
        for (int number = 1; number <= 64; number++)
            if (set >> (number - 1) & 1) sigaddset(&early->before, number);
    }
    sigpending(&early->got);
}

void csystem_set_early_signals_apart(int32_t file, const struct csystem_early *early) {
    struct csystem_signal signal;
    while (read_signal(file, &signal) > 0) {
        if (sigismember(&early->got, signal.number) == 1) {
            csystem_others_got(signal.number, signal.sender);  // the answer is used up
            continue;
        }
        // Without this one that came after the command had begun, before we did, would be sent to it twice.
        signal.is_early = sigismember(&early->before, signal.number) == 1;
        put_apart(signal);
    }
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void csystem_merge_signal(int32_t file, const struct csystem_signal *signal, int64_t window) {
    int64_t end = now() + window;
    for (size_t i = 0; i < waiting_count;) {
        if (waiting[i].number != signal->number || waiting[i].sender != signal->sender) {
            i++;
            continue;
        }
        waiting_count--;
        for (size_t j = i; j < waiting_count; j++) waiting[j] = waiting[j + 1];
    }
    while (1) {
        struct csystem_signal next;
        while (read_signal(file, &next) > 0)
            if (next.number != signal->number || next.sender != signal->sender) put_apart(next);
        int64_t left = end - now();
        if (left <= 0) return;
        struct timespec time = {left / 1000000000, left % 1000000000};
        struct pollfd request = {.fd = file, .events = POLLIN};
        if (ppoll(&request, 1, &time, NULL) <= 0) return;
    }
}

// MARK: What signals do to this process

int32_t csystem_stop(void) {
    sigset_t stop, before, pending;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    raise(SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, &before);
    // Here it stops, unless its group is an orphan.
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigpending(&pending);
    return sigismember(&pending, SIGCONT) == 1;
}

void csystem_end_by_signal(int32_t number) {
    // The end was asked for, or is the command's: no core file of this process.
    prctl(PR_SET_DUMPABLE, 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    signal(number, SIG_DFL);
    kill(getpid(), number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

int32_t csystem_has_terminal(void) {
    int file = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (file >= 0) {
        close(file);
        return 1;
    }
    // Where there is no such name, or no descriptor for it. Of another terminal this fails.
    for (file = 0; file < 3; file++)
        if (tcgetpgrp(file) >= 0) return 1;
    return 0;
}

int32_t csystem_is_session_leader(void) { return getsid(0) == getpid(); }

int32_t csystem_is_in_our_group(int32_t process) {
    pid_t group = getpgid(process);
    return group < 0 || group == getpgrp();
}
