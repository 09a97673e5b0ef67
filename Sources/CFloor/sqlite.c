#include "CFloor.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sqlite.h"

struct cfloor_sqlite *cfloor_sqlite_load(void) {
    void *library = dlopen("libsqlite3.so.0", RTLD_NOW);
    if (!library) return NULL;
    struct cfloor_sqlite *sqlite = calloc(1, sizeof *sqlite);
    if (!sqlite) return NULL;
    *(void **)&sqlite->open = dlsym(library, "sqlite3_open");
    *(void **)&sqlite->close = dlsym(library, "sqlite3_close");
    *(void **)&sqlite->busy_timeout = dlsym(library, "sqlite3_busy_timeout");
    *(void **)&sqlite->exec = dlsym(library, "sqlite3_exec");
    *(void **)&sqlite->prepare = dlsym(library, "sqlite3_prepare_v2");
    *(void **)&sqlite->bind_text = dlsym(library, "sqlite3_bind_text");
    *(void **)&sqlite->step = dlsym(library, "sqlite3_step");
    *(void **)&sqlite->reset = dlsym(library, "sqlite3_reset");
    *(void **)&sqlite->finalize = dlsym(library, "sqlite3_finalize");
    *(void **)&sqlite->changes = dlsym(library, "sqlite3_changes");
    *(void **)&sqlite->column_bytes = dlsym(library, "sqlite3_column_bytes");
    *(void **)&sqlite->column_blob = dlsym(library, "sqlite3_column_blob");
    return sqlite;
}

static const char settings[] = "PRAGMA synchronous=NORMAL";

static int32_t make(struct cfloor_sqlite *sqlite, const char *path) {
    const char *statements[] = {
        "PRAGMA journal_mode=WAL", settings,
        "CREATE TABLE entries (key TEXT PRIMARY KEY, state INTEGER, holder TEXT, value BLOB)"
        " WITHOUT ROWID",
        "CREATE TABLE records (number INTEGER PRIMARY KEY, time INTEGER, text TEXT)",
        "SELECT count(*) FROM entries",
    };
    sqlite3 *database;
    if (sqlite->open(path, &database) != 0) return -1;
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (sqlite->exec(database, statements[i], NULL, NULL, NULL) != 0) return -1;
    return 0;
}

int32_t cfloor_sqlite_make(struct cfloor_sqlite *sqlite, const char *path) {
    // Another process has the database open, as where it is in use: then closing ours is no checkpoint.
    // In this process a second connection would be cheaper than a first.
    int ready[2];
    if (pipe(ready) != 0) return -1;
    pid_t parent = getpid();
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char result = make(sqlite, path) == 0 ? 'y' : 'n';
        if (write(ready[1], &result, 1) != 1 || getppid() != parent) _exit(1);
        for (;;) pause();
    }
    char result = 'n';
    ssize_t count = read(ready[0], &result, 1);
    close(ready[0]);
    close(ready[1]);
    return count == 1 && result == 'y' ? 0 : -1;
}

/// Opens a database, runs one statement with a key and closes it again.
static int32_t run_once(
    struct cfloor_sqlite *sqlite, const char *path, const char *text, const char *key, int expected) {
    sqlite3 *database;
    sqlite3_stmt *statement;
    if (sqlite->open(path, &database) != 0) return -1;
    sqlite->busy_timeout(database, 30000);
    if (sqlite->exec(database, settings, NULL, NULL, NULL) != 0) return -1;
    if (sqlite->prepare(database, text, -1, &statement, NULL) != 0) return -1;
    if (sqlite->bind_text(statement, 1, key, (int)strlen(key), NULL) != 0) return -1;
    int result = sqlite->step(statement);
    sqlite->finalize(statement);
    return sqlite->close(database) == 0 && result == expected ? 0 : -1;
}

int32_t cfloor_sqlite_claim(struct cfloor_sqlite *sqlite, const char *path, const char *key) {
    const char *text = "INSERT OR IGNORE INTO entries VALUES (?, 0, 'pid 4711 (bench)', NULL)";
    return run_once(sqlite, path, text, key, 101);
}

int32_t cfloor_sqlite_get(struct cfloor_sqlite *sqlite, const char *path, const char *key) {
    return run_once(sqlite, path, "SELECT value FROM entries WHERE key = ?", key, 100);
}

int32_t cfloor_sqlite_append(
    struct cfloor_sqlite *sqlite, const char *path, const char *text, int32_t count) {
    enum { done = 101 };
    sqlite3 *database;
    sqlite3_stmt *statement;
    if (sqlite->open(path, &database) != 0) return -1;
    sqlite->busy_timeout(database, 60000);
    if (sqlite->exec(database, settings, NULL, NULL, NULL) != 0) return -1;
    const char *insert = "INSERT INTO records (time, text) VALUES (unixepoch('subsec') * 1000000, ?)";
    if (sqlite->prepare(database, insert, -1, &statement, NULL) != 0) return -1;
    for (int32_t i = 0; i < count; i++) {
        if (sqlite->bind_text(statement, 1, text, (int)strlen(text), NULL) != 0) return -1;
        if (sqlite->step(statement) != done || sqlite->reset(statement) != 0) return -1;
    }
    sqlite->finalize(statement);
    return sqlite->close(database);
}

struct cfloor_connection {
    struct cfloor_sqlite *sqlite;
    sqlite3_stmt *increment;
};

struct cfloor_connection *cfloor_sqlite_connect(struct cfloor_sqlite *sqlite, const char *path) {
    sqlite3 *database;
    struct cfloor_connection *connection = calloc(1, sizeof *connection);
    if (!connection || sqlite->open(path, &database) != 0) return NULL;
    connection->sqlite = sqlite;
    sqlite->busy_timeout(database, 30000);
    if (sqlite->exec(database, settings, NULL, NULL, NULL) != 0) return NULL;
    const char *counter = "INSERT OR IGNORE INTO entries VALUES ('counter', 1, '', 0)";
    if (sqlite->exec(database, counter, NULL, NULL, NULL) != 0) return NULL;
    const char *text = "UPDATE entries SET value = value + 1 WHERE key = 'counter'";
    if (sqlite->prepare(database, text, -1, &connection->increment, NULL) != 0) return NULL;
    return connection;
}

int32_t cfloor_sqlite_increment(struct cfloor_connection *connection) {
    enum { done = 101 };
    int result = connection->sqlite->step(connection->increment);
    connection->sqlite->reset(connection->increment);
    return result == done ? 0 : -1;
}
