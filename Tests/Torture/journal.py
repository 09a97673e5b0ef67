#!/usr/bin/env python3
"""Kills the journal commands at every system call of their own, stops them there while a rival appends, and lets
each call fail.

After each, as a reader says that shares no code with the command (Tests/FileFormat):
- what was appended is there whole, next to one another, or not at all; what a command acknowledged is there; a
  failure says that nothing is, or that it does not know;
- trimming has removed the oldest records, and no more than it was asked to;
- numbers have no gaps, the next record gets the next number, and the rival's record is there once.

Segments are small by a limit on file sizes, so that rotation is met. With --quick a sample of the calls.
"""

import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "FileFormat"))

import rig as torture  # noqa: E402
from flock_cache_journal import Cell, Journal  # noqa: E402
from rig import ENVIRONMENT, Store, check  # noqa: E402
from lock import Stopped  # noqa: E402
from run import killed, trace  # noqa: E402

NAME = b"log"
LINES = [f"line {number} of a batch".encode() for number in range(150)]
SEGMENT = 16384
OLD = [f"record {number} ".encode() * 40 for number in range(15)]


class Operation:
    def __init__(self, name, words, appends=(), keeps=None, removes=False, settings=()):
        self.name, self.words, self.appends = name, words, list(appends)
        self.keeps, self.removes, self.settings = keeps, removes, settings


def operations(rig):
    lines, large = rig.path("lines"), rig.path("large-record")
    with open(lines, "wb") as file:
        file.write(b"".join(line + b"\n" for line in LINES))
    big = b"large " * 2000
    with open(large, "wb") as file:
        file.write(big)
    text = ["append", "log", "text"]
    by_lines = ["append", "log", "--lines", "--file", lines]
    return [
        Operation("append", text, [b"text"]),
        Operation("append, durable", text, [b"text"], settings=["--durable"]),
        Operation("lines", by_lines, LINES),
        Operation("lines, durable", by_lines, LINES, settings=["--durable"]),
        Operation("rotation", ["append", "log", "--file", large], [big]),
        Operation("rotation, durable", ["append", "log", "--file", large], [big], settings=["--durable"]),
        Operation("trim", ["trim", "log", "--keep", "20"], keeps=20),
        Operation("trim all", ["trim", "log", "--keep", "0"], keeps=0),
        Operation("remove", ["remove", "log"], keeps=0, removes=True),
    ]


def records(store):
    """Number and payload of every record that is kept."""
    journal = Journal(store.path, NAME)
    if not os.path.isdir(journal.path):
        return []
    found = []
    for first in journal.segments():
        segment = journal.open(first)
        cell, _ = segment.cell()
        for number, _, payload, *_ in segment.records(cell.end):
            found.append((number, payload))
        os.close(segment.file)
    numbers = [number for number, _ in found]
    check(numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True,
          f"the numbers are {numbers}")
    return found


def check_cells(store):
    """Cells are written in turn: beside the one that counts is the one before it."""
    journal = Journal(store.path, NAME)
    segment = journal.open(journal.segments()[-1])
    cell, other = segment.cell()
    former = Cell.parse(os.pread(segment.file, 96, other))
    check(cell.sequence == 1 or former and former.sequence == cell.sequence - 1,
          f"beside cell {cell.sequence} there is {former and former.sequence}")
    os.close(segment.file)


class Appender:
    """A process that appends lines as they come: it has the last segment open all the time."""

    def __init__(self, store):
        self.store = store
        self.process = subprocess.Popen(
            limited(store.command("journal", "append", "log", "--lines")), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.append(b"of one that stays")

    def append(self, line):
        """Returns when it is there."""
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        end = time.monotonic() + 20
        while line not in [payload for _, payload in records(self.store)]:
            check(time.monotonic() < end and self.process.poll() is None, f"{line} was not appended")
            time.sleep(0.002)

    def end(self):
        out, err = self.process.communicate(timeout=20)
        check(self.process.returncode == 0, f"who stayed ended with {self.process.returncode}: {err}")
        return int(out)


def limited(words):
    return ["prlimit", f"--fsize={SEGMENT}", *words]


def arguments(store, operation):
    return limited(store.command("journal", *operation.words))


def prepare(rig, operation, name):
    store = Store(rig, rig.path(name))
    store.must("init", *operation.settings)
    path = rig.path("old")
    with open(path, "wb") as file:
        file.write(b"".join(record + b"\n" for record in OLD))
    for _ in range(4):
        done = torture.run(limited(store.command("journal", "append", "log", "--lines", "--file", path)))
        check(done.code == 0, f"{done}")
    os.unlink(path)
    return store


def added_to(operation, old):
    last = old[-1][0] if old else 0
    return [(last + 1 + index, payload) for index, payload in enumerate(operation.appends)]


def progress(operation, old, new):
    """0 for nothing, 1 for all, -1 for some of a removal."""
    added = added_to(operation, old)
    if operation.keeps is None:
        check(new in (old, old + added), f"{len(old)} records became {len(new)}")
        return int(new != old)
    check(new == old[len(old) - len(new):], f"{len(old)} records became {len(new)}, not the last of them")
    check(len(new) >= operation.keeps, f"{len(new)} records are left")
    return -1 if new else 1


def check_next(operation, store, old, new, appender=None):
    """The next record gets the next number, also of a process that had the journal open before. In a durable store its
    append publishes what was only written.
    """
    if appender:
        appender.append(b"next")
        number = appender.end()
    else:
        done = torture.run(limited(store.command("journal", "append", "log", "next")))
        check(done.code == 0 and done.seconds < 2, f"the next append: {done}")
        number = int(done.out)
    check_cells(store)
    allowed = [new]
    if operation.settings and new == old:
        allowed.append(old + added_to(operation, old))
    if operation.removes and not new:
        # Removed to its last segment it is begun anew.
        numbers = [old[-1][0] + 1, 1]
    else:
        numbers = [(before or old)[-1][0] + 1 for before in allowed]
    check(number in numbers, f"the next got {number}, not one of {numbers}")
    check(records(store) in [[*before, (number, b"next")] for before in allowed],
          "the next append changed something else")
    reaped = store.run("reap")
    check(reaped.code == 0, f"{reaped}")
    left = os.listdir(os.path.join(store.path, "journal", "log"))
    check(all(name.isdigit() for name in left), f"reap left {left}")


def kill(rig, operation, point):
    store = prepare(rig, operation, "killed")
    appender = Appender(store)
    old = records(store)
    victim = subprocess.run(
        killed(arguments(store, operation), point), capture_output=True, env=ENVIRONMENT, timeout=60,
        check=False)
    new = records(store)
    found = progress(operation, old, new)
    if operation.keeps is None and victim.stdout.endswith(b"\n"):
        check(found == 1, f"told {victim.stdout}, and nothing was appended")
    check_next(operation, store, old, new, appender)
    store.remove()
    return victim.returncode


ERRORS = ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "EROFS", "ENOLCK"]
HARMLESS = re.compile(
    r"get(e?[ug]id|p?pid|tid)|exit_group|brk|mmap|munmap|mprotect|futex|rt_sig\w+|sched_\w+|close")
