#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// MARK: Locks on the open file description

static struct flock range(int32_t mode, int64_t start, int64_t count) {
    static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    return (struct flock){
        .l_type = types[mode], .l_whence = SEEK_SET, .l_start = start, .l_len = count};
}

int64_t csystem_lock(int32_t file, int32_t mode, int64_t start, int64_t count) {
    // CIFS says EACCES for busy; a security module says it where locks are forbidden, and then no lock is in
    // the way. One that was in the way may have gone since, so a refusal is one only after several looks.
    for (int looks = 0; looks < 10; looks++) {
        struct flock lock = range(mode, start, count);
        if (fcntl(file, F_OFD_SETLK, &lock) == 0) return 0;
        if (errno != EACCES) return -errno;
        struct flock other = range(mode, start, count);
        if (mode == csystem_unlocked || fcntl(file, F_OFD_GETLK, &other) != 0) return -EACCES;
        if (other.l_type != F_UNLCK) return -EAGAIN;
    }
    return -EACCES;
}

int64_t csystem_first_lock_of_others(int32_t file, int64_t start, int64_t count, int64_t *first) {
    struct flock lock = range(csystem_exclusive, start, count);
    if (fcntl(file, F_OFD_GETLK, &lock) != 0) return -errno;
    if (lock.l_type == F_UNLCK) return 0;
    // A lock on more than this range may begin before it.
    *first = lock.l_start > start ? lock.l_start : start;
    return 1;
}

int64_t csystem_find_lock_of_others(
    int32_t file, int64_t start, int64_t count, int64_t *first, int64_t *end) {
    struct flock lock = range(csystem_exclusive, start, count);
    if (fcntl(file, F_OFD_GETLK, &lock) != 0) return -errno;
    if (lock.l_type == F_UNLCK) return csystem_unlocked;
    *first = lock.l_start > start ? lock.l_start : start;
    // One without a length goes on to the end of all files.
    int64_t last = start + count;
    *end = lock.l_len == 0 || lock.l_len > last - lock.l_start ? last : lock.l_start + lock.l_len;
    return lock.l_type == F_RDLCK ? csystem_shared : csystem_exclusive;
}

int64_t csystem_lock_of_others(int32_t file, int64_t start, int64_t count) {
    struct flock lock = range(csystem_exclusive, start, count);
    if (fcntl(file, F_OFD_GETLK, &lock) != 0) return -errno;
    return lock.l_type == F_UNLCK ? csystem_unlocked
           : lock.l_type == F_RDLCK ? csystem_shared
                                    : csystem_exclusive;
}

// MARK: Forks
//
// Lock descriptors are a bit each. The bits change under `forks`, which the fork handlers hold across
// the fork itself; so a child sees every lock descriptor the parent had, and closes it. No call that
// can block (open, close) is made under it: a fork, and every other thread, would wait for that file
// system.
//
// A descriptor is opened before its bit is set. A fork between the two gives the child a descriptor
// it does not know, which would keep whatever the parent locks later. So opening compares the number
// of forks before and after: when one came between, the descriptor, through which nothing is locked
// yet, is closed and opened again. Before a bit is cleared every lock is dropped: a child of a fork
// between clearing and closing keeps a descriptor that locks nothing.

enum { most_descriptors = 65536 };
static _Atomic uint64_t lock_files[most_descriptors / 64];
static _Atomic uint32_t fork_epoch;
static uint64_t fork_count;  // of this process's forks; under `forks`
static pthread_mutex_t forks;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&forks);
    fork_count++;
}
static void after_fork_in_parent(void) { pthread_mutex_unlock(&forks); }

static void make_forks_mutex(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&forks, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void after_fork_in_child(void) {
    for (int32_t word = 0; word < most_descriptors / 64; word++) {
        uint64_t bits = atomic_exchange(&lock_files[word], 0);
        for (; bits != 0; bits &= bits - 1) close(word * 64 + __builtin_ctzll(bits));
    }
    atomic_fetch_add(&fork_epoch, 1);
    // The owner recorded in the mutex is a thread of the parent: begin with a new one.
    make_forks_mutex();
}

static void prepare(void) {
    make_forks_mutex();
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void csystem_hold_forks(void) {
    pthread_once(&prepared, prepare);
    pthread_mutex_lock(&forks);
}

void csystem_release_forks(void) { pthread_mutex_unlock(&forks); }

uint32_t csystem_fork_epoch(void) { return atomic_load(&fork_epoch); }

static uint64_t count_forks(void) {
    csystem_hold_forks();
    uint64_t count = fork_count;
    csystem_release_forks();
    return count;
}

/// Marks a descriptor as one that carries locks, unless the process has forked since `count`.
static int32_t mark_lock_file(int64_t file, uint64_t count) {
    csystem_hold_forks();
    int32_t has_not_forked = fork_count == count;
    if (has_not_forked) atomic_fetch_or(&lock_files[file / 64], 1ull << (file % 64));
    csystem_release_forks();
    return has_not_forked;
}

int64_t csystem_open_lock_file(int32_t directory, const char *path, int32_t flags, uint32_t mode) {
    while (1) {
        uint64_t count = count_forks();
        // A single name leads nowhere else, and openat takes less time.
        int64_t file = strchr(path, '/') == NULL
                           ? csystem_open(directory, path, flags, mode)
                           : csystem_open_beneath(directory, path, flags, mode);
        if (file < 0) return file;
        if (file >= most_descriptors) {
            close((int)file);
            return -EMFILE;
        }
        if (mark_lock_file(file, count)) return file;
        close((int)file);
        flags &= ~O_EXCL;  // this call made it
    }
}

void csystem_close_lock_file(int32_t file, uint32_t epoch) {
    if (epoch != csystem_fork_epoch()) return;
    csystem_lock(file, csystem_unlocked, 0, 0);
    csystem_hold_forks();
    atomic_fetch_and(&lock_files[file / 64], ~(1ull << (file % 64)));
    csystem_release_forks();
    close(file);
}

int64_t csystem_keep_through_execution(int32_t file) {
    if (fcntl(file, F_SETFD, 0) != 0) return -errno;
    csystem_note_kept(file);
    return 0;
}

// MARK: A mutex between threads: 0 free, 1 held, 2 held and waited for

int64_t csystem_mutex_lock(uint32_t *word, int64_t deadline) {
    _Atomic uint32_t *state = (_Atomic uint32_t *)word;
    uint32_t expected = 0;
    if (atomic_compare_exchange_strong(state, &expected, 1)) return 0;
    while (atomic_exchange(state, 2) != 0) {
        int64_t left = deadline - csystem_monotonic_time();
        if (left <= 0) return -ETIMEDOUT;
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 2, &timeout, NULL, 0);
    }
    return 0;
}

void csystem_mutex_unlock(uint32_t *word) {
    if (atomic_exchange((_Atomic uint32_t *)word, 0) == 2)
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
