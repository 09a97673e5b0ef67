// The floor that the benchmarks compare with: the system calls of claim, claim lost, finalize and get,
// in C, with names and records made beforehand and nothing checked but that each call worked.

#ifndef CFLOOR_H
#define CFLOOR_H

#include <stddef.h>
#include <stdint.h>

struct cfloor_lean;

struct cfloor_store {
    int32_t shard, locks, shards;  // descriptors
    const char *claim;             // a claim section
    size_t claim_length;
    const char *value;  // a value section
    size_t value_length;
    struct cfloor_lean *lean;
    uint64_t *counts;  // a block as memory, of a lean store
};

/// Opens (and makes) a store of one shard; -1 on failure.
int32_t cfloor_open(struct cfloor_store *store, const char *path);
/// Each takes the names of the two files of a key; 0, or -1 on failure.
int32_t cfloor_claim(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_claim_lost(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_finalize(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_get(struct cfloor_store *store, const char *ready);

/// The same promises by as few calls as they need: the block is memory, and no name is looked at twice.
int32_t cfloor_lean_open(struct cfloor_store *store, const char *path);
int32_t cfloor_lean_claim(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_lean_finalize(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_lean_get(struct cfloor_store *store, const char *ready);
int32_t cfloor_lean_remove(struct cfloor_store *store, const char *ready, const char *pending);

/// Files alone, without a lock, a count or a look: no promise about who dies.
int32_t cfloor_bare_claim(struct cfloor_store *store, const char *pending);
int32_t cfloor_bare_finalize(struct cfloor_store *store, const char *ready, const char *pending);
int32_t cfloor_bare_get(struct cfloor_store *store, const char *ready);
int32_t cfloor_bare_remove(struct cfloor_store *store, const char *ready);

/// Files of a store that stay open: a counter, a journal's segment, a file that is appended to, a lease.
struct cfloor_values {
    int32_t counter, segment, log, lease, turn;
    int64_t end;  // of the segment
};

/// Makes them, with room for so many records of 128 bytes; -1 on failure.
int32_t cfloor_values_open(
    struct cfloor_store *store, struct cfloor_values *values, int64_t records);

/// Setting, counting, appending and renewing by as few calls as the same promises need.
int32_t cfloor_lean_put(
    struct cfloor_store *store, const char *ready, const char *pending, const char *temporary);
int32_t cfloor_lean_increment(struct cfloor_store *store, struct cfloor_values *values);
int32_t cfloor_lean_append(
    struct cfloor_store *store, struct cfloor_values *values, const void *record, size_t count);
int32_t cfloor_lean_renew(struct cfloor_store *store, struct cfloor_values *values);

/// The same with files alone.
int32_t cfloor_bare_put(struct cfloor_store *store, const char *ready, const char *temporary);
int32_t cfloor_bare_increment(struct cfloor_values *values);
int32_t cfloor_bare_append(struct cfloor_values *values, const void *record, size_t count);
int32_t cfloor_bare_renew(struct cfloor_values *values);

/// What `put` does, over a record or to a new name; the temporary name is free before and after.
int32_t cfloor_put(
    struct cfloor_store *store, const char *ready, const char *pending, const char *temporary);
/// What `increment` does in a record of 1636 bytes that is open.
int32_t cfloor_increment(
    struct cfloor_store *store, const char *ready, const char *pending, int32_t file,
    int32_t is_second);
/// The same where it is not.
int32_t cfloor_increment_opening(
    struct cfloor_store *store, const char *ready, const char *pending, int32_t is_second);

/// Opens a file of a directory, locks a byte of it, and closes it: 0, or -1 on failure.
int32_t cfloor_lock(int32_t directory, const char *name, int64_t byte);

/// Locks a byte, opens a file of a directory, reads its first kilobyte, writes half of that back, closes it,
/// unlocks: 0, or -1 on failure.
int32_t cfloor_renew(
    int32_t locks, int32_t directory, const char *shard, const char *name, const char *bytes);

/// The system calls of an append to a journal: the record at an offset, a cell, under a lock. 0, or -1 on failure.
int32_t cfloor_append(
    int32_t locks, int32_t segment, int64_t end, const void *record, size_t count, int32_t cell);

/// A lock as most programs would write it: a waiter sleeps on a word, and each release wakes one waiter.
/// It is a byte of an open file, and four words are in memory that is shared. Whoever comes
/// tries first, or sleeps where others do, which is told by a count (polite 1) or, so that the killed do not
/// count, by a time that sleepers put 100 ms ahead (polite 2).
void cfloor_wake_one_lock(int32_t file, uint32_t *words, int32_t shared, int32_t polite);
void cfloor_wake_one_unlock(int32_t file, uint32_t *word);

int64_t cfloor_now(void);  // monotonic, ns

/// SQLite, loaded when the benchmark runs.
struct cfloor_sqlite;
struct cfloor_sqlite *cfloor_sqlite_load(void);
/// Makes a database with one table; another process keeps it open, until this one ends.
int32_t cfloor_sqlite_make(struct cfloor_sqlite *sqlite, const char *path);
/// Opens it, inserts a text so many times into a table of records, each time in a transaction of its own, and closes
/// it.
int32_t cfloor_sqlite_append(
    struct cfloor_sqlite *sqlite, const char *path, const char *text, int32_t count);
/// Opens it, claims a key and closes it.
int32_t cfloor_sqlite_claim(struct cfloor_sqlite *sqlite, const char *path, const char *key);
/// Opens it, reads a value that is there and closes it.
int32_t cfloor_sqlite_get(struct cfloor_sqlite *sqlite, const char *path, const char *key);

/// A connection to such a database, with a counter in it.
struct cfloor_connection;
struct cfloor_connection *cfloor_sqlite_connect(struct cfloor_sqlite *sqlite, const char *path);
/// Adds 1 to the counter.
int32_t cfloor_sqlite_increment(struct cfloor_connection *connection);

/// The same life in SQLite, by statements that were prepared once: 0, 1 where the key was not as it had to be,
/// or -1.
struct cfloor_rows;
struct cfloor_rows *cfloor_rows_open(struct cfloor_sqlite *sqlite, const char *path);
int32_t cfloor_rows_claim(struct cfloor_rows *rows, const char *key, const char *holder);
int32_t cfloor_rows_finalize(
    struct cfloor_rows *rows, const char *key, const char *holder, const char *value);
int32_t cfloor_rows_get(struct cfloor_rows *rows, const char *key);
int32_t cfloor_rows_remove(struct cfloor_rows *rows, const char *key);
/// Sets a value, whether there is one or not.
int32_t cfloor_rows_put(struct cfloor_rows *rows, const char *key, const char *value);
/// Adds 1 to the value of a key that `cfloor_rows_put` has set to a number.
int32_t cfloor_rows_increment(struct cfloor_rows *rows, const char *key);
int32_t cfloor_rows_append(struct cfloor_rows *rows, const char *text);
/// Moves the deadline of who has claimed a key.
int32_t cfloor_rows_renew(
    struct cfloor_rows *rows, const char *key, const char *holder, const char *deadline);

#endif
