"""Histories of a store: commands one after another, what was acknowledged when, and what a power cut may
leave of it.
"""

import ctypes
import os
from collections import namedtuple

import oracle
import rig as torture
from rig import KEY, NEIGHBOURS, Store, brief, check

KEYS = [KEY, NEIGHBOURS[0], "elsewhere"]
NUMBERS = ["number", NEIGHBOURS[1]]
LEASES = ["lease", KEY]
LONG = "1h"
# The codes that say "not this store": after a power cut nobody may hear them.
REFUSED = {66, 69, 70, 73, 74, 77, 78, 124, 125}
_LIBC = ctypes.CDLL(None, use_errno=True)

# What the files say of a key or a lease; `mark` is how much the disk had been sent when the command that
# led to it was acknowledged.
Step = namedtuple("Step", "words mark keys leases records")


def look(path):
    view = oracle.View(path)
    leases = {name: oracle.lease(path, name) for name in LEASES}
    return {key: view.keys.get(key, (None, None)) for key in [*KEYS, *NUMBERS, "computed"]}, leases


class History:
    """Runs commands on a new store of a recording disk, with syncs of this and that in between: they
    write some of it to the device before the rest, as time does.
    """

    def __init__(self, rig, random, disk, is_durable, length):
        self.rig, self.random, self.disk, self.is_durable = rig, random, disk, is_durable
        self.store = Store(rig, os.path.join(disk.mount, "store"))
        self.values, self.granted, self.claimed = {}, {}, {}
        # Of the journal: what was appended as each number.
        self.records = {}
        disk.begin()
        disk.attach()
        try:
            self.steps = [Step(["nothing"], 0, *look(self.store.path), {})]
            if is_durable or random.random() < 0.5:
                self._step("init", *rig_settings(is_durable))
            for _ in range(length):
                self._anything()
                self._write_some()
            disk_sync(disk.mount)
        finally:
            disk.detach()
        self.log = disk.take_log()

    def _step(self, *words, codes=(0,)):
        done = self.store.run(*words)
        check(done.code in codes, f"{words} ended with {done.code}: {done.err.decode()}")
        self.steps.append(
            Step(words, len(self.disk.log), *look(self.store.path), dict(self.records)))
        return done

    # -- What is done --

    def _anything(self):
        self.random.choice([
            self._claim, self._claim, self._finalize, self._finalize, self._finalize, self._abandon,
            self._remove, self._run, self._acquire, self._acquire, self._renew, self._renew,
            self._release, self._lock, self._put, self._put, self._increment, self._increment,
            self._increment, self._append, self._append, self._append_lines])()

    def _claim(self, key=None):
        key = key or self.random.choice(KEYS)
        owner = self.rig.keeper
        if self.random.random() < 0.3:
            owner = self.rig.new_owner()  # which ends, so that the next takes over
        anew = ["--max-age", "0"] if self.random.random() < 0.5 else []
        done = self._step("claim", key, "--owner", owner.pid, *anew, codes=(0, 1, 75))
        if done.code == 0:
            self.claimed[key] = int(done.out)
        if owner is not self.rig.keeper:
            owner.end()

    def _finalize(self):
        if not self.claimed:
            self._claim()
        for key, generation in list(self.claimed.items())[:1]:
            size = self.random.choice([9, 100, 5_000, 40_000])
            value = f"{key} {generation} ".encode() * (1 + size // 20)
            path = self.rig.path("value")
            with open(path, "wb") as file:
                file.write(value)
            self.values.setdefault(key, set()).add(value)
            self._step("finalize", key, "--file", path, "--generation", generation, codes=(0, 76))
            os.unlink(path)
            del self.claimed[key]

    def _put(self):
        key = self.random.choice([*KEYS, *NUMBERS])
        value = f"{len(self.steps)}".encode()
        if key not in NUMBERS:
            value = value * self.random.choice([1, 100, 30_000])
        self.values.setdefault(key, set()).add(value)
        path = self.rig.path("value")
        with open(path, "wb") as file:
            file.write(value)
        self._step("put", key, "--file", path, codes=(0, 75))
        os.unlink(path)

    def _increment(self):
        key = self.random.choice(NUMBERS)
        for _ in range(self.random.choice([1, 2, 5])):
            done = self._step("increment", key, self.random.choice(["1", "-7", "1000000"]))
            self.values.setdefault(key, set()).add(done.out.strip())

    def _abandon(self):
        if self.claimed:
            key, generation = self.claimed.popitem()
            self._step("abandon", key, "--generation", generation, codes=(0, 76))

    def _remove(self):
        self._step("remove", self.random.choice(KEYS), codes=(0, 75))

    def _run(self):
        self.values.setdefault("computed", set()).add(b"computed\n")
        self._step("run", "computed", "--", "echo", "computed")

    def _lock(self):
        self._step("lock", "-n", KEY, "--", "true")

    def _acquire(self):
        name = self.random.choice(LEASES)
        done = self._step("lease", "acquire", name, "--ttl", LONG, codes=(0, 75))
        if done.code == 0:
            self.granted[name] = int(done.out)

    def _renew(self):
        for name, generation in list(self.granted.items())[:1]:
            self._step("lease", "renew", name, "--generation", generation)

    def _release(self):
        if self.granted:
            name, generation = self.granted.popitem()
            self._step("lease", "release", name, "--generation", generation)

    def _append(self):
        number = max(self.records, default=0) + 1
        text = f"record {number} ".encode() * self.random.choice([1, 20, 400, 4000])
        path = self.rig.path("record")
        with open(path, "wb") as file:
            file.write(text)
        self.records[number] = text
        done = self._step("journal", "append", "log", "--file", path)
        os.unlink(path)
        check(int(done.out) == number, f"told {done.out}, not {number}")

    def _append_lines(self):
        first = max(self.records, default=0) + 1
        lines = [f"line {number}".encode() for number in range(first, first + 20)]
        path = self.rig.path("lines")
        with open(path, "wb") as file:
            file.write(b"\n".join(lines))
        self.records.update(enumerate(lines, first))
        self._step("journal", "append", "log", "--lines", "--file", path)
        os.unlink(path)

    # -- What the device is sent in between --

    def _write_some(self):
        chosen = self.random.random()
        if chosen < 0.25:
            # The journal, as another program's fsync does; not what files hold.
            descriptor = os.open(os.path.join(self.disk.mount, "other"), os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, b"x")
            os.fsync(descriptor)
            os.close(descriptor)
        elif chosen < 0.5:
            # What some files hold, and not the journal.
            for directory, _, names in os.walk(self.store.path):
                for name in sorted(names):
                    if self.random.random() < 0.5:
                        self._write_out(os.path.join(directory, name))
        elif chosen < 0.6:
            disk_sync(self.disk.mount)

    @staticmethod
    def _write_out(path):
        descriptor = os.open(path, os.O_RDONLY)
        # 7: wait for earlier writes, write, wait.
        _LIBC.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), 7)
        os.close(descriptor)

    # -- What is judged --

    def check(self, cut):
        """The store after a cut, on the disk that is mounted now; returns what was acknowledged and is
        not there any more, "" for nothing. (Never for a durable store: that is an error.)
        """
        torn_marker = self._torn_marker()
        view, (keys, leases) = self.store.view(), look(self.store.path)
        last = max(i for i, step in enumerate(self.steps) if step.mark <= cut.position)
        lost = self._lost(last, keys, leases)
        lost = self._check_journal(last) or lost
        check(not (lost and self.is_durable), f"{lost}; {self._told(last)}")
        self._check_commands(view, keys, last)
        # Said last: that every command works holds with a torn marker too.
        check(torn_marker is None, f"the marker was torn: {torn_marker!r}")
        return lost

    def _told(self, last):
        return f"acknowledged: {' '.join(map(str, self.steps[last].words))}"

    def _torn_marker(self):
        path = os.path.join(self.store.path, "flock-cache")
        if not os.path.exists(path):
            return None
        with open(path, "rb") as file:
            text = file.read()
        return None if text.startswith(b"flock-cache 1\n") and text.endswith(b"\n") else text

    def _lost(self, last, keys, leases):
        """Everything is as after the last command that was acknowledged, or as the next makes it."""
        steps = self.steps[last : last + 2]
        for key, found in keys.items():
            allowed = [step.keys[key] for step in steps]
            claimed = [(ready, ("torn",)) for ready, claim in allowed if claim is None]
            if steps[-1].words[0] == "run" and found[0] is None and found[1]:
                continue  # claimed by it, and not finalized yet
            if found not in [*allowed, *claimed]:
                return f"{key} is {brief(found)}, not one of {brief(allowed)}"
        for name, found in leases.items():
            allowed = [step.leases[name] for step in steps]
            if found not in allowed:
                return f"the lease {name} is {found}, not one of {allowed}"
        return ""

    def _check_journal(self, last):
        """Every record that is read is one that was appended under its number, in a row from 1; and the journal goes
        on. Returns what of it is lost.
        """
        read = self._run_after("journal", "read", "log", "-0", codes=(0, 1))
        found = read.out.split(b"\0")[:-1]
        for number, text in enumerate(found, 1):
            check(text == self.records.get(number), f"record {number} is {brief(text)}")
        done = self._run_after("journal", "append", "log", "after")
        check(int(done.out) == len(found) + 1, f"told {done.out} after {len(found)} records")
        again = self._run_after("journal", "read", "log", "-0")
        check(again.out == read.out + b"after\0", "appending has changed what was there")
        acknowledged = max(self.steps[last].records, default=0)
        return f"{acknowledged - len(found)} records" if len(found) < acknowledged else ""

    def _run_after(self, *words, codes=(0,)):
        done = self.store.run(*words)
        text = f"{' '.join(map(str, words))} ended with {done.code}: {done.err.decode()}"
        check(done.code not in REFUSED, f"refused: {text}")
        check(done.code in codes, text)
        return done

    def _check_commands(self, view, keys, last):
        """Every command works, and none returns what nobody published."""
        run = self._run_after
        torn = [key for key, (ready, _) in keys.items() if ready and ready[0] == "damaged"]
        check(not (torn and self.is_durable), f"{torn} is torn")
        torture.check_counts(self.store, view)
        for verb in ["who"], ["list"], ["reap", "--dry-run"]:
            run(*verb)
        highest = [step.leases[name][0] for step in self.steps[: last + 1] for name in LEASES
                   if step.leases[name]]
        for name in LEASES:
            before = self.steps[last].leases[name]
            if before:
                run("lease", "check", name, "--generation", before[0], codes=(76,))
        run("init", *rig_settings(self.is_durable and self._is_made_durable()))
        for name in LEASES:
            self._check_lease(name, max(highest, default=0))
        for key in keys:
            # A torn value is told of once, and is then absent.
            got = run("get", key, codes=(0, 1, 65, 75) if key in torn else (0, 1, 75))
            self._check_value(key, got)
        torture.check_counts(self.store, self.store.view())
        for key in keys:
            won = run("claim", key, "--owner", self.rig.keeper.pid, codes=(0, 1))
            if won.code == 1:
                self._check_value(key, won, is_value=True)
                continue
            run("finalize", key, "after", "--generation", int(won.out))
            check(run("get", key).out == b"after", f"another value of {key}")
        run("run", "afterwards", "--", "echo", "computed")
        run("put", KEY, "41")
        check(run("increment", KEY).out == b"42\n", "another number")
        check(run("increment", "counted").out == b"1\n", "another number")
        for slot in "after", KEY, "lock":
            run("lock", "-n", slot, "--", "true")
        for verb in ["remove", KEY], ["reap"], ["stats"], ["list"], ["who"]:
            run(*verb)
        torture.check_counts(self.store, self.store.view())

    def _is_made_durable(self):
        """Whether `init --durable` finds no store, or one that it had made before the cut."""
        path = os.path.join(self.store.path, "flock-cache")
        if not os.path.exists(path):
            return True
        with open(path, "rb") as file:
            return b"durable: yes" in file.read()

    def _check_value(self, key, done, is_value=False):
        if done.code == 0 or is_value:
            check(done.out in self.values.get(key, ()), f"{key} returned {brief(done.out)}")

    def _check_lease(self, name, highest):
        run = self._run_after
        generation = int(run("lease", "acquire", name, "--ttl", LONG).out)
        check(generation > highest, f"the lease {name} got {generation}, after {highest}")
        run("lease", "acquire", name, "--ttl", LONG, codes=(75,))
        for verb in "renew", "check", "release":
            run("lease", verb, name, "--generation", generation)
        run("lease", "check", name, "--generation", generation, codes=(76,))


def rig_settings(is_durable):
    return ["--durable"] if is_durable else []


def disk_sync(mount):
    descriptor = os.open(mount, os.O_RDONLY)
    try:
        if _LIBC.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)
