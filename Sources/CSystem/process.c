#include "CSystem.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PIDFS_MAGIC 0x50494446  // "PIDF", include/uapi/linux/magic.h

int64_t csystem_pidfd_open(int32_t process) {
    int64_t result = syscall(SYS_pidfd_open, process, 0);
    return result < 0 ? -(int64_t)errno : result;
}

int64_t csystem_pidfd_inode(int32_t pidfd, uint64_t *inode) {
    struct statfs system;
    struct stat status;
    if (fstatfs(pidfd, &system) != 0 || fstat(pidfd, &status) != 0) return -errno;
    *inode = (uint32_t)system.f_type == PIDFS_MAGIC ? (uint64_t)status.st_ino : 0;
    return 0;
}

int64_t csystem_pidfd_has_exited(int32_t pidfd) {
    struct pollfd request = {.fd = pidfd, .events = POLLIN};
    int result = poll(&request, 1, 0);
    return result < 0 ? -errno : (request.revents & POLLIN) != 0;
}

int64_t csystem_signal(int32_t process, int32_t signal) {
    return kill(process, signal) == 0 ? 0 : -errno;
}

int32_t csystem_process_id(void) { return getpid(); }

int32_t csystem_program_name(char name[16]) {
    return syscall(SYS_gettid) == getpid() && prctl(PR_GET_NAME, name) == 0;
}
int32_t csystem_parent_process_id(void) { return getppid(); }
uint32_t csystem_user_id(void) { return geteuid(); }

int64_t csystem_is_in_group(uint32_t group) {
    if (getegid() == group) return 1;
    gid_t groups[65536];  // NGROUPS_MAX; pages that are not written are not taken
    int count = getgroups(sizeof groups / sizeof *groups, groups);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++)
        if (groups[i] == group) return 1;
    return 0;
}

uint64_t csystem_descriptor_limit(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_cur : 256;
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

#ifdef DEBUG
/// For tests: as if the machine had been suspended for an hour, so many milliseconds after the program's start.
static int64_t suspension(void) {
    static _Atomic int64_t moment;
    int64_t known = atomic_load(&moment);
    if (known == 0) {
        const char *text = getenv("FLOCK_CACHE_SUSPENDED_AFTER");
        known = text == NULL ? -1 : now(CLOCK_MONOTONIC) + atoll(text) * 1000000;
        int64_t none = 0;
        if (!atomic_compare_exchange_strong(&moment, &none, known)) known = none;
    }
    return known > 0 && now(CLOCK_MONOTONIC) > known ? 3600ll * 1000000000 : 0;
}
#else
static int64_t suspension(void) { return 0; }
#endif

int64_t csystem_boot_time(void) { return now(CLOCK_BOOTTIME) + suspension(); }
int64_t csystem_monotonic_time(void) { return now(CLOCK_MONOTONIC); }
int64_t csystem_wall_time(void) { return now(CLOCK_REALTIME); }

void csystem_sleep(int64_t nanoseconds) {
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&time, NULL);
}

void csystem_yield(void) { sched_yield(); }

int32_t csystem_has_processors(void) {
    static _Atomic int32_t answer;
    int32_t known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == 0) {
        cpu_set_t set;
        // More processors than the set has places for are more than one.
        known = sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > 1 ? 2 : 1;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == 2;
}

void csystem_spin(int64_t nanoseconds) {
    int64_t end = csystem_monotonic_time() + nanoseconds;
    while (csystem_monotonic_time() < end) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    }
}

int64_t csystem_random(void *bytes, size_t count) {
    ssize_t result = getrandom(bytes, count, 0);
    return result < 0 ? -errno : result;
}

const char *csystem_message(int32_t error) { return strerror(error); }
