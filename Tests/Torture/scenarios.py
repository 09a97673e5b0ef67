"""What is attacked: a store, and a command that changes it."""

import os
import signal

import oracle
from rig import KEY, NEIGHBOURS, Point, Store, Wrong, brief, faulty, run, trace


class Scenario:
    """A store, and a command line that is attacked on it.

    `build(store, scenario)` makes the store and may set `generation`; `options` are for a rival that
    claims; `between` are states that a key may be found in although they are neither the old nor the
    new one; what is not `settled` begins with a shard that has to be counted anew.
    """

    def __init__(
        self, name, build, arguments, options=(), between=lambda scenario: (), code=0, settled=True
    ):
        self.name, self._build, self.words, self._code = name, build, arguments, code
        self._settled = settled
        self.rival_options, self.between = options, between
        self.generation = 1

    def prepare(self, rig):
        """Makes the model store, runs the command on a copy without faults, and keeps what it did."""
        self.rig, self.owner = rig, rig.new_owner()
        self.model = Store(rig, rig.path(self.name))
        self._build(self.model, self)
        if self._settled and os.path.isdir(self.model.path):
            self.model.must("stats")
        self.old = self.model.view()
        self.known = frozenset(self.old.generations)
        clean = self.copy()
        self.points, self.done = trace(self.arguments(clean), rig.path("trace"))
        new = clean.view()
        self.new = new
        clean.remove()
        assert self.done.code == self._code, self.done
        assert not any(ready and ready[0] == "damaged" for ready, _ in new.keys.values())
        assert not (new.temporaries or new.debris), "it leaves something without being killed"
        self.old_states = self.old.states(self.known)
        self.new_states = new.states(self.known)
        return self

    def copy(self):
        return self.model.copy(self.rig.path(self.name))

    def arguments(self, store):
        return store.command(*self.words(self))

    def progress(self, view, also=()):
        """Each key as 0 (old, or one of those states) or 1 (new); raises for one that is neither."""
        states, found = view.states(self.known), {}
        for key in sorted({*self.old_states, *self.new_states, *states}):
            state = states.get(key, (None, None))
            old = self.old_states.get(key, (None, None))
            new = self.new_states.get(key, (None, None))
            # What a killed create leaves is as good as nothing.
            torn = old[1] in (None, ("torn",)) and state == (old[0], ("torn",))
            if state == new:
                found[key] = 1
            elif state == old or torn or state in (*also, *self.between(self)):
                found[key] = 0
            else:
                raise Wrong(f"{key} is {brief(state)}, was {brief(old)}, becomes {brief(new)}")
        if view.damaged not in (self.old.damaged, self.new.damaged):
            raise Wrong("damaged/ holds something else")
        return found


def _empty(store):
    store.must("init", *store.rig.settings)


def _base(store):
    """What lies around and must stay: a READY neighbour in the shard, and a claim somebody is at."""
    _empty(store)
    store.publish("neighbour", NEIGHBOURS[0])
    store.claim(store.rig.keeper, NEIGHBOURS[1])


def _claimed(store, scenario, key=KEY):
    scenario.generation = store.claim(scenario.owner, key)


def _build_claim(store, scenario):
    _base(store)


def _build_torn_marker(store, scenario):
    """A marker as a power cut may leave it: whoever comes next writes it anew."""
    _base(store)
    store.must("stats")
    with open(os.path.join(store.path, "flock-cache"), "wb"):
        pass


def _build_takeover(store, scenario):
    _base(store)
    _claimed(store, scenario)
    scenario.owner.end()
    scenario.owner = store.rig.new_owner()


def _build_claimed(store, scenario):
    _base(store)
    _claimed(store, scenario)


def _build_timed(store, scenario):
    """A claim that would be stale in an hour."""
    _base(store)
    scenario.generation = store.claim(scenario.owner, KEY, "--stale-after", "1h")


def _build_ready(store, scenario):
    _base(store)
    scenario.generation = store.publish("old value")


def _build_both(store, scenario):
    _build_ready(store, scenario)
    scenario.generation = store.claim(scenario.owner, KEY, "--max-age", "0")


def _leave(store, key, owner, call):
    """Lets the finalizing of a large value be killed at a call, which leaves what it leaves."""
    generation = store.claim(owner, key)
    command = store.command(
        "finalize", key, "--file", store.rig.large_file, "--generation", generation)
    killed = run(faulty(command, Point(call, 1, ""), "signal=KILL"))
    assert killed.code == -signal.SIGKILL, killed
    return generation


def _build_debris(store, scenario):
    """READY, and beside it the claim of a finalize that was killed before its last step."""
    _base(store)
    scenario.generation = _leave(store, KEY, scenario.owner, "unlinkat")
    assert store.view().debris == [KEY]


def _build_damaged(store, scenario):
    _build_ready(store, scenario)
    path = os.path.join(store.path, "entries", f"{oracle.shard_of(KEY):02x}", KEY)
    with open(path, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"X")


def _build_number(store, scenario):
    """A number that was counted twice, so that either cell has been the one that counts."""
    _base(store)
    for amount in "40", "2":
        store.must("increment", KEY, amount)


