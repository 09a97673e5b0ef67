"""What users would otherwise pick, beside ours in one run: Python's fasteners, filelock, portalocker and diskcache.

    peers.py BENCH [--rounds N] [--directory DIR]

BENCH is the program `flock-cache-bench`, by which ours and the floor in C are measured. Each is measured in turn, N times
(5), and the medians compared. A package that is not installed is left out and named.
"""

import argparse
import importlib
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version

PACKAGES = ("fasteners", "filelock", "portalocker", "diskcache")
VALUE = b"file-0123456789abcdef0123456789abcdef"


def median_of(body, count):
    """The median time of a call of `body`, which is given a number, in microseconds."""
    times = []
    for number in range(count):
        start = time.perf_counter_ns()
        body(number)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def take_and_release(lock):
    def body(_):
        lock.acquire()
        lock.release()

    return body


class Ours:
    """Ours and the floor, measured by the benchmark."""

    def __init__(self, bench, directory):
        self.bench, self.directory = bench, directory

    def locks(self):
        done = self.run("locks", "3000")
        words = next(line for line in done.splitlines() if line.strip().startswith("alone")).split()
        return {"flock-cache": float(words[1]), "C": float(words[4])}

    def values(self):
        rows = json.loads(self.run("life", "3000", "--json"))
        return {
            (row["step"], row["of"]): row["p50_ns"] / 1000
            for row in rows
            if row["of"] in ("ours", "sqlite")
        }

    def run(self, subject, *arguments):
        return subprocess.run(
            [self.bench, subject, self.directory, *arguments],
            capture_output=True, text=True, check=True).stdout


def measure(options, here, directory):
    ours = Ours(options.bench, options.directory)
    locks, values = {}, {}
    rivals = {}
    if "fasteners" in here:
        rivals["fasteners"] = here["fasteners"].InterProcessLock(f"{directory}/fasteners")
    if "filelock" in here:
        rivals["filelock"] = here["filelock"].FileLock(f"{directory}/filelock")
    if "portalocker" in here:
        rivals["portalocker"] = here["portalocker"].Lock(f"{directory}/portalocker")
    cache = here["diskcache"].Cache(f"{directory}/diskcache") if "diskcache" in here else None
    for turn in range(options.rounds):
        for name, number in ours.locks().items():
            locks.setdefault(name, []).append(number)
        for name, lock in rivals.items():
            locks.setdefault(name, []).append(median_of(take_and_release(lock), 3000))
        for (step, side), number in ours.values().items():
            name = {"ours": "flock-cache", "sqlite": "SQLite in C"}[side]
            values.setdefault(step, {}).setdefault(name, []).append(number)
        if cache is not None:
            steps = {
                # The first to add a key has it, as the winner of a claim.
                "claim": lambda number: cache.add(f"{turn}-{number}", VALUE),
                "get": lambda number: cache.get(f"{turn}-{number}"),
                "put, over a value": lambda number: cache.set(f"{turn}-{number}", VALUE),
                "remove": lambda number: cache.delete(f"{turn}-{number}"),
                "increment": lambda _: cache.incr("counter"),
            }
            for step, body in steps.items():
                values[step].setdefault("diskcache", []).append(median_of(body, 1000))
    if cache is not None:
        cache.close()
    return locks, values


def tell(title, times):
    print(title)
    ours = statistics.median(times["flock-cache"])
    for name, numbers in times.items():
        median = statistics.median(numbers)
        print(f"  {name:12} {median:8.2f} µs   {median / ours:6.2f} times flock-cache")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default="/dev/shm")
    options = parser.parse_args()
    here = {}
    for name in PACKAGES:
        try:
            here[name] = importlib.import_module(name)
        except ImportError:
            print(f"{name} is not installed: left out")
    print("beside " + ", ".join(f"{name} {version(name)}" for name in here))
    directory = tempfile.mkdtemp(prefix="flock-cache-peers-", dir=options.directory)
    try:
        locks, values = measure(options, here, directory)
    finally:
        shutil.rmtree(directory)
    tell("take and release a lock that nobody else wants", locks)
    print("  bounds: C 0.67 at least, fasteners 5, filelock 15")
    for step in ("claim", "get", "put, over a value", "remove", "increment"):
        tell(f"{step} (diskcache: in Python, its default settings)", values[step])


if __name__ == "__main__":
    main()
