#!/usr/bin/env python3
"""100 processes that run at once and append one record each: the command beside sqlite3(1).

    journals.py COMMAND [ROUNDS]

Prints the medians of the time from the first start to the last end, done in turn; the bound is half of sqlite3's.
Without sqlite3 there is nothing to compare with, and only ours is printed.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PROCESSES = 100
SETTINGS = ".timeout 60000\nPRAGMA synchronous=NORMAL;\n"


def together(commands, inputs=None):
    start = time.monotonic()
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for command in commands]
    for child in children:
        if inputs:
            child.stdin.write(inputs)
        child.stdin.close()
    codes = [child.wait() for child in children]
    if any(codes):
        sys.exit(f"failed: {codes}")
    return time.monotonic() - start


def main():
    command, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    text = "r" * 96
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as home:
        store, database = f"{home}/store", f"{home}/database"
        ours = [[command, "--store", store, "journal", "append", "log", text]] * PROCESSES
        sqlite = shutil.which("sqlite3")
        if sqlite:
            subprocess.run(
                [sqlite, database, "PRAGMA journal_mode=WAL; CREATE TABLE records (number INTEGER PRIMARY KEY, "
                 "time INTEGER, text TEXT)"], check=True, stdout=subprocess.DEVNULL)
        insert = (SETTINGS + f"INSERT INTO records (time, text) VALUES (unixepoch(), '{text}');\n").encode()
        times = {"ours": [], "sqlite3": []}
        for _ in range(rounds):
            times["ours"].append(together(ours))
            if sqlite:
                times["sqlite3"].append(together([[sqlite, database]] * PROCESSES, insert))
        listed = subprocess.run(
            [command, "--store", store, "journal", "list"], check=True, capture_output=True, text=True)
        last = int(listed.stdout.split("\t")[2])
        if last != PROCESSES * rounds:
            sys.exit(f"{last} records of {PROCESSES * rounds}")
        mine = statistics.median(times["ours"])
        print(f"ours     {mine * 1000:7.1f} ms for {PROCESSES} processes, {last} of {last} records")
        if sqlite:
            theirs = statistics.median(times["sqlite3"])
            print(f"sqlite3  {theirs * 1000:7.1f} ms   ratio {theirs / mine:.2f} (bound 2)")
        else:
            print("sqlite3 is not installed")


if __name__ == "__main__":
    main()