UNKNOWN = b"may become record"


def fail(rig, operation, point, error, lasts):
    store = prepare(rig, operation, "failed")
    old = records(store)
    done = torture.run(
        torture.faulty(arguments(store, operation), point, f"error={error}", times="+" * lasts))
    new = records(store)
    found = progress(operation, old, new)
    if done.code == 0:
        check(found == 1 or operation.keeps is not None, f"success, and nothing was appended: {done}")
    else:
        check(done.code in (66, 69, 71, 73, 74, 77, 78, 124), f"ended with {done}")
        # Of lines the number of the last that was appended is told, also where a failure comes behind it.
        is_told = bool(new) and done.out == b"%d\n" % new[-1][0]
        check(found != 1 or operation.keeps is not None or UNKNOWN in done.err or is_told
              or point.name == "write", f"a failure, and it was appended: {done}")
    check_next(operation, store, old, new)
    store.remove()


def stop(rig, operation, point):
    """The rival ends before the stopped one goes on, or when that has given the lock back."""
    store = prepare(rig, operation, "stopped")
    old = records(store)
    victim = Stopped(arguments(store, operation), point)
    rival = subprocess.Popen(
        limited(store.command("journal", "append", "log", "rival")), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=ENVIRONMENT)
    try:
        rival.wait(0.3)
    except subprocess.TimeoutExpired:
        pass  # it waits for the lock
    code, err = victim.finish()
    rival_out, rival_err = rival.communicate(timeout=60)
    check(code == 0, f"the stopped one ended with {code}: {err}")
    check(rival.returncode == 0, f"the rival ended with {rival.returncode}: {rival_err}")
    new = records(store)
    check([payload for _, payload in new].count(b"rival") <= 1, "the rival's record is there twice")
    if operation.keeps is None:
        added = [payload for number, payload in new if number > old[-1][0]]
        check(added in ([b"rival", *operation.appends], [*operation.appends, b"rival"]),
              f"{len(added)} records were appended")
        told = [int(victim.output), int(rival_out)]
        # Each is told the number of its last record.
        expected = [number for number, payload in new if number > old[-1][0]
                    and payload in (b"rival", operation.appends[-1])]
        check(sorted(told) == expected, f"told {told}, not {expected}")
    store.remove()


def check_kills(codes):
    kills = codes.count(-signal.SIGKILL)
    check(kills > len(codes) * 2 / 3, f"only {kills} of {len(codes)} were killed")


def main():
    rig = torture.Rig(__doc__)
    for operation in operations(rig):
        if not re.search(rig.options.only, f"journal {operation.name}"):
            continue
        model = prepare(rig, operation, "model")
        points = trace(arguments(model, operation), rig.path("trace"))
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", rig, operation, p) for p in points]
        killed_at = rig.sample(cases, 30)
        rig.attempt(f"kill journal {operation.name}: kills", check_kills,
                    rig.each(f"kill journal {operation.name}", killed_at, kill))
        rig.each(f"stop journal {operation.name}", rig.sample(cases, 12), stop)
        errors = [
            (f"{p.name} {p.number}{'+' * lasts} {error}, {p.line[:90]}", rig, operation, p, error, lasts)
            for p in torture.first_and_last(points) if not HARMLESS.fullmatch(p.name)
            for error in ERRORS for lasts in (False, True)]
        rig.each(f"errno journal {operation.name}", rig.sample(errors, 40), fail)
        model.remove()
    rig.finish()


if __name__ == "__main__":
    main()
