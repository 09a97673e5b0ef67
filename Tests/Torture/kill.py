"""Kills the command at every system call of every change, and looks at what is left.

After each kill, and with nobody cleaning up:
- every key of the store is in its old or its new state, byte for byte, and never goes back from new to
  old at a later call;
- a generation that was printed is the one on disk;
- the same command, tried again, does what it was to do;
- `stats` says what the files say; the next claim gets the right answer within a second, and a higher
  generation than any before;
- one `reap` after the owners are dead leaves no claim of theirs, no debris and no temporary file, and
  takes no value and no living claim.

With --quick only the calls that change something are killed. A store is the same after a kill at any
other call as before the next of these, so what is left out is only which locks the kernel drops; and
of many calls of one name in a row (the blocks of a new store) the first and the last.
"""

import os

import oracle
import rig as torture
import scenarios
from rig import KEY, check


def attack(scenario, point):
    """Kills one run; returns each key's progress, and copies for the reaper."""
    store = scenario.copy()
    killed = torture.run(torture.faulty(scenario.arguments(store), point, "signal=KILL"))
    # Names of session files are random, so that a run may have a call more or less than the trace.
    if killed.code >= 0:
        check(killed.code == scenario.done.code, f"not reached, and ended with {killed.code}")
    view = store.view()
    found = scenario.progress(view)
    if killed.out.endswith(b"\n") and scenario.done.code == 0:
        check_told(scenario.words(scenario)[0], killed.out, *view.keys.get(KEY, (None, None)))
    # Each look at what was left begins with the store as it was left.
    later = store.copy(scenario.rig.path("later"))
    counted = store.copy(scenario.rig.path("counted"))
    torture.check_counts(counted, view)
    check_again(scenario, store, found)
    live = {scenario.owner.pid, scenario.rig.keeper.pid}
    torture.check_next_claim(store, view, live, max(scenario.known, default=0))
    store.remove()
    return found, view, (later, counted)


def check_told(verb, told, ready, claim):
    """What was told is there."""
    if verb == "claim":
        check(claim and claim[1] == int(told), f"told {told}, but there is {claim}")
    if verb == "put":
        check(ready and ready[1] == int(told), f"told {told}, but there is {torture.brief(ready)}")
    if verb == "increment":
        check(ready and ready[2] + b"\n" == told, f"told {told}, but there is {torture.brief(ready)}")


def check_again(scenario, store, found):
    store = store.copy(scenario.rig.path("again"))
    done = store.run(*scenarios.again(scenario))
    view = store.view()
    words = scenario.words(scenario)
    if scenario.done.code:
        missing = scenario.name == "get-damaged" and found[KEY]
        check(done.code == (1 if missing else scenario.done.code), f"tried again, {done.code}")
    elif words[0] == "claim":
        # A claim that was made and not told is live: its owner is.
        check(done.code == (75 if found.get(KEY) else 0), f"tried again, {done.code}")
    elif words[0] == "increment":
        number = int(scenario.new.keys[KEY][0][2]) - (5 if found[KEY] else 0)
        check(done.code == 0 and view.keys[KEY][0][2] == b"%d" % number,
              f"tried again, {done.code}, and there is {torture.brief(view.keys[KEY])}")
    elif words[0] == "put":
        check(done.code == 0 and view.keys[KEY][0] == ("ready", int(done.out), b"x"),
              f"tried again, {done.code}, and there is {torture.brief(view.keys[KEY])}")
    elif words[0] == "finalize":
        published = view.keys[KEY][0]
        expected = scenario.new.keys[KEY][0][2] if found[KEY] or "--file" in words else b"x"
        check(done.code == 0 and published[2] == expected,
              f"tried again, {done.code}, and there is {torture.brief(published)}")
    else:
        check(done.code == 0, f"tried again, {done.code}")
        check(all(scenario.progress(view).values()), "tried again, and still not done")
    wrong = store.wrong_blocks(view)
    check(not wrong, "; ".join(wrong))
    store.remove()


def half_a_cell(scenario, half):
    """A cell of which only one half was written: the number is what it was before, to everybody.

    No kill does that; a power cut may.
    """
    store = scenario.copy()
    view = store.view()
    path = os.path.join(store.path, "entries", f"{oracle.shard_of(KEY):02x}", KEY)
    before = read(path)
    done = store.run(*scenario.words(scenario))
    check(done.code == 0, done.err.decode())
    after = read(path)
    start = next(o for o in (1024, 1536) if before[o : o + 100] != after[o : o + 100])
    torn = bytearray(after)
    torn[start : start + 100] = {
        "first": after[start : start + 50] + before[start + 50 : start + 100],
        "second": before[start : start + 50] + after[start + 50 : start + 100],
        "none": bytes(100),
    }[half]
    with open(path, "r+b") as file:
        file.write(torn)
    found = store.view().keys[KEY][0]
    check(found == view.keys[KEY][0], f"torn it is {torture.brief(found)}")
    got = store.run("get", KEY)
    check(got.code == 0 and got.out == found[2], f"get says {got.out}, there is {found[2]}")
    again = store.run(*scenario.words(scenario))
    check(again.code == 0 and again.out == done.out, f"counted on to {again.out}, not {done.out}")
    store.remove()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def reap(scenario, before, stores):
    """What one reap leaves when every owner but the keeper is dead: of the store as the kill left it,
    and of one whose marks were seen and removed before.
    """
    for store in stores:
        reap_one(scenario, before, store)


def reap_one(scenario, before, later):
    done = later.run("reap")
    check(done.code == 0 and not done.err, f"reap ended with {done.code}: {done.err.decode()}")
    after = later.view()
    check(not after.temporaries, f"reap left {after.temporaries}")
    check(not after.debris, f"reap left the debris of {after.debris}")
    keeper = int(scenario.rig.keeper.pid)
    for key, (ready, claim) in before.keys.items():
        kept = claim if claim and claim[0] == "claim" and claim[2] == keeper else None
        expected = (ready, kept)
        found = after.keys.get(key, (None, None))
        check(found == expected, f"reap made {torture.brief(found)} of {key}")
        told = f"{key}\t".encode() in done.out
        check(told == (claim != kept), f"reap told {done.out}, of {key} was {claim}")
    torture.check_counts(later, after)
    highest = max([*before.generations, *scenario.known], default=0)
    torture.check_next_claim(later, after, {scenario.rig.keeper.pid}, highest)
    later.remove()


def main():
    rig = torture.Rig(__doc__)
    for scenario in rig.prepared(scenarios.everything()):
        points = scenario.points
        if rig.quick:
            points = torture.first_and_last([p for p in points if torture.CHANGES.search(p.line)])
        cases = [(f"{p.name} {p.number}, {p.line[:90]}", scenario, p) for p in points]
        results = rig.each(f"kill {scenario.name}", cases, attack)
        rig.attempt(f"kill {scenario.name}: the order of states", check_order, results)
        if scenario.name == "increment":
            halves = [(half, scenario, half) for half in ("first", "second", "none")]
            rig.each("half a cell", halves, half_a_cell)
        scenario.owner.end()
        left = [(case[0], scenario, *result[1:]) for case, result in zip(cases, results) if result]
        rig.each(f"reap after kill {scenario.name}", left, reap)
    rig.finish()


def check_order(results):
    """A key that was new when the command was killed at one call is new at every later one."""
    reached = set()
    for found, *_ in filter(None, results):
        now = {key for key, progress in found.items() if progress}
        check(reached <= now, f"{reached - now} were new at an earlier call")
        reached |= now


if __name__ == "__main__":
    main()