def _build_digits(store, scenario):
    """A number that was not counted."""
    _base(store)
    store.must("put", KEY, "0042")


def _stale_beside(build):
    """And beside it the claim of a dead owner, who wanted it fresher."""

    def built(store, scenario):
        build(store, scenario)
        scenario.generation = store.claim(scenario.owner, KEY, "--max-age", "0")
        scenario.owner.end()
        scenario.owner = store.rig.new_owner()

    return built


def _build_litter(store, scenario):
    """Everything that a reaper removes: claims of dead owners, a torn one, debris, a temporary."""
    _base(store)
    dead = store.rig.new_owner()
    _claimed(store, scenario)
    for key in NEIGHBOURS[2], "elsewhere":
        store.claim(dead, key)
    torn = store.command("claim", NEIGHBOURS[3], "--owner", dead.pid)
    assert run(faulty(torn, Point("write", 1, ""), "signal=KILL")).code == -signal.SIGKILL
    _leave(store, NEIGHBOURS[4], dead, "unlinkat")
    _leave(store, "unfinished", dead, "renameat")
    dead.end()
    scenario.owner.end()
    scenario.owner = store.rig.new_owner()
    view = store.view()
    assert view.debris and view.temporaries and ("torn",) in [s[1] for s in view.keys.values()]


def again(scenario):
    """The attacked command line tried again; a value that is shorter, to see what an earlier left."""
    if scenario.name in ("finalize", "finalize-over"):
        return _finalize(scenario, "x")
    if scenario.name.startswith("put") and scenario.done.code == 0:
        return ["put", KEY, "x"]
    return scenario.words(scenario)


def _claim(scenario, *options):
    return ["claim", KEY, "--owner", scenario.owner.pid, *options]


def _finalize(scenario, *value):
    return ["finalize", KEY, *(value or ["new value"]), "--generation", scenario.generation]


def _finalize_large(scenario):
    return _finalize(scenario, "--file", scenario.rig.large_file)


def _put(scenario, *value):
    return ["put", KEY, *(value or ["new value"])]


def _put_large(scenario):
    return _put(scenario, "--file", scenario.rig.large_file)


def _increment(scenario):
    return ["increment", KEY, "-5"]


def values():
    """Values that are set and counted."""
    return [
        Scenario("put-first", lambda store, scenario: _empty(store), _put),
        Scenario("put", _build_claim, _put),
        Scenario("put-over", _build_ready, _put),
        Scenario("put-over-number", _build_number, _put),
        Scenario("put-over-stale", _build_takeover, _put),
        Scenario("put-large", _build_claim, _put_large),
        Scenario("put-large-over", _stale_beside(_build_number), _put_large),
        Scenario("increment-first", lambda store, scenario: _empty(store), _increment),
        Scenario("increment", _build_number, _increment),
        Scenario("increment-over", _build_digits, _increment),
        Scenario("increment-stale", _stale_beside(_build_number), _increment),
        # These change nothing.
        Scenario("put-pending", _build_claimed, _put, code=75),
        Scenario("put-unmet", _build_ready, lambda s: _put(s, "new value", "--if-absent"), code=1),
        Scenario("increment-word", _build_ready, _increment, code=65),
    ]


def everything():
    anew = ("--max-age", "0")
    return [
        Scenario("claim-no-store", lambda store, scenario: None, _claim),
        Scenario("claim-first", lambda store, scenario: _empty(store), _claim),
        Scenario("claim", _build_claim, _claim),
        Scenario("claim-torn-marker", _build_torn_marker, _claim, settled=False),
        Scenario("take-over", _build_takeover, _claim),
        Scenario("renew", _build_timed, lambda s: ["renew", KEY, "--generation", s.generation]),
        Scenario("recompute", _build_ready, lambda s: _claim(s, *anew), anew),
        Scenario("finalize", _build_claimed, _finalize),
        Scenario("finalize-large", _build_claimed, _finalize_large),
        Scenario("finalize-over", _build_both, _finalize, anew),
        Scenario("finalize-large-over", _build_both, _finalize_large, anew),
        Scenario("abandon", _build_claimed, lambda s: ["abandon", KEY, "--generation", s.generation]),
        Scenario("remove", _build_debris, lambda s: ["remove", KEY], settled=False),
        # The claim goes first, so the value may be seen alone; never the claim alone.
        Scenario("remove-both", _build_both, lambda s: ["remove", "--pending", KEY],
                 between=lambda s: [(s.old_states[KEY][0], None)]),
        # These change nothing; they are there to be stopped half-way, and to meet errors.
        Scenario("claim-pending", _build_claimed,
                 lambda s: ["claim", KEY, "--owner", s.rig.keeper.pid], code=75),
        Scenario("get-pending", _build_claimed, lambda s: ["get", KEY], code=75),
        Scenario("get", _build_both, lambda s: ["get", KEY], anew),
        Scenario("get-damaged", _build_damaged, lambda s: ["get", KEY], code=65),
        Scenario("reap", _build_litter, lambda s: ["reap"]),
        *values(),
    ]
