"""What `flock-cache-bench scenarios` measures, done with SQLite as the systems do it that publish the figures: write-ahead
log, synchronous NORMAL, a busy timeout of 30 s, a transaction for each change, a connection for each process.

    scenarios.py DIRECTORY claims|reads|bulk
    scenarios.py DIRECTORY different|contention|record|document PROCESSES
    scenarios.py DIRECTORY statistics ENTRIES
    scenarios.py version

Prints the numbers of one run. Processes are forks of this one: what starting Python takes is not counted.
"""

import itertools
import os
import sqlite3
import statistics
import sys
import tempfile
import time

ROUNDS, GAP = 40, 0.025
SCHEMA = """
CREATE TABLE entries (key TEXT PRIMARY KEY, state TEXT NOT NULL, value TEXT, generation INTEGER) WITHOUT ROWID;
CREATE INDEX states ON entries (state);
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT, ms INTEGER, code INTEGER);
"""


def connect(path):
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def make(path):
    connection = connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SCHEMA)
    return connection


def claim(connection, key):
    insert = connection.execute("INSERT OR IGNORE INTO entries VALUES (?, 'PENDING', NULL, 1)", (key,))
    if insert.rowcount == 1:
        return True
    connection.execute("SELECT state, value FROM entries WHERE key = ?", (key,)).fetchone()
    return False


def rate(body):
    start = time.monotonic()
    for count in itertools.count(1):
        body(count)
        if time.monotonic() - start >= 0.5:
            return count / (time.monotonic() - start)


def together(count, body):
    """What so many forked processes return that begin at one time."""
    # Written out by the child too otherwise.
    sys.stdout.flush()
    start = time.monotonic() + 0.3
    pipes = []
    for number in range(count):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, " ".join(map(str, body(number, start))).encode())
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    results = []
    for reading in pipes:
        with os.fdopen(reading) as pipe:
            results.append([float(word) for word in pipe.read().split()])
    for _ in range(count):
        if os.wait()[1]:
            sys.exit("a process failed")
    return results


def sleep_until(moment):
    time.sleep(max(0, moment - time.monotonic()))


def claims(path, _):
    connection = make(path)
    return [rate(lambda number: claim(connection, f"hash-{number}"))]


def reads(path, _):
    connection = make(path)
    connection.executemany(
        "INSERT INTO entries VALUES (?, 'READY', ?, 1)", ((f"hash-{i}", f"file-{i}") for i in range(1000)))
    query = "SELECT value FROM entries WHERE key = ? AND state = 'READY'"
    return [rate(lambda number: connection.execute(query, (f"hash-{number % 1000}",)).fetchone())]


def different(path, count):
    # Open until the end, so that nobody's closing is the last.
    keeper = make(path)

    def body(process, start):
        connection = connect(path)
        sleep_until(start)
        return [rate(lambda number: claim(connection, f"hash-{process}-{number}"))]

    sums = [sum(rates) for rates in zip(*together(count, body))]
    keeper.close()
    return sums


def contention(path, count):
    keeper = make(path)

    def body(_, start):
        connection = connect(path)
        numbers = []
        for turn in range(ROUNDS):
            sleep_until(start + turn * GAP)
            begin = time.monotonic()
            won = claim(connection, f"hash-{turn}")
            numbers += [int(won), (time.monotonic() - begin) * 1000]
        return numbers

    won, lost = [], []
    for numbers in together(count, body):
        for has_won, taken in zip(numbers[::2], numbers[1::2]):
            (won if has_won else lost).append(taken)
    keeper.close()
    if len(won) != ROUNDS:
        sys.exit(f"{len(won)} winners")
    return [statistics.median(won), statistics.median(lost)]


def counted(path, count):
    connection = make(path)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO entries VALUES (?, 'READY', ?, 1)", ((f"entry-{i}", f"value of {i}") for i in range(count)))
    connection.execute("COMMIT")
    times = []
    for _ in range(1000 if count <= 10000 else 10):
        start = time.monotonic()
        connection.execute("SELECT state, count(*) FROM entries GROUP BY state").fetchall()
        times.append((time.monotonic() - start) * 1000)
    return [statistics.median(times)]


def record(path, count):
    keeper = make(path)
    start = time.monotonic()
    for number in range(count):
        if os.fork() == 0:
            connection = connect(path)
            connection.execute("INSERT INTO runs (name, ms, code) VALUES (?, 12, 0)", (f"run-{number}",))
            connection.close()
            os._exit(0)
    for _ in range(count):
        if os.wait()[1]:
            sys.exit("a process failed")
    taken = time.monotonic() - start
    if keeper.execute("SELECT count(*) FROM runs").fetchone() != (count,):
        sys.exit("not all of them are there")
    return [taken]


def document(path, count):
    """The first two write, the others read."""
    keeper = make(path)
    keeper.execute("INSERT INTO entries VALUES ('document', 'READY', 'first', 1)")
    select = "SELECT value, generation FROM entries WHERE key = 'document'"

    def body(process, start):
        connection = connect(path)

        def use(_):
            _, generation = connection.execute(select).fetchone()
            if process < 2:
                connection.execute(
                    "UPDATE entries SET value = ?, generation = generation + 1 WHERE key = 'document' AND generation = ?",
                    (f"by {process}", generation))

        sleep_until(start)
        return [rate(use)]

    means = [1000 / numbers[0] for numbers in together(count, body)]
    keeper.close()
    return [statistics.mean(means[2:]), statistics.mean(means[:2])]


def bulk(path, _):
    connection = make(path)
    keys = [f"document-{i}" for i in range(1000)]
    moments = [time.monotonic()]
    for key in keys:
        if not claim(connection, key):
            sys.exit("taken")
        connection.execute("UPDATE entries SET state = 'READY', value = 'first' WHERE key = ? AND generation = 1", (key,))
    moments.append(time.monotonic())
    for key in keys:
        value, generation = connection.execute("SELECT value, generation FROM entries WHERE key = ?", (key,)).fetchone()
        connection.execute(
            "UPDATE entries SET value = 'second', generation = generation + 1 WHERE key = ? AND generation = ?",
            (key, generation))
    moments.append(time.monotonic())
    for key in keys[:500]:
        connection.execute("DELETE FROM entries WHERE key = ?", (key,))
    moments.append(time.monotonic())
    return [after - before for before, after in zip(moments, moments[1:])]


KINDS = {
    "claims": claims, "reads": reads, "different": different, "contention": contention, "statistics": counted,
    "record": record, "bulk": bulk, "document": document}


def main():
    if sys.argv[1:] == ["version"]:
        print(sqlite3.sqlite_version_info[0])
        return
    directory, kind = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="sqlite-", dir=directory) as home:
        count = int(sys.argv[3]) if len(sys.argv) > 3 else 0
        print(*KINDS[kind](f"{home}/database", count))


if __name__ == "__main__":
    main()
