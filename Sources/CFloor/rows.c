#include "CFloor.h"

#include <stdlib.h>
#include <string.h>

#include "sqlite.h"

enum { row = 100, done = 101 };

// One transaction a call: what a program writes that keeps such claims in SQLite.
static const char *const texts[] = {
    "INSERT OR IGNORE INTO entries VALUES (?1, 0, ?2, NULL)",
    "UPDATE entries SET state = 1, value = ?3 WHERE key = ?1 AND state = 0 AND holder = ?2",
    "SELECT value FROM entries WHERE key = ?1 AND state = 1",
    "DELETE FROM entries WHERE key = ?1",
    "INSERT INTO entries VALUES (?1, 1, '', ?2) ON CONFLICT (key) DO UPDATE SET state = 1, value = ?2",
    "UPDATE entries SET value = value + 1 WHERE key = ?1 AND state = 1",
    "INSERT INTO records (time, text) VALUES (unixepoch('subsec') * 1000000, ?1)",
    "UPDATE entries SET value = ?3 WHERE key = ?1 AND holder = ?2",
};
enum { inserts, updates, selects, deletes, puts, increments, appends, renews, count };

struct cfloor_rows {
    struct cfloor_sqlite *sqlite;
    sqlite3 *database;
    sqlite3_stmt *statements[count];
};

struct cfloor_rows *cfloor_rows_open(struct cfloor_sqlite *sqlite, const char *path) {
    struct cfloor_rows *rows = calloc(1, sizeof *rows);
    if (!rows || sqlite->open(path, &rows->database) != 0) return NULL;
    rows->sqlite = sqlite;
    sqlite->busy_timeout(rows->database, 30000);
    if (sqlite->exec(rows->database, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) != 0) return NULL;
    for (int i = 0; i < count; i++)
        if (sqlite->prepare(rows->database, texts[i], -1, &rows->statements[i], NULL) != 0) return NULL;
    return rows;
}

/// How many rows were changed; -1 on failure.
static int32_t run(struct cfloor_rows *rows, int which, const char *const *values, int number) {
    sqlite3_stmt *statement = rows->statements[which];
    for (int i = 0; i < number; i++)
        if (rows->sqlite->bind_text(statement, i + 1, values[i], (int)strlen(values[i]), NULL) != 0)
            return -1;
    int result = rows->sqlite->step(statement);
    int32_t changes = rows->sqlite->changes(rows->database);
    rows->sqlite->reset(statement);
    return result == done ? changes : -1;
}

static int32_t one(int32_t changes) { return changes < 0 ? -1 : changes == 1 ? 0 : 1; }

int32_t cfloor_rows_claim(struct cfloor_rows *rows, const char *key, const char *holder) {
    return one(run(rows, inserts, (const char *[]){key, holder}, 2));
}

int32_t cfloor_rows_finalize(
    struct cfloor_rows *rows, const char *key, const char *holder, const char *value) {
    return one(run(rows, updates, (const char *[]){key, holder, value}, 3));
}

int32_t cfloor_rows_get(struct cfloor_rows *rows, const char *key) {
    sqlite3_stmt *statement = rows->statements[selects];
    char value[4096];
    if (rows->sqlite->bind_text(statement, 1, key, (int)strlen(key), NULL) != 0) return -1;
    int result = rows->sqlite->step(statement);
    if (result == row) {
        int bytes = rows->sqlite->column_bytes(statement, 0);
        if (bytes < (int)sizeof value)
            memcpy(value, rows->sqlite->column_blob(statement, 0), (size_t)bytes);
    }
    rows->sqlite->reset(statement);
    return result == row ? 0 : result == done ? 1 : -1;
}

int32_t cfloor_rows_remove(struct cfloor_rows *rows, const char *key) {
    return one(run(rows, deletes, (const char *[]){key}, 1));
}

int32_t cfloor_rows_put(struct cfloor_rows *rows, const char *key, const char *value) {
    return one(run(rows, puts, (const char *[]){key, value}, 2));
}

int32_t cfloor_rows_increment(struct cfloor_rows *rows, const char *key) {
    return one(run(rows, increments, (const char *[]){key}, 1));
}

int32_t cfloor_rows_append(struct cfloor_rows *rows, const char *text) {
    return one(run(rows, appends, (const char *[]){text}, 1));
}

int32_t cfloor_rows_renew(
    struct cfloor_rows *rows, const char *key, const char *holder, const char *deadline) {
    return one(run(rows, renews, (const char *[]){key, holder, deadline}, 3));
}
