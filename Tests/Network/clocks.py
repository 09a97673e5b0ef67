"""Leases and claims between machines, whatever their wall clocks say."""

import time

from machine import check
from tools import await_renewals, case, elapsed, timed

# What the emulation, polling and the network may add to a time, in seconds.
SLACK = 5


def shift(machine, seconds):
    machine.must(f"date -s @$(( $(date +%s) + {seconds} )) > /dev/null")


@case("standby", "a standby takes over after a leader of another host that had renewed its lease and died", finding=2)
def standby(lab):
    b, c = lab.clients
    b.start("exec flock-cache lease run k --ttl 6s -- sh -c 'echo leads; exec sleep 600'").expect("leads")
    waiter = c.start("exec flock-cache lease run k --ttl 6s -w 90s -- echo leads")
    # From before the standby's first look to after it.
    await_renewals(lab, "k", 4)
    b.must("kill -9 $(pgrep -x flock-cache)")
    start = time.monotonic()
    waiter.expect("leads", timeout=100)
    seconds = time.monotonic() - start
    check(waiter.wait().code == 0, f"the standby ended with {waiter.wait()}")
    check(seconds <= 2 * 6 + SLACK, f"the standby leads {seconds:.1f} s after the leader's death, time to live 6 s")
    return f"leads {seconds:.1f} s after the leader was killed; time to live 6 s"


@case("stale-clocks", "--stale-after of another host's claim does not go by wall clocks", finding=9)
def stale_clocks(lab):
    b, c = lab.clients
    figures = []
    for hours in (1, -1):
        shift(c, 3600 * hours)
        b.must(f"flock-cache claim long{hours} --owner none --stale-after 30m")
        done = c.run(f"flock-cache claim long{hours} --owner none --stale-after 30m")
        check(done.code == 75, f"clock {hours:+} h: a claim for 30 min was taken over at once: {done}")
        c.must(f"flock-cache claim short{hours} --owner none --stale-after 5s")
        done = b.run(timed(f"flock-cache claim short{hours} --owner none --stale-after 1h -w 60s"))
        check(done.code == 0, f"clock {hours:+} h: a claim for 5 s was not taken over: {done}")
        seconds = elapsed(done.text)
        check(4 <= seconds <= 10 + SLACK, f"clock {hours:+} h: a claim for 5 s was taken over after {seconds} s")
        figures.append(f"{seconds:.1f}")
        shift(c, -3600 * hours)
    return f"clock 1 h ahead, behind: 30 min kept; 5 s taken over after {' and '.join(figures)} s"


@case("lease-clocks", "a lease of a host whose clock is wrong ends after its time to live", finding=10)
def lease_clocks(lab):
    b, c = lab.clients
    figures = []
    for hours in (1, -1):
        shift(c, 3600 * hours)
        start = time.monotonic()
        c.must(f"flock-cache lease acquire k{hours} --ttl 5s")
        done = b.run(f"flock-cache lease acquire k{hours} --ttl 5s -w 60s")
        seconds = time.monotonic() - start
        check(done.code == 0, f"clock {hours:+} h: not granted within 60 s: {done}")
        check(5 <= seconds <= 10 + SLACK, f"clock {hours:+} h: a lease for 5 s was granted again after {seconds:.1f} s")
        figures.append(f"{seconds:.1f}")
        shift(c, -3600 * hours)
    return f"clock 1 h ahead, behind: granted again {' and '.join(figures)} s after a grant for 5 s"


@case("lease-kept", "a lease that is renewed is not granted to another host; a released one is, at once; slots are counted")
def lease_kept(lab):
    b, c = lab.clients
    shift(c, 3600)
    b.start("exec flock-cache lease run k --ttl 6s -- sh -c 'echo leads; exec sleep 600'").expect("leads")
    done = c.run("flock-cache lease acquire k --ttl 6s -w 25s")
    check(done.code == 124, f"a lease that is renewed was not kept: {done}")
    b.must("kill -TERM $(pgrep -x flock-cache)")
    done = c.run(timed("flock-cache lease acquire k --ttl 6s -w 25s"))
    check(done.code == 0 and elapsed(done.text) < SLACK, f"a released lease: {done}")
    first = int(b.must("flock-cache lease acquire g --ttl 1h"))
    b.must(f"flock-cache lease renew g --generation {first} && flock-cache lease release g --generation {first}")
    second = int(c.must("flock-cache lease acquire g --ttl 1h"))
    check(second > first, f"generations {first} and {second}")
    done = b.run(f"flock-cache lease check g --generation {first}")
    check(done.code == 76, f"an old generation: {done}")
    b.must("flock-cache lease acquire s --slots 2 --ttl 1h")
    c.must("flock-cache lease acquire s --slots 2 --ttl 1h")
    done = c.run("flock-cache lease acquire s --slots 2 --ttl 1h")
    check(done.code == 75, f"a third holder of two slots: {done}")
    return "kept for 25 s by renewals every 2 s; clock 1 h ahead; the third of two slots: 75"


@case("lease-polled", "a lease of a dead host is granted to repeated commands that do not wait")
def lease_polled(lab):
    b, c = lab.clients
    shift(c, 3600)
    start = time.monotonic()
    b.must("flock-cache lease acquire k --ttl 12s")
    done = c.run("until flock-cache lease acquire k --ttl 12s; do sleep 1; done", timeout=60)
    seconds = time.monotonic() - start
    check(done.code == 0 and 12 <= seconds <= 24 + SLACK, f"granted after {seconds:.1f} s: {done}")
    return f"granted {seconds:.1f} s after a grant for 12 s, by commands once a second"
