#!/usr/bin/env python3
"""Kills, or stops, `lock` at every system call of its own, alone and while it waits in the queue.

With `-F` COMMAND is executed in its place, and a guardian of its own keeps the lock as well.

After each kill: the lock is free, its COMMAND is gone or never began, and whoever waits gets the lock soon.
While one is stopped in the queue, whoever waits behind it gets the lock soon after it was released; where
the stopped one has the lock itself, the others' waits end in time, and it goes on when it may.

With --quick a sample of the calls.
"""

import os
import re
import signal
import struct
import subprocess
import fcntl
import threading
import time

import rig as torture
from run import killed, trace
from rig import KEY, ENVIRONMENT, Store, check

HASH = 0xCBF29CE484222325
for byte in KEY.encode():
    HASH = (HASH ^ byte) * 0x100000001B3 % 2**64


def is_locked(store):
    """Whether anybody holds the lock, as the kernel says."""
    path = os.path.join(store.path, "locks", f"{HASH & 63:02x}")
    if not os.path.exists(path):
        return False
    with open(path, "r+b") as file:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, HASH >> 6, 1, 0)
        return struct.unpack("hhqqi4x", fcntl.fcntl(file, 36, lock))[0] != fcntl.F_UNLCK


def until(condition, what):
    end = time.monotonic() + 20
    while not condition():
        check(time.monotonic() < end, f"in vain: {what}")
        time.sleep(0.001)


class Holder:
    """Holds the lock until told otherwise."""

    def __init__(self, store):
        self.process = subprocess.Popen(
            store.command("lock", KEY, "--", "cat"), stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        until(lambda: is_locked(store), "the holder gets the lock")

    def release(self):
        self.process.stdin.close()
        check(self.process.wait(timeout=20) == 0, "the holder ended badly")


class Waiter:
    """Waits for the lock, in the queue."""

    def __init__(self, store, limit):
        self.process = subprocess.Popen(
            store.command("lock", "-w", limit, KEY, "--", "true"), stderr=subprocess.PIPE,
            env=ENVIRONMENT)

    def end(self):
        error = self.process.communicate(timeout=30)[1]
        return self.process.returncode, error.decode()


def victim_of(store, *options):
    return store.command("lock", "-w", "20s", *options, KEY, "--", "sleep", "0.05")


class Stopped:
    """A run that was stopped after a call, or had ended before it; without its COMMAND."""

    def __init__(self, arguments, point):
        reading, writing = os.pipe()
        inject = f"inject={point.name}:signal=STOP:when={point.number}"
        self._process = subprocess.Popen(
            ["strace", "-o", f"/dev/fd/{writing}", "-e", f"trace={point.name}", "-e", inject,
             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
            pass_fds=[writing])
        os.close(writing)
        self._log = os.fdopen(reading, errors="replace")
        self.pid = None
        if any("--- stopped by SIGSTOP ---" in line for line in self._log):
            tracer = self._process.pid
            with open(f"/proc/{tracer}/task/{tracer}/children", encoding="ascii") as file:
                self.pid = int(file.read().split()[0])

    def finish(self):
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)
        self.output, error = self._process.communicate(timeout=30)
        self._log.close()
        return self._process.returncode, error.decode()


def attack_kill(rig, point, queued, *options):
    store = Store(rig, rig.path("lock"))
    store.must("init")
    holder = Holder(store) if queued else None
    victim = subprocess.Popen(
        killed(victim_of(store, *options), point), stderr=subprocess.PIPE, env=ENVIRONMENT)
    waiter = Waiter(store, "20s")
    if queued:
        until(lambda: victim.poll() is not None or waiting(store) > 1, "two wait")
        holder.release()
    start = time.monotonic()
    code, error = waiter.end()
    seconds = time.monotonic() - start
    victim.communicate(timeout=30)
    check(code == 0, f"who waited ended with {code}: {error}")
    check(seconds < 1.5, f"who waited took {seconds:.2f} s")
    until(lambda: not is_locked(store), "the lock is free")
    store.remove()
    return victim.returncode


def waiting(store):
    """How many wait, as `who` says."""
    for line in store.run("who", KEY).out.decode().splitlines():
        count = line.split("\t")[6]
        return 0 if count == "-" else int(count)  # before there is a board nobody knows
    return 0


def attack_stop(rig, point, queued, *options):
    store = Store(rig, rig.path("lock"))
    store.must("init")
    if queued:
        # The lock is released while the victim waits; where it is stopped before that, it has its
        # ticket or not.
        holder = Holder(store)
        releasing = threading.Timer(0.15, holder.release)
        releasing.start()
        stopped = Stopped(victim_of(store, *options), point)
        releasing.join()
    else:
        stopped = Stopped(victim_of(store, *options), point)
    has_it = stopped.pid is not None and is_locked(store)
    waiter = Waiter(store, "300ms" if has_it else "20s")
    start = time.monotonic()
    code, error = waiter.end()
    seconds = time.monotonic() - start
    first = stopped.finish()
    check(code == (124 if has_it else 0), f"who waited ended with {code}: {error}")
    check(seconds < 1, f"who waited took {seconds:.2f} s")
    check(first[0] == 0, f"the stopped one ended with {first}")
    # With -F the guardian may have to run first.
    until(lambda: not is_locked(store), "the lock is free")
    store.remove()
    return stopped.pid


def main():
    rig = torture.Rig(__doc__)
    for queued, options in (False, []), (True, []), (False, ["-F"]):
        model = Store(rig, rig.path("model"))
        model.must("init")
        if queued:
            holder = Holder(model)
            releasing = subprocess.Popen(
                ["sh", "-c", "sleep 0.2; kill -KILL " + str(holder.process.pid)])
        points = trace(victim_of(model, *options), rig.path("trace"))
        points = [p for p in points if p.name != "exit_group"]
        if queued:
            releasing.wait()
            holder.process.wait()
        where = "in the queue" if queued else "in place" if options else "alone"
        for name, attack in ("kill", attack_kill), ("stop", attack_stop):
            title = f"{name} lock, {where}"
            if not re.search(rig.options.only, title):
                continue
            cases = [
                (f"{p.name} {p.number}, {p.line[:90]}", rig, p, queued, *options)
                for p in rig.sample(points, 25)]
            results = rig.each(title, cases, attack)
            if name == "kill":
                rig.attempt(f"{title}: kills", check_hits, results, -signal.SIGKILL)
            else:
                rig.attempt(f"{title}: stops", check_stops, results)
    rig.finish()


def check_hits(results, wanted):
    """An attack that reaches nobody shows nothing."""
    hits = results.count(wanted)
    check(hits > len(results) / 3, f"only {hits} of {len(results)} were killed")


def check_stops(results):
    hits = sum(pid is not None for pid in results)
    check(hits > len(results) / 3, f"only {hits} of {len(results)} were stopped")


if __name__ == "__main__":
    main()
