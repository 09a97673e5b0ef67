"""Loss of contact between a client and the server: cables cut, machines paused, calls that hang."""

import re
import time

from lab import LEASE
from machine import check
from tools import Clock, await_renewals, await_tick, case, ticks, until

# Within a third of the server's lease a holder asks whether it still has its lock; the kill may take a moment.
BOUND = LEASE + LEASE / 3
MOMENT = 2


def hold(lab, kind, options=""):
    """`tick` runs under a lock or lease on b, and waits for it on c."""
    b, c = lab.clients
    command = {"lock": "lock", "lease": "lease run --ttl 10s"}[kind]
    first = b.start(f"flock-cache {command} k {options} -- tick /tmp/ticks; echo rc=$?")
    await_tick(b)
    second = c.start(f"flock-cache {command} k -w 300s -- tick /tmp/ticks; echo rc=$?")
    return first, second


def overlap(lab, clocks):
    """From when the second began to when the first wrote last, as long as it goes on."""
    b, c = lab.clients
    begun = ticks(c, clocks[1])[0]
    # Until the first has ended, or has gone on for longer than it may.
    until(lambda: not b.run("pgrep -x tick").text or time.monotonic() > begun + BOUND + 10, 120, "end of the first")
    return ticks(b, clocks[0])[-1] - begun


@case("lease-cut", "lease run ends COMMAND at the deadline when the server cannot be reached", finding=3)
def lease_cut(lab):
    b, c = lab.clients
    first, _ = hold(lab, "lease")
    await_renewals(lab, "k", 2)
    clocks = [Clock(b), Clock(c)]
    start = time.monotonic()
    lab.cut(b)
    await_tick(c)
    both = overlap(lab, clocks)
    ended = ticks(b, clocks[0])[-1] - start
    check(both <= 0, f"two led for {both:.1f} s; COMMAND ended {ended:.1f} s after the cut, time to live 10 s")
    check(ended <= 10 + MOMENT, f"COMMAND ended {ended:.1f} s after the cut, time to live 10 s")
    lab.mend(b)
    text = first.expect("rc=", timeout=90)
    check("rc=76" in text, f"lease run ended with {text}")
    return (f"COMMAND ended {ended:.1f} s after the cut, {-both:.1f} s before the next led; time to live 10 s; 76: "
            + " ".join(text.split()))


@case("lock-cut", "lock is told when the server took its lock back; two hold it no longer than the bound", finding=4)
def lock_cut(lab):
    b, c = lab.clients
    first, _ = hold(lab, "lock")
    clocks = [Clock(b), Clock(c)]
    start = time.monotonic()
    lab.cut(b)
    await_tick(c)
    both = overlap(lab, clocks)
    ended, begun = ticks(b, clocks[0])[-1] - start, ticks(c, clocks[1])[0] - start
    check(both <= BOUND + MOMENT, f"two had the lock for {both:.1f} s and more; the bound is {BOUND:.0f} s")
    lab.mend(b)
    text = first.expect("rc=", timeout=90)
    check("rc=76" in text, f"lock ended with {text}")
    check(re.search("server", text), f"lock says {text}")
    return (f"COMMAND ended {ended:.1f} s after the cut, the next had the lock after {begun:.1f} s; "
            f"the server's lease is {LEASE} s; 76: " + " ".join(text.split()))


def after_pause(lab, kind, least):
    """b is paused until c has what it held, and for some seconds at least. How long two have it, and what b says."""
    b, c = lab.clients
    first, _ = hold(lab, kind)
    if kind == "lease":
        await_renewals(lab, "k", 2)
    clocks = [Clock(b), Clock(c)]
    start = time.monotonic()
    clocks[0].pause()
    await_tick(c)
    until(lambda: time.monotonic() > start + least, least + 1, "pause")
    resumed = time.monotonic()
    clocks[0].resume()
    until(lambda: not b.run("pgrep -x tick").text or time.monotonic() > resumed + BOUND + 10, 120, "end of the first")
    both = ticks(b, clocks[0])[-1] - resumed
    return both, resumed - start, first


@case("lock-pause", "the same for a machine that was paused: its clocks stood still")
def lock_pause(lab):
    both, paused, first = after_pause(lab, "lock", 0)
    check(both <= BOUND + MOMENT, f"two had the lock for {both:.1f} s and more; the bound is {BOUND:.0f} s")
    text = first.expect("rc=", timeout=90)
    check("rc=76" in text and "server" in text, f"lock ended with {text}")
    return f"paused {paused:.0f} s; COMMAND ended {both:.1f} s after that, bound {BOUND:.0f} s"


@case("lease-pause", "lease run of a machine that was paused ends with 76 soon after")
def lease_pause(lab):
    both, paused, first = after_pause(lab, "lease", 15)
    # By its own clock the lease is not over; the next renewal finds out.
    check(both <= 10 + MOMENT, f"two led for {both:.1f} s")
    text = first.expect("rc=", timeout=90)
    check("rc=76" in text, f"lease run ended with {text}")
    return f"paused {paused:.0f} s; COMMAND ended {both:.1f} s after that; time to live 10 s"


@case("run-cut", "run on a host out of contact is taken over, ends with 76 and publishes nothing")
def run_cut(lab):
    b, c = lab.clients
    first = b.start("flock-cache run k -- sh -c 'tick /tmp/ticks & sleep 70; kill $!; echo of-b'; echo rc=$?")
    await_tick(b)
    second = c.start("flock-cache run k -w 300s -- sh -c 'date +%s >&2; echo of-c'; echo rc=$?")
    lab.cut(b)
    start = time.monotonic()
    text = second.expect("rc=", timeout=120)
    seconds = time.monotonic() - start
    check("of-c" in text and "rc=0" in text, f"c: {text}")
    lab.mend(b)
    text = first.expect("rc=", timeout=150)
    check("rc=76" in text and "of-b" not in text, f"b: {text}")
    for client in lab.clients:
        check(client.must("flock-cache get k") == "of-c", f"{client.name} reads another value")
    return f"taken over {seconds:.1f} s after the cut; b: " + " ".join(text.split())


HANGING = ["lock -n n -- true", "claim n --owner none --stale-after 1h", "get there", "wait -w 2s there", "stats", "who"]


@case("hang", "a wait that a hanging server prolongs says so, and TERM ends it", finding=13)
def hang(lab):
    _, c = lab.clients
    c.must("flock-cache claim there --owner none --stale-after 1d")
    lab.cut(c)
    jobs = [c.start(f"echo $$; exec flock-cache {command}") for command in HANGING]
    wrong, start, slowest, ended = [], time.monotonic(), 0, 0
    for command, job in zip(HANGING, jobs):
        pid = job.expect("\n").split()[0]
        end = start + 30
        while not re.search("server|answer", job.text) and not job.is_over and time.monotonic() < end:
            time.sleep(0.2)
        if job.is_over or not re.search("server|answer", job.text):
            wrong.append(f"{command}: {'ended' if job.is_over else 'nothing'} after "
                         f"{time.monotonic() - start:.0f} s: {job.text.split()}")
        slowest = max(slowest, time.monotonic() - start)
        told = time.monotonic()
        c.run(f"kill -TERM {pid}")
        until(lambda: job.is_over or time.monotonic() > told + 10, 12, "end")
        if not job.is_over:
            wrong.append(f"{command}: TERM does not end it within 10 s")
        ended = max(ended, time.monotonic() - told)
    check(not wrong, "; ".join(wrong))
    said = " ".join(jobs[0].text.split()[1:])
    return f"said within {slowest:.1f} s: {said}; ended {ended:.1f} s after TERM"
