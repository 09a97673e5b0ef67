"""Stops the command after every system call of every change, and lets a rival run meanwhile.

The judge is one for all pairs: what both print, both exit codes and the store afterwards must be those
of one of the two orders, the stopped one first or the rival first. Both orders are run without faults
for each pair, and must end as the files demand. So there is one winner, no value is lost, a finalize after a take-over is told 76 and
changes nothing, and no reader sees a key absent that is not.

A rival that does not end must be waiting for the mutex, and the stopped one must have it: asked of the
kernel. A rival that only reads must end in any case. One run stays stopped: behind it a change must
fail after ten seconds with 124 and name it.

With --quick eight points of each pair are taken, chosen by the seed, and four of what only reads.
"""

import concurrent.futures
import os
import re
import select
import signal
import subprocess
import tempfile
import time

import leases
import rig as torture
import scenarios
from rig import KEY, check

PATIENCE = 5


class Rival:
    def __init__(self, name, arguments, only_reads=False):
        self.name, self.arguments, self.only_reads = name, arguments, only_reads


def rivals(scenario, owner):
    generation = scenario.generation
    others = []
    if re.match("put|increment|claim$|take-over|finalize$", scenario.name):
        others = [
            Rival("put", ["put", KEY, "rival's value", "--if-absent"]),
            Rival("increment", ["increment", KEY, "100"]),
        ]
    return [
        *others,
        Rival("claim", ["claim", KEY, "--owner", owner.pid, *scenario.rival_options]),
        Rival("finalize", ["finalize", KEY, "rival's value", "--generation", generation]),
        Rival("renew", ["renew", KEY, "--generation", generation]),
        Rival("abandon", ["abandon", KEY, "--generation", generation]),
        Rival("remove", ["remove", KEY]),
        Rival("reap", ["reap"]),
        # What reads takes the mutex only to set a damaged record aside.
        Rival("get", ["get", KEY], only_reads=scenario.name != "get-damaged"),
    ]


def outcome(scenario, rival, first, second, store):
    """What counts of two runs and the store: generations only as known from before or new."""

    def words(done, verb):
        if verb == "increment":
            return done.out
        if not done.out.strip().isdigit():
            return sorted(done.out.split(b"\n"))
        return "known" if int(done.out) in scenario.known else "a new generation"

    view = store.view()
    check(not store.wrong_blocks(view), "; ".join(store.wrong_blocks(view)))
    said = (words(first, scenario.words(scenario)[0]), words(second, rival.name))
    if scenario.name == rival.name == "reap":
        said = sorted(said[0] + said[1])  # two reapers share the work
    if scenario.arguments(store)[3] == rival.arguments[0] == "claim":
        check(first.code != 0 or second.code != 0, "two winners")
    states = view.states(scenario.known)
    left = view.debris, view.temporaries, view.damaged
    return first.code, second.code, said, states, left


def orders(scenario, rival):
    """The outcomes of the two orders, without faults; each step ends as the files before it demand."""
    return in_turn(scenario, rival, True), in_turn(scenario, rival, False)


def in_turn(scenario, rival, stopped_first):
    store = scenario.copy()
    live = {owner.pid for owner in scenario.rig.owners if owner.is_live}

    def step(words):
        expected = store.view().exit_code(KEY, words, live)
        done = store.run(*words)
        check(done.code == expected, f"{words} ended with {done.code}, not {expected}: {done.err}")
        return done

    first, second = scenario.words(scenario), rival.arguments
    if stopped_first:
        results = step(first), step(second)
    else:
        results = (step(second), step(first))[::-1]
    found = outcome(scenario, rival, *results, store)
    store.remove()
    return found


