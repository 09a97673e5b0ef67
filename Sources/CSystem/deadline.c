// A command whose lease or lock ends at a time is ended by us. Where we are stopped then (kill -STOP, a debugger), the
// attendant ends it: TERM half a second after the deadline, and KILL as late after that as we would.
//
// The deadline stands in memory that both share. We put it off with each renewal; the attendant's timer goes off at
// the deadline that it knows, and goes on where another stands there. Who takes the deadline out of that memory, by
// one exchange, is the one to send TERM: the command gets it once. Where that is us, the attendant knows when KILL is
// due, should we be stopped then.
//
// Its clock is the boot clock, which counts a suspend. The command's number is valid as long as the attendant lives:
// it is waited for after the attendant is dismissed. A command that has ended is not signalled, nor what it left
// behind. What could break it: the attendant is stopped as well, or killed; the command has changed its user; we are
// stopped between taking the deadline and sending TERM (then it gets KILL alone).

#include "deadline.h"

#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// In place of a deadline: it is over, and the attendant has ended the command, or we have.
#define ENDED INT64_MIN
#define TAKEN (INT64_MAX - 1)
#define SECOND 1000000000ll

struct deadline {
    _Atomic int64_t time;  // by the boot clock, ns; INT64_MAX for none
    _Atomic int64_t kill_after;
    _Atomic int64_t kill_time;  // when we send KILL, where the deadline is TAKEN
    int32_t command;
};

static struct deadline *shared;
static pid_t guard;

int64_t csystem_share_deadline(int64_t end) {
    if (shared == NULL) {
        void *memory =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return -errno;
        shared = memory;
    }
    atomic_store(&shared->time, end);
    atomic_store(&shared->kill_after, 5 * SECOND);
    shared->command = 0;
    return 0;
}

void csystem_set_guard(pid_t attendant) { guard = attendant; }

int32_t *csystem_guarded_command(void) { return shared == NULL ? NULL : &shared->command; }

// MARK: In this process

// A century at most, which can be added to any time.
static int64_t bounded(int64_t time) { return time < SECOND << 31 ? time : SECOND << 31; }

static void call_guard(void) {
    if (guard != 0) kill(guard, CSYSTEM_GUARD_SIGNAL);
}

int32_t csystem_put_off_deadline(int64_t end, int64_t kill_after) {
    if (shared == NULL) return 1;
    atomic_store(&shared->kill_after, bounded(kill_after));
    int64_t before = atomic_load(&shared->time);
    if (before == ENDED) return 0;
    if (before == end) return 1;
    // What fails here the attendant has ended meanwhile.
    if (!atomic_compare_exchange_strong(&shared->time, &before, end)) return 0;
    if (before > end) call_guard();
    return 1;
}

int32_t csystem_take_deadline(int64_t kill_after) {
    if (shared == NULL) return 0;
    atomic_store(&shared->kill_time, csystem_boot_time() + bounded(kill_after));
    if (atomic_exchange(&shared->time, TAKEN) == ENDED) return 1;
    call_guard();
    return 0;
}

// MARK: In the attendant

// How long after the deadline: within it we have done it ourselves, unless we are stopped.
#define LATE (SECOND / 2)

static void call_at(struct csystem_guard *guard, int64_t time) {
    struct itimerspec when = {.it_value = {time / SECOND, time % SECOND}};
    if (guard->timer >= 0) syscall(SYS_timer_settime, guard->timer, TIMER_ABSTIME, &when, NULL);
}

struct csystem_guard csystem_begin_guard(int32_t apart) {
    struct csystem_guard guard = {.apart = apart, .timer = -1, .killing = INT64_MAX};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = CSYSTEM_GUARD_SIGNAL};
    int timer;
    if (syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, &timer) == 0) guard.timer = timer;
    csystem_look_at_deadline(&guard);
    return guard;
}

static pid_t number_of_command(void) { return *(volatile int32_t *)&shared->command; }

static void send(struct csystem_guard *guard, int32_t number) {
    pid_t command = number_of_command();
    int32_t leads = guard->apart && getpgrp() == getpid();
    // At a terminal the group is ours too; and the command may have left one of its own.
    if (command > 0 && (!leads || getpgid(command) != getpgrp())) kill(command, number);
    // Last: KILL ends the attendant with it.
    if (leads) kill(0, number);
}

// Whether /proc tells of the processes that our numbers mean.
static int has_own_processes(void) {
    char text[32];
    ssize_t count = readlink("/proc/self", text, sizeof text - 1);
    if (count <= 0) return 0;
    text[count] = 0;
    return atoi(text) == (int)getpid();
}

// The command's state as in /proc: T or t where it is stopped, Z where it has ended; R where that is not known.
static char state_of_command(void) {
    char name[32], text[512];
    if (!has_own_processes()) return 'R';
    snprintf(name, sizeof name, "/proc/%d/stat", (int)number_of_command());
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 'R';
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return 'R';
    text[count] = 0;
    // The state stands behind the name, which may have anything in it.
    char *end = strrchr(text, ')');
    if (end == NULL || end[1] != ' ') return 'R';
    char state = end[2];
    // Of a process whose first thread has ended others may run: their number is the 17th word behind the state.
    char *word = end + 2;
    for (int words = 0; words < 17 && word != NULL; words++) {
        word = strchr(word, ' ');
        if (word != NULL) word++;
    }
    return state == 'Z' && word != NULL && atoi(word) > 1 ? 'R' : state;
}

void csystem_look_at_deadline(struct csystem_guard *guard) {
    int64_t now = csystem_boot_time();
    int64_t end = atomic_load(&shared->time);
    if (guard->killing == INT64_MAX && end == TAKEN)
        guard->killing = atomic_load(&shared->kill_time) + LATE;
    if (guard->killing == INT64_MAX) {
        if (end == INT64_MAX || end == ENDED) return;
        if (now < end + LATE) return call_at(guard, end + LATE);
        // It may be about to be executed.
        if (number_of_command() == 0) return call_at(guard, now + SECOND / 10);
        // Its own end is for us to see.
        if (state_of_command() == 'Z') return;
        if (!atomic_compare_exchange_strong(&shared->time, &end, ENDED))
            return call_at(guard, now);
        send(guard, SIGTERM);
        guard->killing = now + atomic_load(&shared->kill_after);
    }
    char state = state_of_command();
    if (state == 'Z') return;
    // It does nothing, and is given its time from when it goes on.
    if (state == 'T' || state == 't')
        guard->killing = now + SECOND + atomic_load(&shared->kill_after);
    if (now < guard->killing)
        return call_at(guard, guard->killing < now + SECOND ? guard->killing : now + SECOND);
    send(guard, SIGKILL);
}
