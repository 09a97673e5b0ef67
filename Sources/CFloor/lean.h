#ifndef LEAN_H
#define LEAN_H

#include "CFloor.h"

#include <fcntl.h>

enum { block = 64, shards = 256, flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };

// As ours: 256 directories, each with a mutex and a block, so that processes are seldom in each other's way.
struct cfloor_lean {
    struct cfloor_store *store;
    uint64_t *memory;
    int32_t directories[shards];
};

/// Goes to the directory and the block of a key.
void cfloor_lean_choose(struct cfloor_store *store, const char *key);
/// Takes the mutex of that directory and marks its block, or takes the mark off and lets go: 0, or -1 on failure.
int32_t cfloor_lean_begin(struct cfloor_store *store);
int32_t cfloor_lean_end(struct cfloor_store *store);
int32_t cfloor_is_not_there(struct cfloor_store *store, const char *name);

#endif