class Stopped:
    """A run that was stopped after a call, or had ended before it."""

    def __init__(self, arguments, point):
        reading, writing = os.pipe()
        command = torture.faulty(arguments, point, "signal=STOP", f"/dev/fd/{writing}")
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=torture.ENVIRONMENT,
            pass_fds=[writing])
        os.close(writing)
        self._log = os.fdopen(reading, errors="replace")
        self.pid = None
        for line in self._log:
            if "--- stopped by SIGSTOP ---" in line:
                self.pid = int(line.split()[0])
                break

    def finish(self):
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)
        out, err = self._process.communicate(timeout=20)
        self._log.close()
        seconds = time.monotonic() - self._start
        return torture.Result(self._process.returncode, out, err, seconds)


def attack(scenario, rival, allowed, point):
    store = scenario.copy()
    stopped = Stopped(scenario.arguments(store), point)
    has_mutex = stopped.pid is not None and store.is_locked()
    start = time.monotonic()
    # A file, because nobody reads what it says before it has ended.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            store.command(*rival.arguments), stdout=out, stderr=subprocess.PIPE,
            env=torture.ENVIRONMENT)
        try:
            ended = ends_or_waits(process)
        finally:
            first = stopped.finish()
            _, err = process.communicate(timeout=20)
        out.seek(0)
        second = torture.Result(process.returncode, out.read(), err, time.monotonic() - start)
    check(ended or has_mutex, "the rival waits for a mutex that the stopped one does not have")
    check(ended or not rival.only_reads, "a reader waits")
    found = outcome(scenario, rival, first, second, store)
    check(found in allowed, differences(found, allowed, first, second))
    store.remove()


def ends_or_waits(process):
    """True when the process has ended, False when it sleeps between looks at the mutex."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if poll.poll(1):
                return True
            with open(f"/proc/{process.pid}/wchan", encoding="ascii") as file:
                if "nanosleep" in file.read():
                    return False
        raise torture.Wrong("the rival neither ends nor sleeps")
    finally:
        os.close(descriptor)


def differences(found, allowed, first, second):
    names = "code", "rival's code", "words", "store", "left behind"
    texts = [
        f"{name} {torture.brief(value)}, allowed {torture.brief([a[i] for a in allowed])}"
        for i, (name, value) in enumerate(zip(names, found)) if any(a[i] != value for a in allowed)]
    return "neither order: " + "; ".join(texts) + f" ({first.err!r}, {second.err!r})"


def stuck(scenario):
    """A change behind a process that stays stopped: 124 after ten seconds, naming it."""
    store = scenario.copy()
    rename = next(p for p in scenario.points if p.name == "renameat")
    stopped = Stopped(scenario.arguments(store), rename)
    second = store.run("abandon", KEY, "--generation", scenario.generation)
    named = str(stopped.pid).encode() in second.err
    read = store.run("get", KEY)
    first = stopped.finish()
    check(second.code == 124 and named, f"ended with {second.code}: {second.err.decode()}")
    check(9 < second.seconds < 12, f"after {second.seconds:.1f} s")
    check(read.code == 0, f"a reader behind it ended with {read.code}")
    check(first.code == 0, f"and the stopped one with {first.code}")
    store.remove()


def main():
    rig = torture.Rig(__doc__)
    owner = rig.new_owner()
    # It only waits, so it runs beside the others.
    beside, slow = concurrent.futures.ThreadPoolExecutor(1), None
    for scenario in rig.prepared(scenarios.everything()):
        # After the last call there is nothing to stop.
        points = torture.first_and_last(torture.from_store(scenario.points)[:-1])
        cases = []
        for rival in rivals(scenario, owner):
            allowed = rig.attempt(f"{scenario.name} and {rival.name}, in turn", orders, scenario, rival)
            for p in rig.sample(points, 4 if rival.only_reads else 8) if allowed else []:
                label = f"{rival.name} while stopped after {p.name} {p.number}, {p.line[:90]}"
                cases.append((label, scenario, rival, allowed, p))
        rig.each(f"preempt {scenario.name}", cases, attack)
        if scenario.name == "finalize" and not rig.quick:
            slow = beside.submit(rig.attempt, "behind a stopped finalize", stuck, scenario)
    leases.preempt(rig, Stopped, ends_or_waits)
    if slow:
        slow.result()
    rig.finish()


if __name__ == "__main__":
    main()
