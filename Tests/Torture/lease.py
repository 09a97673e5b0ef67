#!/usr/bin/env python3
"""Kills the lease commands at every system call of their own, and stops them there while a rival acts.

After each kill: a granted or renewed lease is whole and held, or it is as it was; the next to ask is granted a
higher generation, or told that it is taken, as the record says; and the shard's counts are right. After each kill
of `lease run`: its COMMAND is gone or never began, and the next gets the lease when its time is over.

With --quick a sample of the calls.
"""

import os
import re
import signal
import subprocess

import oracle
import rig as torture
from run import killed, trace
from rig import KEY, ENVIRONMENT, Store, check

CELL = 512


def cells(store):
    """The valid cells of the lease's first slot as dictionaries, the one that counts last."""
    path = os.path.join(store.path, "leases", f"{oracle.shard_of(KEY):02x}", KEY)
    if not os.path.exists(path):
        return []
    data = open(path, "rb").read()
    found = []
    for start in range(0, min(len(data), 2 * CELL), CELL):
        cell = data[start:start + CELL]
        if not cell.strip(b"\0"):
            continue
        text, _, rest = cell.partition(b"check: ")
        check(rest[:8] == b"%08x" % oracle.crc32c(text), f"a cell is damaged: {cell}")
        lines = text.decode().splitlines()[1:]
        found.append(dict(line.split(": ", 1) for line in lines))
    return sorted(found, key=lambda cell: int(cell["sequence"]))


def prepare(store, name):
    store.must("init")
    store.must("lease", "acquire", "other", "--ttl", "1h")
    if name == "acquire, first":
        return None
    generation = int(store.must("lease", "acquire", KEY, "--ttl", "1h"))
    if name == "acquire, again":
        store.must("lease", "release", KEY, "--generation", generation)
    return generation


def arguments(store, name, generation):
    if name.startswith("acquire"):
        return store.command("lease", "acquire", KEY, "--ttl", "1h")
    return store.command("lease", name, KEY, "--generation", generation)


def attack(rig, name, point):
    store = Store(rig, rig.path("lease"))
    generation = prepare(store, name)
    before = cells(store)
    victim = subprocess.Popen(
        killed(arguments(store, name, generation), point), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    victim.communicate(timeout=30)
    after = cells(store)
    now = after[-1] if after else None
    if before and after:
        # The write happened or it did not; the other cell is as it was.
        check(after[-1] == before[-1] or before[-1] in after, f"{before} became {after}")
    held = now is not None and now["state"] == "held"
    check(name != "renew" or held, "a renewed lease is gone")
    highest = max([int(cell["generation"]) for cell in after], default=0)
    next_one = store.run("lease", "acquire", KEY, "--ttl", "1h")
    check(next_one.code == (75 if held else 0), f"the next ended with {next_one.code}: {next_one.err}")
    check(next_one.seconds < 1, f"the next took {next_one.seconds:.1f} s")
    if not held:
        check(int(next_one.out) > highest, "a generation was given twice")
    view = store.view()
    torture.check_counts(store, view)
    current = cells(store)[-1]
    check(store.run("lease", "release", KEY, "--generation", current["generation"]).code == 0, "release")
    store.remove()
    return victim.returncode


def victim_of(store):
    return store.command("lease", "run", KEY, "--ttl", "300ms", "--", "sleep", "0.05")


def attack_run(rig, point):
    store = Store(rig, rig.path("lease"))
    store.must("init")
    victim = subprocess.Popen(
        killed(victim_of(store), point), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=ENVIRONMENT)
    victim.communicate(timeout=30)
    before = cells(store)
    highest = max([int(cell["generation"]) for cell in before], default=0)
    next_one = store.run("lease", "acquire", KEY, "--ttl", "1h", "-w", "20s")
    check(next_one.code == 0, f"the next ended with {next_one.code}: {next_one.err}")
    check(int(next_one.out) > highest, "a generation was given twice")
    check(next_one.seconds < 2, f"the next took {next_one.seconds:.1f} s")
    torture.check_counts(store, store.view())
    store.remove()
    return victim.returncode


def check_kills(codes):
    kills = codes.count(-signal.SIGKILL)
    check(kills > len(codes) * 2 / 3, f"only {kills} of {len(codes)} were killed")


def main():
    rig = torture.Rig(__doc__)
    for name in "acquire, first", "acquire, again", "renew", "release":
        title = f"kill lease {name}"
        if not re.search(rig.options.only, title):
            continue
        model = Store(rig, rig.path("model"))
        generation = prepare(model, name)
        points = trace(arguments(model, name, generation), rig.path("trace"))
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", rig, name, p) for p in rig.sample(points, 40)]
        rig.attempt(f"{title}: kills", check_kills, rig.each(title, cases, attack))
    title = "kill lease run"
    if re.search(rig.options.only, title):
        model = Store(rig, rig.path("model"))
        model.must("init")
        points = [p for p in trace(victim_of(model), rig.path("trace")) if p.name != "exit_group"]
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", rig, p) for p in rig.sample(points, 40)]
        rig.attempt(f"{title}: kills", check_kills, rig.each(title, cases, attack_run))
    rig.finish()


if __name__ == "__main__":
    main()
