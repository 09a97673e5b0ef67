#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// MARK: Memory that processes share

// What is mapped, for the handler below: a start of 0 is a free place.
enum { most_maps = 64 };
static struct {
    _Atomic uintptr_t start;
    size_t count;
} maps[most_maps];
static _Atomic int32_t survives;
static struct sigaction former_action;

/// Somebody has cut a file that is mapped here: its bytes are zeros from now on, of this process alone.
static void survive_cut(int number, siginfo_t *information, void *context) {
    (void)number, (void)context;
    int error = errno;
    uintptr_t address = (uintptr_t)information->si_addr;
    for (int32_t i = 0; i < most_maps; i++) {
        uintptr_t start = atomic_load(&maps[i].start);
        if (start == 0 || address < start || address >= start + maps[i].count) continue;
        enum { flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };
        if (mmap((void *)start, maps[i].count, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
            break;
        errno = error;
        return;
    }
    // Not one of ours. With the former action back, a fault is raised again by the instruction that runs next; a
    // signal that a process has sent is not, so it is raised here.
    sigaction(SIGBUS, &former_action, NULL);
    if (information->si_code <= 0) raise(SIGBUS);
    errno = error;
}

void csystem_survive_cuts(void) {
    if (atomic_load(&survives)) return;
    struct sigaction action = {.sa_sigaction = survive_cut, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    // One that is ignored stays so for the commands that are run.
    if (sigaction(SIGBUS, NULL, &former_action) != 0 || former_action.sa_handler == SIG_IGN) return;
    if (sigaction(SIGBUS, &action, NULL) == 0) atomic_store(&survives, 1);
}

void *csystem_map_locked(int32_t file, size_t count) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again < 0) return NULL;
    void *bytes = csystem_map_shared(again, count);
    close(again);
    return bytes;
}

void *csystem_map_shared(int32_t file, size_t count) {
    void *bytes = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) return NULL;
    if (!atomic_load(&survives)) return bytes;
    for (int32_t i = 0; i < most_maps; i++) {
        uintptr_t none = 0;
        // The place is reserved by an address that no fault has, until its count is written.
        if (!atomic_compare_exchange_strong(&maps[i].start, &none, UINTPTR_MAX)) continue;
        maps[i].count = count;
        atomic_store(&maps[i].start, (uintptr_t)bytes);
        return bytes;
    }
    munmap(bytes, count);
    return NULL;
}

void csystem_unmap_shared(void *bytes, size_t count) {
    for (int32_t i = 0; i < most_maps; i++) {
        uintptr_t start = (uintptr_t)bytes;
        atomic_compare_exchange_strong(&maps[i].start, &start, 0);
    }
    munmap(bytes, count);
}

int64_t csystem_allocate(int32_t file, int64_t size) {
    // Never posix_fallocate, which glibc emulates by writing where the file system has no such call.
    return fallocate(file, 0, 0, size) == 0 ? 0 : -errno;
}

int64_t csystem_allocate_range(int32_t file, int64_t start, int64_t size) {
    return fallocate(file, 0, start, size) == 0 ? 0 : -errno;
}

uint32_t csystem_load32(const uint32_t *word) {
    return atomic_load((const _Atomic uint32_t *)word);
}

void csystem_increment32(uint32_t *word) { atomic_fetch_add((_Atomic uint32_t *)word, 1); }

void csystem_store32(uint32_t *word, uint32_t value) {
    atomic_store((_Atomic uint32_t *)word, value);
}

uint32_t csystem_add32(uint32_t *word, uint32_t amount) {
    return atomic_fetch_add((_Atomic uint32_t *)word, amount) + amount;
}

int32_t csystem_replace32(uint32_t *word, uint32_t expected, uint32_t value) {
    return atomic_compare_exchange_strong((_Atomic uint32_t *)word, &expected, value);
}

int32_t csystem_replace64(int64_t *word, int64_t expected, int64_t value) {
    return atomic_compare_exchange_strong((_Atomic int64_t *)word, &expected, value);
}

void csystem_load_words(const uint64_t *words, uint64_t *into, size_t count) {
    for (size_t i = 0; i < count; i++)
        into[i] = atomic_load_explicit((const _Atomic uint64_t *)words + i, memory_order_relaxed);
}

void csystem_store_words(uint64_t *words, const uint64_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit((_Atomic uint64_t *)words + i, from[i], memory_order_relaxed);
}

// movaps, or str of a vector register: a process is killed before it or after it.
static void store_pair(uint64_t *words, const uint64_t *from) {
    typedef uint64_t pair __attribute__((vector_size(16)));
    *(volatile pair *)words = (pair){from[0], from[1]};
}

void csystem_store_first(uint64_t *words, const uint64_t *from, size_t count) {
    store_pair(words, from);
    atomic_thread_fence(memory_order_seq_cst);
    csystem_store_words(words + 2, from + 2, count - 2);
}

void csystem_store_last(uint64_t *words, const uint64_t *from, size_t count) {
    csystem_store_words(words + 2, from + 2, count - 2);
    atomic_thread_fence(memory_order_seq_cst);
    store_pair(words, from);
}

int64_t csystem_load64(const int64_t *word) {
    // What was done before, by a system call too, is seen by whoever stores after this load.
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load((const _Atomic int64_t *)word);
}

void csystem_store64(int64_t *word, int64_t value) {
    atomic_store((_Atomic int64_t *)word, value);
    atomic_thread_fence(memory_order_seq_cst);
}

// MARK: Futexes

static struct timespec timespec(int64_t nanoseconds) {
    return (struct timespec){nanoseconds / 1000000000, nanoseconds % 1000000000};
}

int64_t csystem_futex_wait(uint32_t *word, uint32_t expected, uint32_t bits, int64_t deadline) {
    // The kernel counts such waits on CLOCK_MONOTONIC, which stands still through suspend; so what is
    // left is computed once, and the end of every wait of ours is near.
    struct timespec now;
    int64_t left = deadline - csystem_boot_time();
    if (left <= 0) return -ETIMEDOUT;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t start = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    struct timespec end = timespec(start > INT64_MAX - left ? INT64_MAX : start + left);
    for (;;) {
        if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &end, NULL, bits) == 0) return 0;
        if (errno == EAGAIN) return 0;  // the word has changed already
        if (errno != EINTR) return -errno;
    }
}

void csystem_futex_wake(uint32_t *word, int32_t count, uint32_t bits) {
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET, count, NULL, NULL, bits);
}

// MARK: Threads

uint64_t csystem_thread_number(void) {
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;
    if (number == 0) number = atomic_fetch_add(&last, 1) + 1;
    return number;
}

int64_t csystem_start_thread(void *(*body)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int result = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -result;
}
