#include "CFloor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { block = 64, flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };

int64_t cfloor_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int32_t cfloor_open(struct cfloor_store *store, const char *path) {
    char name[4096];
    const char *parts[] = {"", "/locks", "/shard"};
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, parts[i]);
        mkdir(name, 0700);
    }
    store->shard = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(name, sizeof name, "%s/locks", path);
    store->locks = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    store->shards = openat(store->locks, "shards", O_RDWR | O_CREAT | flags, 0600);
    int sessions = openat(store->locks, "sessions-00", O_RDWR | O_CREAT | flags, 0600);
    char zeros[2 * block] = {0};
    if (store->shard < 0 || store->shards < 0 || sessions < 0) return -1;
    close(sessions);
    return pwrite(store->shards, zeros, sizeof zeros, 0) == sizeof zeros ? 0 : -1;
}

static int32_t lock(struct cfloor_store *store, char *bytes) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = block, .l_len = 1};
    struct stat status;
    if (fcntl(store->shards, F_OFD_SETLK, &lock) != 0) return -1;
    if (fstat(store->shards, &status) != 0 || status.st_nlink == 0) return -1;
    return pread(store->shards, bytes, block, block) == block ? 0 : -1;
}

static int32_t put(struct cfloor_store *store, char *bytes) {
    return pwrite(store->shards, bytes, block, block) == block ? 0 : -1;
}

static int32_t unlock(struct cfloor_store *store) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = block, .l_len = 1};
    return fcntl(store->shards, F_OFD_SETLK, &lock);
}

static int32_t is_absent(struct cfloor_store *store, const char *name) {
    return openat(store->shard, name, O_RDONLY | flags) < 0 && errno == ENOENT;
}

static int32_t read_file(struct cfloor_store *store, const char *name) {
    char bytes[4096];
    int file = openat(store->shard, name, O_RDONLY | flags);
    if (file < 0) return -1;
    ssize_t count = pread(file, bytes, 1024, 0);
    close(file);
    return count > 0 ? 0 : -1;
}

int32_t cfloor_claim(struct cfloor_store *store, const char *ready, const char *pending) {
    char bytes[block];
    if (!is_absent(store, ready) || !is_absent(store, pending)) return -1;
    if (lock(store, bytes) != 0) return -1;
    if (!is_absent(store, ready) || put(store, bytes) != 0) return -1;
    int file = openat(store->shard, pending, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    if (file < 0) return -1;
    if (write(file, store->claim, store->claim_length) != (ssize_t)store->claim_length) return -1;
    close(file);
    return put(store, bytes) == 0 ? unlock(store) : -1;
}

int32_t cfloor_claim_lost(struct cfloor_store *store, const char *ready, const char *pending) {
    if (!is_absent(store, ready) || read_file(store, pending) != 0) return -1;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 77, .l_len = 1};
    int file = openat(store->locks, "sessions-00", O_RDONLY | flags);
    if (file < 0 || fcntl(file, F_OFD_GETLK, &lock) != 0) return -1;
    close(file);
    return 0;
}

int32_t cfloor_finalize(struct cfloor_store *store, const char *ready, const char *pending) {
    char bytes[4096];
    struct stat status;
    if (lock(store, bytes) != 0 || !is_absent(store, ready)) return -1;
    int file = openat(store->shard, pending, O_RDWR | flags);
    if (file < 0 || pread(file, bytes, 1024, 0) <= 0) return -1;
    if (fstatat(store->shard, ready, &status, AT_SYMLINK_NOFOLLOW) == 0) return -1;
    if (put(store, bytes) != 0 || fstat(file, &status) != 0) return -1;
    if (pwrite(file, store->value, store->value_length, status.st_size)
        != (ssize_t)store->value_length)
        return -1;
    if (renameat(store->shard, pending, store->shard, ready) != 0) return -1;
    close(file);
    return put(store, bytes) == 0 ? unlock(store) : -1;
}

int32_t cfloor_get(struct cfloor_store *store, const char *ready) {
    char bytes[4096];
    struct stat status;
    int file = openat(store->shard, ready, O_RDONLY | flags);
    if (file < 0 || fstat(file, &status) != 0) return -1;
    ssize_t count = pread(file, bytes, (size_t)status.st_size, 0);
    close(file);
    return count == status.st_size ? 0 : -1;
}

static int32_t begin(struct cfloor_store *store, char *bytes) {
    struct stat status;
    return fstat(store->shard, &status) == 0 ? put(store, bytes) : -1;
}

static int32_t is_not_there(struct cfloor_store *store, const char *name) {
    struct stat status;
    return fstatat(store->shard, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int32_t cfloor_put(
    struct cfloor_store *store, const char *ready, const char *pending, const char *temporary) {
    char bytes[block], head[2048];
    struct stat status;
    if (lock(store, bytes) != 0) return -1;
    int old = openat(store->shard, ready, O_RDONLY | flags);
    if (old >= 0) {
        if (fstat(old, &status) != 0 || pread(old, head, 1093, 0) <= 0) return -1;
        close(old);
    }
    if (!is_not_there(store, pending) || begin(store, bytes) != 0) return -1;
    int file = openat(store->shard, temporary, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    if (file < 0) return -1;
    memcpy(head, store->claim, store->claim_length);
    memcpy(head + store->claim_length, store->value, store->value_length);
    size_t count = store->claim_length + store->value_length;
    if (write(file, head, count) != (ssize_t)count) return -1;
    close(file);
    unsigned how = old >= 0 ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (syscall(SYS_renameat2, store->shard, temporary, store->shard, ready, how) != 0) return -1;
    if (old >= 0 && unlinkat(store->shard, temporary, 0) != 0) return -1;
    return begin(store, bytes) == 0 ? unlock(store) : -1;
}

int32_t cfloor_increment(
    struct cfloor_store *store, const char *ready, const char *pending, int32_t file,
    int32_t isSecond) {
    char bytes[block], record[2048];
    struct stat status;
    if (lock(store, bytes) != 0) return -1;
    if (fstatat(store->shard, ready, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (pread(file, record, 612, 1024) != 612) return -1;
    if (!is_not_there(store, pending) || put(store, bytes) != 0) return -1;
    if (pwrite(file, record, 100, isSecond ? 1536 : 1024) != 100) return -1;
    return unlock(store);
}

int32_t cfloor_increment_opening(
    struct cfloor_store *store, const char *ready, const char *pending, int32_t isSecond) {
    int file = openat(store->shard, ready, O_RDWR | flags);
    if (file < 0 || cfloor_increment(store, ready, pending, file, isSecond) != 0) return -1;
    return close(file);
}
