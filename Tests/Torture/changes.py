"""Kills the command at every system call of every change of a store that tells of its changes, and lets
the call fail; then demands that each change is told once.

After each fault, and whoever comes next (a claim, `stats`, `reap`, `watch`, in turn):
- the journal of changes has numbers without gaps, and tells nothing twice;
- replaying it gives the files, key by key and generation by generation;
- `watch` prints the same.

With --quick only the calls that change something are met, and of many of one name in a row the first and
the last.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "FileFormat"))

import flock_cache_changes as changes
import rig as torture
import scenarios
from rig import KEY, brief, check

FAULTS = ["signal=KILL", "error=ENOSPC", "error=EIO"]
# Damage that a hand has done is told by nobody, and a store that is made here has other settings.
LEFT_OUT = {"claim-no-store", "claim-torn-marker", "get-damaged", "remove", "reap"}


def generations(view):
    """Each key as its two generations."""
    found = {}
    for key, (ready, claim) in view.keys.items():
        found[key] = (ready and ready[1], claim[1] if claim and claim[0] == "claim" else None)
    return {key: state for key, state in found.items() if state != (None, None)}


def _build_lease(store, scenario):
    store.must("init", *store.rig.settings)
    scenario.generation = int(store.must("lease", "acquire", "leader", "--ttl", "1h"))


def _build_lease_over(store, scenario):
    store.must("init", *store.rig.settings)
    store.must("lease", "acquire", "leader", "--ttl", "1ms")
    time.sleep(0.005)  # its time is over then, by any clock


def leases():
    acquire = ["lease", "acquire", "leader", "--ttl", "1h"]
    return [
        scenarios.Scenario("lease-over", _build_lease_over, lambda s: acquire),
        scenarios.Scenario("lease-release", _build_lease,
                           lambda s: ["lease", "release", "leader", "--generation", s.generation]),
    ]


def check_told(store, what):
    # In a copy, as this store is, it tells `restarted` where nobody has changed anything yet.
    printed = store.run("watch", "--from", 1, "-w", 0)
    check(printed.code == 124, f"watch ended with {printed.code}: {printed.err.decode()}")
    told = list(changes.events(store.path))
    keys, leased = changes.replay(told)
    check(all(len(found) == 1 for found in leased.values()), f"{what}: leased at once: {leased}")
    there = generations(store.view())
    check(keys == there, f"{what}: told {brief(keys)}, there is {brief(there)}")
    lines = [line.split("\t") for line in printed.out.decode().splitlines()]
    expected = [[str(row[0]), row[2], row[3], str(row[4])] for row in told]
    check([[n, *rest] for n, _, *rest in lines] == expected, f"{what}: watch printed {lines[-3:]}")


def come_next(store, number):
    rival = store.rig.keeper
    orders = [["claim", KEY, "--owner", rival.pid], ["stats"], ["reap"], ["watch", "-w", "0"]]
    done = store.run(*orders[number % 4])
    check(done.code in (0, 1, 75, 124), f"{orders[number % 4]} ended with {done.code}: {done.err.decode()}")


def attack(scenario, point, fault, number):
    store = scenario.copy()
    torture.run(torture.faulty(scenario.arguments(store), point, fault))
    come_next(store, number)
    # The next may have needed no mutex, such as a claim of what is READY.
    store.must("stats")
    check_told(store, f"after {number % 4}")
    store.remove()


def main():
    rig = torture.Rig(__doc__)
    for settings in ("--journal",), ("--journal", "--durable"):
        rig.settings = settings
        attack_all(rig)
    rig.finish()


def attack_all(rig):
    wanted = [s for s in scenarios.everything() if s.name not in LEFT_OUT] + leases()
    if "--durable" in rig.settings:
        wanted = [s for s in wanted if s.name in ("claim", "finalize-over", "put-over", "lease-over")]
    for scenario in rig.prepared(wanted):
        points = torture.from_store(scenario.points)
        if rig.quick:
            points = torture.first_and_last([p for p in points if torture.CHANGES.search(p.line)])
        for fault in FAULTS:
            cases = [
                (f"{p.name} {p.number}, {p.line[:90]}", scenario, p, fault, number)
                for number, p in enumerate(points)]
            rig.each(f"{fault} {scenario.name} {' '.join(rig.settings)}", cases, attack)
        scenario.owner.end()


if __name__ == "__main__":
    main()
