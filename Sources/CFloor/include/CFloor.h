// The floor that the benchmarks compare with: the system calls of claim, claim lost, finalize and get,
// in C, with names and records made beforehand and nothing checked but that each call worked.

#ifndef CFLOOR_H
#define CFLOOR_H

#include <stddef.h>
#include <stdint.h>

struct cfloor_store {
    int32_t shard, locks, shards;  // descriptors
    const char *claim;             // a claim section
    size_t claim_length;
    const char *value;  // a value section
    size_t value_length;
};

/// Opens (and makes) a store of one shard; -1 on failure.
int32_t cfloor_open(struct cfloor_store *store, const char *path);
/// Each takes the names of the two files of a key; 0, or -1 on failure.
int32_t cfloor_claim(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_claim_lost(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_finalize(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_get(struct cfloor_store *store, const char *ready);

int64_t cfloor_now(void);  // monotonic, ns

/// SQLite, loaded when the benchmark runs.
struct cfloor_sqlite;
struct cfloor_sqlite *cfloor_sqlite_load(void);
/// Makes a database with one table; another process keeps it open, until this one ends.
int32_t cfloor_sqlite_make(struct cfloor_sqlite *sqlite, const char *path);
/// Opens it, claims a key and closes it.
int32_t cfloor_sqlite_claim(struct cfloor_sqlite *sqlite, const char *path, const char *key);

#endif
