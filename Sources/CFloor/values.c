#include "lean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// Values that are set, counted, appended and renewed: the fewest calls for the same promises, and files alone.

enum { cells = 512, cell = 512, record_size = 128, counter_size = 1636, lease_size = 1024 };

static int32_t make(int32_t directory, const char *name, int64_t size, int how) {
    int32_t file = openat(directory, name, O_RDWR | O_CREAT | flags | how, 0600);
    return file < 0 || posix_fallocate(file, 0, size) != 0 ? -1 : file;
}

int32_t cfloor_values_open(struct cfloor_store *store, struct cfloor_values *values, int64_t records) {
    if (store->lean) cfloor_lean_choose(store, "counter");
    values->counter = make(store->shard, "counter", counter_size, 0);
    if (store->lean) cfloor_lean_choose(store, "log");
    values->segment = make(store->shard, "log", 4096 + records * record_size, 0);
    values->log = openat(store->shard, "bare-log", O_RDWR | O_CREAT | O_APPEND | flags, 0600);
    if (store->lean) cfloor_lean_choose(store, "lease");
    values->lease = make(store->shard, "lease", lease_size, 0);
    values->end = 4096;
    values->turn = 0;
    return values->counter < 0 || values->segment < 0 || values->lease < 0 || values->log < 0 ? -1 : 0;
}

/// Writes a whole record under a name that is free, and renames it to another.
static int32_t replace(struct cfloor_store *store, const char *ready, const char *temporary) {
    struct iovec parts[] = {
        {(void *)store->claim, store->claim_length}, {(void *)store->value, store->value_length}};
    ssize_t count = (ssize_t)(store->claim_length + store->value_length);
    int file = openat(store->shard, temporary, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    if (file < 0 || writev(file, parts, 2) != count || close(file) != 0) return -1;
    return renameat(store->shard, temporary, store->shard, ready);
}

int32_t cfloor_lean_put(
    struct cfloor_store *store, const char *ready, const char *pending, const char *temporary) {
    struct stat status;
    cfloor_lean_choose(store, ready);
    if (cfloor_lean_begin(store) != 0) return -1;
    // What it replaces is counted.
    if (fstatat(store->shard, ready, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT) return -1;
    if (!cfloor_is_not_there(store, pending) || replace(store, ready, temporary) != 0) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_bare_put(struct cfloor_store *store, const char *ready, const char *temporary) {
    return replace(store, ready, temporary);
}

/// Whether a name still leads to a file that is open.
static int32_t is_named(struct cfloor_store *store, const char *name) {
    struct stat status;
    return fstatat(store->shard, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int32_t cfloor_lean_increment(struct cfloor_store *store, struct cfloor_values *values) {
    char bytes[612];
    cfloor_lean_choose(store, "counter");
    if (cfloor_lean_begin(store) != 0 || !is_named(store, "counter")) return -1;
    // The number is in two places, and the older is written, so that one of them is always whole.
    if (pread(values->counter, bytes, sizeof bytes, 1024) != sizeof bytes) return -1;
    values->turn = !values->turn;
    if (pwrite(values->counter, bytes, 100, 1024 + cell * values->turn) != 100) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_bare_increment(struct cfloor_values *values) {
    char bytes[100];
    if (pread(values->counter, bytes, sizeof bytes, 1024) != sizeof bytes) return -1;
    return pwrite(values->counter, bytes, sizeof bytes, 1024) == sizeof bytes ? 0 : -1;
}

int32_t cfloor_lean_append(
    struct cfloor_store *store, struct cfloor_values *values, const void *record, size_t count) {
    char bytes[608];
    cfloor_lean_choose(store, "log");
    if (cfloor_lean_begin(store) != 0 || !is_named(store, "log")) return -1;
    if (pread(values->segment, bytes, sizeof bytes, cells) != sizeof bytes) return -1;
    if (pwrite(values->segment, record, count, values->end) != (ssize_t)count) return -1;
    values->end += (int64_t)count;
    values->turn = !values->turn;
    if (pwrite(values->segment, bytes, 96, cells + cell * values->turn) != 96) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_bare_append(struct cfloor_values *values, const void *record, size_t count) {
    return write(values->log, record, count) == (ssize_t)count ? 0 : -1;
}

int32_t cfloor_lean_renew(struct cfloor_store *store, struct cfloor_values *values) {
    char bytes[lease_size];
    cfloor_lean_choose(store, "lease");
    if (cfloor_lean_begin(store) != 0 || !is_named(store, "lease")) return -1;
    if (pread(values->lease, bytes, sizeof bytes, 0) != sizeof bytes) return -1;
    values->turn = !values->turn;
    if (pwrite(values->lease, bytes, 512, cell * values->turn) != 512) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_bare_renew(struct cfloor_values *values) {
    char bytes[512] = {0};
    return pwrite(values->lease, bytes, sizeof bytes, 0) == sizeof bytes ? 0 : -1;
}
