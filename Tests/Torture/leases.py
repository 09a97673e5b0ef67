"""The lease commands as preempt.py and errno.py attack them: acquire, renew, release, release --force.

A lease has a file of its own, so what is judged is read from its cells: which generation the slot has, whether it is
held, and its sequence, which rises with each write.
"""

import re
import subprocess
import tempfile

import oracle
import rig as torture
from rig import ENVIRONMENT, KEY, Store, check

UNKNOWN = b"it may have happened"
NAMES = ["acquire, first", "acquire", "renew", "release", "force"]


class Attack:
    """A store with a lease, and a command that changes it."""

    def __init__(self, rig, name, settings=()):
        self.rig, self.name = rig, name
        self.title = f"lease {name}{', durable' if settings else ''}"
        self.model = Store(rig, rig.path("lease"))
        self.model.must("init", *settings)
        self.generation = None
        if name != "acquire, first":
            self.generation = int(self.model.must("lease", "acquire", KEY, "--ttl", "1h"))
        if name == "acquire":
            self.model.must("lease", "release", KEY, "--generation", self.generation)
        self.model.must("stats")
        clean = self.copy()
        self.points, self.done = torture.trace(clean.command(*self.words()), rig.path("trace"))
        check(self.done.code == 0, self.done)
        self.old, self.new = look(self.model), look(clean)
        clean.remove()

    def copy(self):
        return self.model.copy(self.rig.path("lease"))

    def words(self, name=None):
        name = name or self.name
        if name.startswith("acquire"):
            return ["lease", "acquire", KEY, "--ttl", "1h"]
        if name == "force":
            return ["lease", "release", KEY, "--force"]
        return ["lease", name, KEY, "--generation", self.generation]

    def state(self, store):
        """The lease, with "new" for a generation that was not there before."""
        found = look(store)
        if found is None:
            return None
        generation, state, _ = found
        return ("old" if generation == self.generation else "new", state)


def look(store):
    return oracle.lease(store.path, KEY)


def everything(rig, settings=()):
    for name in NAMES:
        if re.search(rig.options.only, f"lease {name}"):
            attack = rig.attempt(f"lease {name} without a fault", Attack, rig, name, settings)
            if attack:
                yield attack


# -- Stopped, while a rival runs --------------------------------------------------------------------


def preempt(rig, stopped_class, ends_or_waits):
    """Both end as in one of the two orders, and so does the lease."""
    for attack in everything(rig):
        rivals = ["acquire", "force"]
        if attack.generation:
            rivals += ["renew", "release", "check"]
        points = torture.first_and_last(torture.from_store(attack.points)[:-1])
        cases = []
        for rival in rivals:
            allowed = [in_turn(attack, rival, first) for first in (True, False)]
            for point in rig.sample(points, 6):
                label = f"{rival} while stopped after {point.name} {point.number}, {point.line[:80]}"
                cases.append((label, attack, rival, allowed, point, stopped_class, ends_or_waits))
        rig.each(f"preempt {attack.title}", cases, preempt_one)


def in_turn(attack, rival, stopped_first):
    store = attack.copy()
    order = [attack.words(), attack.words(rival)]
    done = [store.run(*words) for words in (order if stopped_first else order[::-1])]
    found = outcome(attack, store, *(done if stopped_first else done[::-1]))
    store.remove()
    return found


def outcome(attack, store, first, second):
    check(not (first.code == second.code == 0 and first.out and second.out
               and first.out == second.out), f"two grants of {first.out}")
    return first.code, second.code, bool(first.out), bool(second.out), attack.state(store)


def preempt_one(attack, rival, allowed, point, stopped_class, ends_or_waits):
    store = attack.copy()
    stopped = stopped_class(store.command(*attack.words()), point)
    has_mutex = stopped.pid is not None and store.is_locked()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            store.command(*attack.words(rival)), stdout=out, stderr=subprocess.PIPE,
            env=ENVIRONMENT)
        try:
            ended = ends_or_waits(process)
        finally:
            first = stopped.finish()
            _, err = process.communicate(timeout=20)
        out.seek(0)
        second = torture.Result(process.returncode, out.read(), err, 0)
    check(ended or has_mutex, "the rival waits for a mutex that the stopped one does not have")
    check(ended or rival != "check", "a check waits")
    found = outcome(attack, store, first, second)
    # A check takes no mutex: it may see the lease before or after.
    if rival == "check":
        found, allowed = found[:1] + found[2:], [one[:1] + one[2:] for one in allowed]
    check(found in allowed, f"{found}, allowed {allowed} ({first.err!r}, {second.err!r})")
    store.remove()


# -- Calls that fail --------------------------------------------------------------------------------


def errno(rig, errors, documented, answers, harmless):
    for settings in (), ("--durable",):
        for attack in everything(rig, settings):
            points = torture.first_and_last(attack.points)
            cases = [
                (f"{p.name} {p.number}{'+' * lasts} {error}, {p.line[:90]}", attack, p, error, lasts,
                 documented, answers)
                for p in points if not harmless.fullmatch(p.name)
                for error in errors for lasts in (False, True)
                if not (lasts and error == "EACCES" and p.name == "fcntl")]
            rig.each(f"errno {attack.title}", rig.sample(cases, 50), errno_one)


def errno_one(attack, point, error, lasts, documented, answers):
    store = attack.copy()
    times = "" if not lasts else f"..{point.number + 4}" if error == "EINTR" else "+"
    done = torture.run(
        torture.faulty(store.command(*attack.words()), point, f"error={error}", times=times))
    check(done.code in documented, f"exit code {done.code}: {done.err.decode()}")
    after, what = look(store), f"ended with {done.code}: {done.err.decode()}"
    is_new = after is not None and after != attack.old
    if done.code == 0:
        check(is_new and after[1] == attack.new[1], f"success, but {after}: {what}")
        if attack.name.startswith("acquire"):
            check(int(done.out) == after[0], f"told {done.out}, but there is {after}")
    elif UNKNOWN not in done.err:
        check(done.code not in answers, f"an error, but an answer: {what}")
        check(done.err.startswith(b"flock-cache: ") or point.name == "write", f"no words: {what}")
        # A grant that failed is as good as none; nothing else has happened.
        held = after is not None and after[1] == "held"
        was_held = attack.old is not None and attack.old[1] == "held"
        check(held == was_held, f"{attack.old} became {after}, but {what}")
        check(not held or after == attack.old, f"{attack.old} became {after}, but {what}")
    next_one = store.run("lease", "acquire", KEY, "--ttl", "1h")
    held = after is not None and after[1] == "held"
    check(next_one.code == (75 if held else 0), f"the next ended with {next_one.code}: {next_one.err}")
    if not held:
        check(int(next_one.out) > (after[0] if after else 0), "a generation was given twice")
    torture.check_counts(store, store.view())
    store.remove()
