"""Times whole processes: `flock-cache claim` of a fresh key, `get` and `lock` with a command, beside a static C
program that creates, writes and closes one file, `flock -n FILE true`, GNU parallel's `sem` and the `sqlite3` command.
What is not installed is left out and named.

    startup.py COMMAND [--runs N] [--directory DIR]

Each is run once in turn, N times (1000), and the medians are compared. The directories of all shards
are there before: a store that is in use has them. The programs are copied to the disk first, as installing
does: a linker's output lies in the page cache in small pieces, and then starting it takes half as long
again (103 page faults where the copy has 67 to 90).
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def timed(arguments, environment, null):
    start = time.perf_counter_ns()
    actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    process = os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)
    _, status = os.waitpid(process, 0)
    duration = time.perf_counter_ns() - start
    if status != 0:
        sys.exit(f"{arguments} ended with {status}")
    return duration


def add_sem(rivals, environment):
    sem = shutil.which("sem")
    if sem is None:
        print("  sem (GNU parallel) is not installed: left out")
        return
    # It asks to be cited until this file is there.
    os.makedirs(os.path.join(environment["HOME"], ".parallel"), exist_ok=True)
    with open(os.path.join(environment["HOME"], ".parallel", "will-cite"), "w"):
        pass
    rivals["sem --fg true"] = lambda run: [sem, "--fg", "--id", "lock", "true"]


def add_sqlite(rivals, database):
    sqlite = shutil.which("sqlite3")
    if sqlite is None:
        print("  sqlite3 is not installed: left out")
        return
    subprocess.run(
        [sqlite, database, "PRAGMA journal_mode=WAL; CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT);"
         "INSERT INTO entries VALUES ('value', 'text')"],
        check=True, stdout=subprocess.DEVNULL)
    rivals["sqlite3 INSERT"] = lambda run: [
        sqlite, database, f"PRAGMA synchronous=NORMAL; INSERT INTO entries VALUES ('key-{run}', 'pid 4711')"]
    rivals["sqlite3 SELECT"] = lambda run: [
        sqlite, database, "SELECT value FROM entries WHERE key = 'value'"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--directory", default="/dev/shm")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    directory = tempfile.mkdtemp(prefix="flock-cache-startup-", dir=options.directory)
    programs = tempfile.mkdtemp(prefix="flock-cache-startup-")
    try:
        floor = os.path.join(programs, "floor")
        command = os.path.join(programs, "flock-cache")
        subprocess.run(
            ["cc", "-O2", "-static", "-s", "-o", floor, os.path.join(here, "floor.c")], check=True)
        subprocess.run(["cp", options.command, command], check=True)
        store = os.path.join(directory, "store")
        environment = {"FLOCK_CACHE_DIR": store, "PATH": os.environ["PATH"]}
        null = os.open("/dev/null", os.O_RDWR)
        timed([command, "claim", "first"], environment, null)
        timed([command, "put", "value", "text"], environment, null)
        for shard in range(256):
            os.makedirs(os.path.join(store, "entries", f"{shard:02x}"), mode=0o700, exist_ok=True)
        lock = shutil.which("flock")
        rivals = {
            "C: create, write, close": lambda run: [floor, os.path.join(directory, f"file-{run}")],
            "flock-cache claim KEY": lambda run: [command, "claim", f"key-{run}"],
            "flock-cache get KEY": lambda run: [command, "get", "value"],
            "flock-cache lock KEY true": lambda run: [command, "lock", "key", "--", "true"],
            "flock-cache version": lambda run: [command, "version"],
        }
        if lock:
            rivals["flock -n FILE true"] = lambda run: [
                lock, "-n", os.path.join(directory, "lock"), "true"]
        environment["HOME"] = directory
        add_sem(rivals, environment)
        add_sqlite(rivals, os.path.join(directory, "database"))
        times = {name: [] for name in rivals}
        for run in range(options.runs):
            for name, arguments in rivals.items():
                times[name].append(timed(arguments(run), environment, null))
        base = statistics.median(times["C: create, write, close"])
        print(f"whole processes, {options.runs} runs each, medians; ratio to C")
        for name, durations in times.items():
            median = statistics.median(durations)
            print(f"  {name:26} {median / 1e6:.3f} ms   ratio {median / base:.2f}")
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(programs)


main()
