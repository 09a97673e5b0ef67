"""Times taking and releasing a lock that nobody else wants: by the library, by three bare system calls in C,
and by the Python packages fasteners and filelock.

    locks.py BENCH [--rounds N] [--directory DIR]

BENCH is the program `flock-cache-bench`. Each is measured in turn, N times (5), and the medians compared.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

import fasteners
import filelock


def timed(lock, count=3000):
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        lock.acquire()
        lock.release()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default="/dev/shm")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="flock-cache-locks-", dir=options.directory)
    times = {name: [] for name in ("flock-cache", "C", "fasteners", "filelock")}
    try:
        for _ in range(options.rounds):
            done = subprocess.run(
                [options.bench, "locks", options.directory, "3000"], capture_output=True, text=True,
                check=True)
            alone = re.search(r"alone +([\d.]+) µs +C ([\d.]+) µs", done.stdout)
            times["flock-cache"].append(float(alone[1]))
            times["C"].append(float(alone[2]))
            times["fasteners"].append(timed(fasteners.InterProcessLock(f"{directory}/fasteners")))
            times["filelock"].append(timed(filelock.FileLock(f"{directory}/filelock")))
    finally:
        shutil.rmtree(directory)
    ours = statistics.median(times["flock-cache"])
    print(f"take and release a lock, {options.rounds} rounds, medians; times flock-cache's")
    print(f"  fasteners {version('fasteners')}, filelock {version('filelock')}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:12} {median:6.2f} µs   {median / ours:5.2f}")
    print("  bounds: C 0.67 at least, fasteners 5, filelock 15")


if __name__ == "__main__":
    main()
