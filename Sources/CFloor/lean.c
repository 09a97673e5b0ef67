#include "lean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What cannot be left out by who promises what this program promises: a lock that a dead process does not keep,
// one winner, a value that is there whole or not at all, counts that a killed process does not falsify.

int32_t cfloor_lean_open(struct cfloor_store *store, const char *path) {
    char name[16], zeros[(shards + 1) * block] = {0};
    struct cfloor_lean *lean = calloc(1, sizeof *lean);
    if (!lean || cfloor_open(store, path) != 0) return -1;
    if (pwrite(store->shards, zeros, sizeof zeros, 0) != sizeof zeros) return -1;
    void *memory = mmap(NULL, sizeof zeros, PROT_READ | PROT_WRITE, MAP_SHARED, store->shards, 0);
    if (memory == MAP_FAILED) return -1;
    lean->memory = memory;
    for (int i = 0; i < shards; i++) {
        snprintf(name, sizeof name, "%02x", i);
        mkdirat(store->shard, name, 0700);
        lean->directories[i] = openat(store->shard, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lean->directories[i] < 0) return -1;
    }
    store->lean = lean;
    return 0;
}

void cfloor_lean_choose(struct cfloor_store *store, const char *key) {
    uint64_t hash = 0xcbf29ce484222325;
    for (; *key; key++) hash = (hash ^ (uint8_t)*key) * 0x100000001b3;
    uint32_t shard = hash % shards;
    store->shard = store->lean->directories[shard];
    store->counts = store->lean->memory + (shard + 1) * (block / 8);
}

static int32_t set_lock(struct cfloor_store *store, short type) {
    int64_t place = (char *)store->counts - (char *)store->lean->memory;
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = place, .l_len = 1};
    return fcntl(store->shards, F_OFD_SETLK, &lock);
}

static void store_word(struct cfloor_store *store, int index, uint64_t value) {
    atomic_store_explicit((_Atomic uint64_t *)store->counts + index, value, memory_order_release);
}

int32_t cfloor_lean_begin(struct cfloor_store *store) {
    if (set_lock(store, F_WRLCK) != 0) return -1;
    store_word(store, 0, (uint64_t)getpid());
    store_word(store, 1, (uint64_t)cfloor_now());
    return 0;
}

int32_t cfloor_lean_end(struct cfloor_store *store) {
    store_word(store, 2, store->counts[2] + 1);
    store_word(store, 0, 0);
    return set_lock(store, F_UNLCK);
}

int32_t cfloor_is_not_there(struct cfloor_store *store, const char *name) {
    struct stat status;
    return fstatat(store->shard, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static int32_t make(struct cfloor_store *store, const char *name) {
    int file = openat(store->shard, name, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    if (file < 0) return -1;
    if (write(file, store->claim, store->claim_length) != (ssize_t)store->claim_length) return -1;
    return close(file);
}

static int32_t publish(struct cfloor_store *store, int file, const char *ready, const char *pending) {
    ssize_t length = (ssize_t)store->value_length;
    if (pwrite(file, store->value, store->value_length, (off_t)store->claim_length) != length)
        return -1;
    if (renameat(store->shard, pending, store->shard, ready) != 0) return -1;
    return close(file);
}

int32_t cfloor_lean_claim(struct cfloor_store *store, const char *ready, const char *pending) {
    cfloor_lean_choose(store, ready);
    if (openat(store->shard, ready, O_RDONLY | flags) >= 0 || errno != ENOENT) return -1;
    if (cfloor_lean_begin(store) != 0 || make(store, pending) != 0) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_lean_finalize(struct cfloor_store *store, const char *ready, const char *pending) {
    char bytes[1024];
    cfloor_lean_choose(store, ready);
    if (cfloor_lean_begin(store) != 0) return -1;
    int file = openat(store->shard, pending, O_RDWR | flags);
    if (file < 0 || pread(file, bytes, sizeof bytes, 0) <= 0) return -1;
    if (!cfloor_is_not_there(store, ready) || publish(store, file, ready, pending) != 0) return -1;
    return cfloor_lean_end(store);
}

int32_t cfloor_lean_get(struct cfloor_store *store, const char *ready) {
    cfloor_lean_choose(store, ready);
    return cfloor_get(store, ready);
}

int32_t cfloor_lean_remove(struct cfloor_store *store, const char *ready, const char *pending) {
    struct stat status;
    cfloor_lean_choose(store, ready);
    if (cfloor_lean_begin(store) != 0) return -1;
    if (fstatat(store->shard, ready, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (unlinkat(store->shard, pending, 0) == 0 || errno != ENOENT) return -1;
    return unlinkat(store->shard, ready, 0) == 0 ? cfloor_lean_end(store) : -1;
}

// MARK: Bare files: no recovery after a kill, and no counts

int32_t cfloor_bare_claim(struct cfloor_store *store, const char *pending) {
    return make(store, pending);
}

int32_t cfloor_bare_finalize(struct cfloor_store *store, const char *ready, const char *pending) {
    int file = openat(store->shard, pending, O_RDWR | flags);
    return file < 0 ? -1 : publish(store, file, ready, pending);
}

int32_t cfloor_bare_get(struct cfloor_store *store, const char *ready) {
    char bytes[4096];
    int file = openat(store->shard, ready, O_RDONLY | flags);
    if (file < 0 || read(file, bytes, sizeof bytes) <= 0) return -1;
    return close(file);
}

int32_t cfloor_bare_remove(struct cfloor_store *store, const char *ready) {
    return unlinkat(store->shard, ready, 0);
}
