#include "CFloor.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int32_t set(int32_t file, short type, int64_t byte) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(file, F_OFD_SETLK, &lock);
}

int32_t cfloor_lock(int32_t directory, const char *name, int64_t byte) {
    int32_t file = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0 || set(file, F_WRLCK, byte) != 0) return -1;
    return close(file);
}

int32_t cfloor_renew(
    int32_t locks, int32_t directory, const char *shard, const char *name, const char *bytes) {
    char found[1024];
    struct stat status;
    enum { flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
    if (set(locks, F_WRLCK, 64) != 0 || fstat(locks, &status) != 0) return -1;
    int32_t place = openat(directory, shard, O_RDONLY | O_DIRECTORY | flags);
    int32_t file = openat(place, name, O_RDWR | flags);
    if (file < 0 || fstat(file, &status) != 0) return -1;
    if (pread(file, found, sizeof found, 0) != sizeof found) return -1;
    if (pwrite(file, bytes, 512, 0) != 512) return -1;
    close(file);
    close(place);
    return set(locks, F_UNLCK, 64);
}

void cfloor_wake_one_lock(int32_t file, uint32_t *words, int32_t shared, int32_t polite) {
    struct timespec limit = {0, 50000000};
    short type = shared ? F_RDLCK : F_WRLCK;
    _Atomic uint32_t *word = (_Atomic uint32_t *)words, *sleepers = word + 1;
    _Atomic int64_t *until = (_Atomic int64_t *)(words + 2);
    int32_t sleeps = polite == 1   ? atomic_load(sleepers) > 0
                     : polite == 2 ? atomic_load(until) > cfloor_now()
                                   : 0;
    if (!sleeps && set(file, type, 0) == 0) return;
    atomic_fetch_add(sleepers, 1);
    for (;; sleeps = 0) {
        atomic_store(until, cfloor_now() + 100000000);
        uint32_t seen = atomic_load(word);
        if (!sleeps && set(file, type, 0) == 0) break;
        syscall(SYS_futex, words, FUTEX_WAIT, seen, &limit, NULL, 0);
    }
    atomic_fetch_sub(sleepers, 1);
}

void cfloor_wake_one_unlock(int32_t file, uint32_t *word) {
    set(file, F_UNLCK, 0);
    atomic_fetch_add((_Atomic uint32_t *)word, 1);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
