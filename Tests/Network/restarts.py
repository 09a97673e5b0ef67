"""The server restarts, with and without what it remembers; clients and the server lose power."""

import time

from lab import GRACE, LEASE, Skipped
from machine import check
from tools import Clock, await_tick, case, elapsed, ticks, timed, until

BOUND = LEASE + LEASE / 3
MOMENT = 2


def restart(lab, forget):
    wipe = "rm -rf /var/lib/nfs/nfsdcld/* /var/lib/nfs/v4recovery/*;" if forget else ""
    lab.a.must(f"rpc.nfsd 0; {wipe} sleep 3; "
               f"echo {GRACE} > /proc/fs/nfsd/nfsv4gracetime; echo {LEASE} > /proc/fs/nfsd/nfsv4leasetime; rpc.nfsd 4")


def across_restart(lab, forget):
    """A lock and a run are held by b and awaited by c when the server restarts. How long two hold the lock."""
    b, c = lab.clients
    lock = b.start("flock-cache lock l -- sh -c 'tick /tmp/ticks & busybox sleep 60; kill $!'; echo rc=$?")
    run = b.start("flock-cache run r -- sh -c 'echo computes >&2; busybox sleep 60; echo of-b'; echo rc=$?")
    await_tick(b)
    run.expect("computes")
    lock_waiter = c.start("flock-cache lock l -w 300s -- tick /tmp/ticks")
    run_waiter = c.start("flock-cache run r -w 300s -- sh -c 'echo of-c'; echo rc=$?")
    clocks = [Clock(b), Clock(c)]
    until(lambda: int(c.run("pgrep -xc flock-cache").text or 0) >= 2, 20, "waiters")
    restart(lab, forget)
    done = c.run(timed("flock-cache claim new --owner none --stale-after 1h"), timeout=200)
    check(done.code == 0, f"a claim after the restart: {done}")
    new = elapsed(done.text)
    await_tick(c, timeout=200)
    lock_text, run_text = lock.expect("rc=", 200), run.expect("rc=", 200)
    both = ticks(b, clocks[0])[-1] - ticks(c, clocks[1])[0]
    del lock_waiter
    return both, new, lock_text, run_text, run_waiter.expect("rc=", 200)


@case("restart", "the server restarts: locks are reclaimed, nothing is held twice or computed twice")
def restart_with_memory(lab):
    both, new, lock, run, waiter = across_restart(lab, False)
    check(both <= 0.5, f"two had the lock for {both:.1f} s")
    check("rc=0" in lock and "of-b\nrc=0" in run and "of-b\nrc=0" in waiter, f"b: {lock} {run}; c: {waiter}")
    return f"lock kept, one computation; a new claim took {new:.1f} s, grace {GRACE} s"


@case("restart-forgotten", "the server restarts and has forgotten its clients: each loss is told")
def restart_without_memory(lab):
    both, new, lock, run, waiter = across_restart(lab, True)
    lost = lab.b.run("dmesg | grep -o 'lost [0-9]* locks' | tail -n 1").text.strip()
    if both <= 0 and not lost:
        raise Skipped("the server has not forgotten its clients")
    if both > 0.5:
        check(both <= BOUND + MOMENT, f"two had the lock for {both:.1f} s, the bound is {BOUND:.0f} s; b: {lock}")
        check("rc=76" in lock, f"two had the lock for {both:.1f} s, and b ended with {lock}")
    if "of-c" in waiter:
        check("rc=76" in run and "of-b" not in run, f"computed twice, and b ended with {run}")
    return (f"two had the lock for {max(both, 0):.1f} s, bound {BOUND:.0f} s; b's lock: {' '.join(lock.split())}; b's run: "
            f"{' '.join(run.split())}; kernel: {lost or 'nothing lost'}")


@case("client-power", "a client loses power: locks, leases and runs are free, its claims ask for a decision")
def client_power(lab):
    b, c = lab.clients
    b.start("exec flock-cache lock l -- sh -c 'echo holds; exec sleep 600'").expect("holds")
    b.start("exec flock-cache lease run e --ttl 20s -- sh -c 'echo holds; exec sleep 600'").expect("holds")
    b.start("exec flock-cache run r -- sh -c 'echo holds >&2; exec sleep 600'").expect("holds")
    b.must("sleep 600 > /dev/null 2>&1 & flock-cache claim p --owner $!")
    b.must("flock-cache claim s --owner none --stale-after 30m")
    start = time.monotonic()
    b.lose_power()
    jobs = {name: c.start(f"flock-cache {command}; echo rc=$?") for name, command in (
        ("lock", "lock -w 200s l -- true"), ("lease", "lease acquire -w 200s e --ttl 10s"), ("run", "run -w 200s r -- echo of-c"))}
    found = {}
    while len(found) < len(jobs):
        for name, job in jobs.items():
            if name not in found and job.is_over:
                check("rc=0" in job.text, f"{name}: {job.text}")
                found[name] = time.monotonic() - start
        check(time.monotonic() < start + 220, f"free after 220 s are only {found}")
        time.sleep(0.1)
    b.await_boot()
    lab.prepare(b)
    done = c.run("flock-cache claim p")
    check(done.code == 75, f"the claim of a process: {done}")
    said = " ".join(done.text.split())
    b.must("attach")
    done = b.run("flock-cache claim s")
    check(done.code == 75, f"a claim for 30 min: {done}")
    text = c.must("flock-cache reap --assume-dead-after 1s")
    check("p\t" in text, f"reap --assume-dead-after: {text}")
    return (", ".join(f"{name} after {seconds:.0f} s" for name, seconds in found.items())
            + f"; server's lease {LEASE} s, time to live 20 s; the claim of a process: {said}; reap: {' '.join(text.split())}")


@case("server-power", "the server loses power: what was published is there, locks are reclaimed")
def server_power(lab):
    b, c = lab.clients
    for number in range(20):
        b.must(f"flock-cache put k{number} value-{number}")
    lock = b.start("flock-cache lock l -- sh -c 'tick /tmp/ticks & busybox sleep 90; kill $!'; echo rc=$?")
    await_tick(b)
    c.start("flock-cache lock l -w 300s -- tick /tmp/ticks")
    until(lambda: c.run("pgrep -x flock-cache").text, 20, "waiter")
    clocks = [Clock(b), Clock(c)]
    lab.reboot(lab.a)
    await_tick(c, timeout=300)
    text = lock.expect("rc=", 200)
    both = ticks(b, clocks[0])[-1] - ticks(c, clocks[1])[0]
    check(both <= 0.5 or (both <= BOUND + MOMENT and "rc=76" in text), f"two had the lock for {both:.1f} s; b: {text}")
    wrong = [number for number in range(20) if c.run(f"flock-cache get k{number}").text != f"value-{number}"]
    check(not wrong, f"values are lost: {wrong}")
    return f"20 of 20 values; two had the lock for {max(both, 0):.1f} s; b: {' '.join(text.split())}"
