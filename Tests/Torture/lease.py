#!/usr/bin/env python3
"""Kills the lease commands at every system call of their own, and stops them there while a rival acts.

After each kill: a granted or renewed lease is whole and held, or it is as it was; the next to ask is granted a
higher generation, or told that it is taken, as the record says; and the shard's counts are right. After each kill
of `lease run`: its COMMAND is gone or never began, and the next gets the lease when its time is over. After each stop of
`lease run`, which stays stopped: its COMMAND does nothing more when the next has had the lease for 1.2 s.

With --quick a sample of the calls.
"""

import os
import re
import signal
import subprocess
import time

import oracle
import rig as torture
from run import killed, trace
from rig import KEY, ENVIRONMENT, Store, check

CELL = 512


def cells(store, slot=0):
    """The valid cells of a slot of the lease as dictionaries, the one that counts last."""
    path = os.path.join(store.path, "leases", f"{oracle.shard_of(KEY):02x}", KEY)
    if not os.path.exists(path):
        return []
    data = open(path, "rb").read()[2 * CELL * slot:2 * CELL * (slot + 1)]
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


# A lease of so many slots has a file beside it that says which are taken, and until when.
SLOTS = 70
MANY = ("lease", "acquire", KEY, "--slots", str(SLOTS), "--ttl", "1h")


def prepare_many(store):
    """All slots taken but the last four; returns their generations, by slot."""
    store.must("init")
    taken = {}
    for _ in range(SLOTS - 4):
        generation, slot = store.must(*MANY).split()
        taken[int(slot)] = int(generation)
    return taken


def many_arguments(store, name, taken):
    if name == "acquire":
        return store.command(*MANY)
    return store.command("lease", "release", KEY, "--generation", taken[7])


def attack_many(rig, name, point):
    """What is said to be taken is: each free slot is granted, and none twice."""
    store = Store(rig, rig.path("many"))
    taken = prepare_many(store)
    victim = subprocess.Popen(
        killed(many_arguments(store, name, taken), point), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    victim.communicate(timeout=30)
    held = {slot for slot in range(SLOTS) if (found := cells(store, slot)) and found[-1]["state"] == "held"}
    expected = set(taken) - {7} if name == "release" else set(taken)
    check(expected <= held, f"no longer held: {expected - held}")
    free = set(range(SLOTS)) - held
    generations = [int(cell["generation"]) for slot in range(SLOTS) for cell in cells(store, slot)]
    for _ in range(len(free)):
        done = store.run(*MANY)
        check(done.code == 0, f"free is {free}, and the next ended with {done.code}: {done.err}")
        generation, slot = (int(word) for word in done.out.split())
        check(slot in free, f"slot {slot} was granted twice")
        check(generation > max(generations), "a generation was given twice")
        free.discard(slot)
        generations.append(generation)
    check(store.run(*MANY).code == 75, "one more was granted")
    torture.check_counts(store, store.view())
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


def beating(store, file, deaf=False):
    """A leader whose COMMAND writes every hundredth of a second, for three seconds; deaf to TERM or not."""
    trap = "trap '' TERM; " if deaf else ""
    beat = f"{trap}for i in $(seq 250); do echo x >> {file}; sleep 0.01; done"
    return store.command("lease", "run", KEY, "--ttl", "300ms", "--kill-after", "100ms", "--", "sh", "-c", beat)


def attack_stopped(rig, point, deaf):
    store = Store(rig, rig.path("lease"))
    store.must("init")
    beats = rig.path("beats")
    reading, writing = os.pipe()
    inject = f"inject={point.name}:signal=STOP:when={point.number}"
    tracer = subprocess.Popen(
        ["strace", "-o", f"/dev/fd/{writing}", "-e", f"trace={point.name}", "-e", inject,
         *beating(store, beats, deaf)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT, pass_fds=[writing])
    os.close(writing)
    was_stopped = False
    with os.fdopen(reading, errors="replace") as log:
        try:
            was_stopped = any("--- stopped by SIGSTOP ---" in line for line in log)
            next_one = store.run("lease", "acquire", KEY, "--ttl", "1h", "-w", "5s")
            granted = time.time()
            # Behind a stop within a change there is no next; COMMAND must end all the same.
            check(next_one.code in (0, 124), f"the next ended with {next_one.code}: {next_one.err}")
            if was_stopped:
                # Whoever writes later than it may has written by then.
                time.sleep(1.5)
                late = os.stat(beats).st_mtime - granted if os.path.exists(beats) else 0
                check(late < 1.2, f"COMMAND went on {late:.2f} s after the next was granted it")
        finally:
            if was_stopped:
                with open(f"/proc/{tracer.pid}/task/{tracer.pid}/children") as children:
                    os.kill(int(children.read()), signal.SIGKILL)
    tracer.wait(timeout=30)
    store.remove()
    return was_stopped


def check_stops(stops):
    check(stops.count(True) > len(stops) / 2, f"only {stops.count(True)} of {len(stops)} were stopped")


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
    for name in "acquire", "release":
        title = f"kill lease {name}, many slots"
        if not re.search(rig.options.only, title):
            continue
        model = Store(rig, rig.path("model"))
        taken = prepare_many(model)
        points = trace(many_arguments(model, name, taken), rig.path("trace"))
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", rig, name, p) for p in rig.sample(points, 12)]
        rig.attempt(f"{title}: kills", check_kills, rig.each(title, cases, attack_many))
    title = "kill lease run"
    if re.search(rig.options.only, title):
        model = Store(rig, rig.path("model"))
        model.must("init")
        points = [p for p in trace(victim_of(model), rig.path("trace")) if p.name != "exit_group"]
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", rig, p) for p in rig.sample(points, 40)]
        rig.attempt(f"{title}: kills", check_kills, rig.each(title, cases, attack_run))
    title = "stop lease run"
    if re.search(rig.options.only, title):
        model = Store(rig, rig.path("model"))
        model.must("init")
        points = [p for p in trace(beating(model, rig.path("beats")), rig.path("trace")) if p.name != "exit_group"]
        cases = [
            (f"{p.name} {p.number}, {p.line[:90]}", rig, p, i % 2 == 1)
            for i, p in enumerate(rig.sample(points, 5))]
        rig.attempt(f"{title}: stops", check_stops, rig.each(title, cases, attack_stopped))
    rig.finish()


if __name__ == "__main__":
    main()
