"""What the torture scripts share: stores, owners, faults at a system call, running and counting.

Each script takes the command's path as its first argument. It attacks the shipped binary from outside:
strace(1) puts a signal or an error at the k-th call of a name, both taken from one trace of a run
without faults. Calls before the command's own first one (the C and Swift runtimes starting) are left
out: they are not of this program, and nothing of a store is open yet.
"""

import argparse
import atexit
import concurrent.futures
import fcntl
import itertools
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, namedtuple

import oracle

KEY = "k"
# Another key of the same shard, which nothing may change: found by counting.
NEIGHBOURS = [n for n in map("n{}".format, range(2000)) if oracle.shard_of(n) == oracle.shard_of(KEY)]

Result = namedtuple("Result", "code out err seconds")
# The k-th call of that name; the line of the trace says what it does.
Point = namedtuple("Point", "name number line")

# Hash seeds decide in which order names are visited; a trace is only of use for runs that are alike.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "SWIFT_DETERMINISTIC_HASHING": "1",
    "SWIFT_BACKTRACE": "enable=no",
}


def run(arguments, **options):
    start = time.monotonic()
    done = subprocess.run(
        arguments, capture_output=True, env=ENVIRONMENT, timeout=30, check=False, **options)
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


class Wrong(Exception):
    """What a store or a command must not be."""


def check(condition, message):
    if not condition:
        raise Wrong(message)


def brief(value):
    text = repr(value)
    return text if len(text) < 160 else text[:150] + "…"


# -- Owners -----------------------------------------------------------------------------------------


class Owner:
    """A process to own claims, alive until told otherwise. It ends with us: its input closes."""

    def __init__(self):
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.pid = str(self.process.pid)

    @property
    def is_live(self):
        return self.process.returncode is None

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


# -- Stores -----------------------------------------------------------------------------------------


class Store:
    def __init__(self, rig, path):
        self.rig, self.path = rig, path

    def command(self, *arguments):
        return [self.rig.command, "--store", self.path, *map(str, arguments)]

    def run(self, *arguments):
        return run(self.command(*arguments))

    def must(self, *arguments, code=0):
        """Runs what cannot fail; returns what it prints."""
        done = self.run(*arguments)
        if done.code != code:
            raise RuntimeError(f"{arguments} ended with {done.code}: {done.err.decode()}")
        return done.out.decode().strip()

    def claim(self, owner, key=KEY, *options):
        return int(self.must("claim", key, "--owner", owner.pid, *options))

    def publish(self, value, key=KEY):
        """A READY entry; its owner does not matter."""
        generation = self.claim(self.rig.keeper, key)
        self.must("finalize", key, value, "--generation", generation)
        return generation

    def view(self):
        return oracle.View(self.path)

    def wrong_blocks(self, view):
        return oracle.wrong_blocks(self.path, view)

    def copy(self, path):
        """A copy that counts as this very store: its header is made to name its own file, and its blocks its own
        directories. (Without that the first opener declares every block unknown, which hides what a change did
        to them.)
        """
        if os.path.isdir(self.path):
            shutil.copytree(self.path, path)
            shards = os.path.join(path, "locks", "shards")
            if os.path.exists(shards) and os.path.getsize(shards) >= 64:
                with open(shards, "rb") as file:
                    # One that was not written yet stays so.
                    is_written = file.read(11) == oracle.header(shards)[:11]
                if is_written:
                    oracle.adopt(path)
        return Store(self.rig, path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def is_locked(self):
        """Whether somebody holds the mutex of any shard, the header's, or a torn marker's, as the
        kernel says.
        """
        return any(map(self._is_locked, (os.path.join("locks", "shards"), "flock-cache")))

    def _is_locked(self, name):
        path = os.path.join(self.path, name)
        if not os.path.exists(path):
            return False
        with open(path, "r+b") as file:
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, 36, lock)  # F_OFD_GETLK
            return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK


# -- Faults -----------------------------------------------------------------------------------------

_CALL = re.compile(r"\d+ +([a-z0-9_]+)\(")
# Calls that change what a store holds. Killed before any other, a store is as it is before the next
# of these.
CHANGES = re.compile(
    r"write|pwrite|rename|unlink|link|mkdir|ftruncate|O_CREAT|fsync|fdatasync|utimensat|exit_group")


def trace(arguments, log, first='fcntl(0, F_GETFD'):
    """Every call from the command's own first one on, of a run without faults, and its result."""
    done = run(["strace", "-f", "-o", log, *arguments])
    counts, points, begun = Counter(), [], False
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            call = _CALL.match(line)
            if not call or call[1] == "execve":
                continue
            counts[call[1]] += 1
            begun = begun or first in line
            # A call that is newer than strace(1) can be traced, by its number, but not injected into: statmount(2),
            # which changes nothing.
            if begun and not call[1].startswith("syscall_"):
                points.append(Point(call[1], counts[call[1]], line.split(" ", 1)[1].strip()))
    assert points, f"nothing traced: {done.err.decode()}"
    return points, done


# Where the store is first named; before, nothing of it is known.
_STORE_OPENED = re.compile(r'openat\(AT_FDCWD, "[^"]*", O_RDONLY\|O_CLOEXEC\|O_DIRECTORY')


def from_store(points):
    """Those from where the store is opened on."""
    return list(itertools.dropwhile(lambda p: not _STORE_OPENED.search(p.line), points))


def first_and_last(points):
    """Of each row of calls of one name the first two and the last two."""
    rows = [list(row) for _, row in itertools.groupby(points, lambda point: point.name)]
    return [p for row in rows for p in (row if len(row) <= 4 else row[:2] + row[-2:])]


def faulty(arguments, point, fault, log=os.devnull, times=""):
    """The command line that runs with a fault at a point; `times` is strace's "+" or "..N"."""
    inject = f"inject={point.name}:{fault}:when={point.number}{times}"
    # Twice as fast, but strace 6.1 then forgets signals.
    quickly = ["--seccomp-bpf"] if fault.startswith("error") else []
    return [
        "strace", "-f", *quickly, "-o", log, "-e", f"trace={point.name}", "-e", inject, *arguments]


# -- Running and counting ---------------------------------------------------------------------------


class Rig:
    def __init__(self, doc, argument="command", where="/dev/shm"):
        parser = argparse.ArgumentParser(
            description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument(argument, help="path of the static release command")
        parser.add_argument("--quick", action="store_true", help="the sample described above")
        parser.add_argument(
            "--part", type=int, default=1, metavar="N", help="of the cases of each attack one in N, by the seed")
        parser.add_argument("--only", default="", help="scenarios whose name matches this pattern")
        parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
        parser.add_argument("--jobs", type=int, default=os.cpu_count())
        self.options = parser.parse_args()
        if not shutil.which("strace"):
            sys.exit("strace is missing: install it")
        self.command = os.path.abspath(getattr(self.options, argument))
        self.quick, self.random = self.options.quick, random.Random(self.options.seed)
        self._lock, self._count, self.owners = threading.Lock(), 0, []
        self.passed = self.failed = 0
        self._start = time.monotonic()
        self.home = self.stores = tempfile.mkdtemp(prefix="torture-", dir=where)
        self.settings = ()  # of the stores that are made
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        print(f"seed {self.options.seed}")
        self.keeper = self.new_owner()
        self.large = self.random.randbytes(300_000)
        self.large_file = self.path("large")
        with open(self.large_file, "wb") as file:
            file.write(self.large)

    def close(self):
        for owner in self.owners:
            owner.end()
        shutil.rmtree(self.home, ignore_errors=True)

    def new_owner(self):
        owner = Owner()
        with self._lock:
            self.owners.append(owner)
        return owner

    def path(self, name):
        """A path never used before."""
        with self._lock:
            self._count += 1
            return os.path.join(self.stores, f"{name}-{self._count}")

    def prepared(self, scenarios, names=()):
        """Those asked for, each when it has been prepared."""
        for scenario in scenarios:
            wanted = scenario.name in names or not names
            if wanted and re.search(self.options.only, scenario.name):
                label = f"{scenario.name} without a fault"
                if self.attempt(label, scenario.prepare, self):
                    yield scenario

    def sample(self, items, most):
        """All of them; with --quick no more than that many, chosen by the seed, in their order."""
        if not self.quick or len(items) <= most:
            return items
        return [items[i] for i in sorted(self.random.sample(range(len(items)), most))]

    def attempt(self, label, body, *arguments):
        """Runs one case and counts it; returns what it returned, None if it went wrong."""
        try:
            value = body(*arguments)
        except Exception as wrong:  # whatever it is, it is not what it must be
            with self._lock:
                self.failed += 1
                kind = "" if isinstance(wrong, Wrong) else f"{type(wrong).__name__}: "
                print(f"FAILED {label}: {kind}{wrong}", flush=True)
            return None
        with self._lock:
            self.passed += 1
        return value

    def each(self, title, cases, body, whole=False):
        """Runs `body(*case)` for cases `(label, …)`, some at once; what went wrong is None.

        With --part a part of them, unless all are asked for.
        """
        start, failed = time.monotonic(), self.failed
        if self.options.part > 1 and not whole:
            count = -(-len(cases) // self.options.part)
            cases = [cases[i] for i in sorted(self.random.sample(range(len(cases)), count))]
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            futures = [
                pool.submit(self.attempt, f"{title}: {label}", body, *rest) for label, *rest in cases]
            values = [future.result() for future in futures]
        seconds = time.monotonic() - start
        print(f"{title}: {len(cases)} cases, {self.failed - failed} failed, {seconds:.1f} s",
              flush=True)
        return values

    def finish(self):
        print(f"{time.monotonic() - self._start:.1f} s")
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


# -- What holds whenever nobody is in a change ------------------------------------------------------


def check_counts(store, view):
    """`stats` says what the files say, and so does each block that claims to know."""
    wrong = store.wrong_blocks(view)
    check(not wrong, "; ".join(wrong))
    done = store.run("stats")
    check(done.code == 0 and done.out == view.stats, f"stats says {done.out}, files {view.stats}")
    check(not done.err, f"stats says {done.err}")
    check(done.seconds < 1, f"stats took {done.seconds:.1f} s")


def check_next_claim(store, view, live, highest=0):
    """The next to claim gets at once what the files say: the value, the holder, or the win."""
    ready, pending = view.keys.get(KEY, (None, None))
    rival = store.rig.keeper
    done = store.run("claim", KEY, "--owner", rival.pid)
    check(done.seconds < 1, f"the next claim took {done.seconds:.1f} s")
    if ready and ready[0] == "ready":
        check(done.code == 1, f"the next claim of a READY key ended with {done.code}")
        check(done.out == ready[2], "the next claim got another value than is there")
        return
    if pending and pending[0] == "claim" and str(pending[2]) in live:
        check((done.code, done.out) == (75, b""), f"a live claim, but the next got {done.code}")
        return
    check(done.code == 0, f"nobody has it, but the next claim got {done.code}: {done.err.decode()}")
    generation = int(done.out)
    highest = max([highest, *view.generations])
    check(generation > highest, f"generation {generation} is not above {highest}")
    after = store.view()
    mine = ("claim", generation, int(rival.pid))
    check(after.keys[KEY] == (None, mine), f"won, but the files say {brief(after.keys[KEY])}")
    wrong = store.wrong_blocks(after)
    check(not wrong, "; ".join(wrong))
