"""Options of mounts and exports: what is accepted, what is refused, what is said."""

import re
import time

from exclusion import judge_rounds, race_script, run_beside
from lab import LEASE
from machine import check
from tools import case, elapsed, timed, until


def works(lab, rounds=10):
    """A short form of the tests of exclusion; a figure."""
    b, c = lab.clients
    # The first lock of an NFSv3 client waits for its daemons.
    first = [elapsed(client.must(timed("flock-cache lock first -- true"))) for client in (b, c)]
    jobs = [client.start(race_script(1, rounds, "w")) for client in (b, c)]
    judge_rounds([job.wait(300).text for job in jobs], 1, rounds)
    texts, count = run_beside(b, c, "run", seconds=3)
    check(count == 1, f"run computed {count} times: {texts}")
    holder = b.start("exec flock-cache lock k -- sh -c 'echo locked; exec sleep 600'")
    holder.expect("locked")
    done = c.run("flock-cache lock -n k -- true")
    check(done.code == 75, f"two hold a lock: {done}")
    b.must("kill $(pgrep -x flock-cache)")
    done = c.run(timed("flock-cache lock -w 60s k -- true"))
    check(done.code == 0, f"a lock that is free: {done}")
    said = " ".join(c.run("flock-cache get none").text.split())
    return f"{rounds} races, run, lock right; first locks took {first[0]} and {first[1]} s; a lock is had {elapsed(done.text):.1f} s after its holder's end" + (
        f"; it says: {said}" if said else "")


@case("v3", "NFSv3 with lockd", mount="vers=3")
def version_3(lab):
    return works(lab)


@case("v40", "NFSv4.0", mount="vers=4.0")
def version_40(lab):
    return works(lab)


@case("v41", "NFSv4.1", mount="vers=4.1")
def version_41(lab):
    return works(lab)


@case("v4-nolock", "NFSv4.2 mounted with nolock, which means nothing there", mount="vers=4.2,nolock")
def version_4_nolock(lab):
    return works(lab)


@case("lookupcache", "lookupcache=none, noac", mount="vers=4.2,lookupcache=none,noac")
def uncached(lab):
    return works(lab)


@case("nolock", "NFSv3 with nolock or local_lock: refused with the option's name", mount=None, finding=7)
def nolock(lab):
    b, c = lab.clients
    figures = []
    for options, words in (("vers=3,nolock", "nolock|local_lock"), ("vers=3,local_lock=all", "local_lock=all"),
                           ("vers=3,local_lock=posix", "local_lock=posix")):
        for client in (b, c):
            client.must(f"attach {options}; mkdir -p {lab.work}")
        done = b.run("flock-cache claim k --owner none --stale-after 1h")
        check(done.code == 69 and re.search(words, done.text), f"{options}: {done}")
        figures.append(f"{options}: " + " ".join(done.text.split()))
        for client in (b, c):
            client.must("umount /m")
    return "; ".join(figures)


@case("soft", "a soft mount is warned of by open and by doctor", mount=None, machines="c")
def soft(lab):
    c = lab.c
    c.must("attach vers=4.2,soft,timeo=20,retrans=1; mkdir -p " + lab.work)
    opened = c.run("flock-cache claim k --owner none --stale-after 1h")
    doctor = c.run("flock-cache doctor")
    check("soft" in opened.text, f"open says nothing: {opened}")
    check("soft" in doctor.text, f"doctor says nothing: {doctor.text}")
    lab.cut(c)
    done = c.run(timed("flock-cache claim other --owner none --stale-after 1h"), timeout=120)
    lab.mend(c)
    check(done.code != 0, f"a claim without a server: {done}")
    return f"open: {' '.join(opened.text.split())}; cut off: {done.code}, {' '.join(done.text.split())}"


def filled(lab):
    lab.b.must("flock-cache put ready value; flock-cache claim pending --owner none --stale-after 1h")


@case("read-only", "a read-only mount, a read-only export: reading works, changes end with 73")
def read_only(lab):
    b, c = lab.clients
    filled(lab)

    def judge(where):
        expected = {
            "get ready": 0, "list": 0, "stats": 0, "claim new": 73, "put new x": 73, "remove ready": 73,
            "reap --max-age 1s": 73, "lock l -- true": 125, "lease acquire e --ttl 5s": 73, "run ready -- true": 0}
        wrong = []
        for command, code in expected.items():
            done = c.run(f"flock-cache {command}")
            if done.code != code:
                wrong.append(f"{command}: {done.code} {' '.join(done.text.split())}")
        check(not wrong, f"{where}: " + "; ".join(wrong))

    c.must("mount -o remount,ro /m")
    judge("mount ro")
    c.must("umount /m")
    lab.a.must("exportfs -o ro,sync,no_root_squash,no_subtree_check,fsid=0 10.9.0.3:/srv/x")
    try:
        c.must("attach")
        judge("export ro")
    finally:
        lab.a.must("exportfs -u 10.9.0.3:/srv/x; exportfs -ra")
    return "get, list, stats, run of a ready key work; changes 73, lock 125; both alike"


@case("root-squash", "root_squash: a store of another user is refused; a new one leaves nothing behind")
def root_squash(lab):
    b, c = lab.clients
    filled(lab)
    c.must("umount /m")
    lab.a.must("exportfs -o rw,sync,root_squash,no_subtree_check,fsid=0 10.9.0.3:/srv/x")
    try:
        c.must("attach")
        foreign = c.run("flock-cache claim k")
        new = c.run(f"FLOCK_CACHE_DIR={lab.work}/new flock-cache claim k --owner none --stale-after 1h")
        left = b.run(f"ls -d {lab.work}/new").code == 0
    finally:
        lab.a.must("exportfs -u 10.9.0.3:/srv/x; exportfs -ra")
    check(foreign.code == 77, f"a store of root, asked by nobody: {foreign}")
    check(new.code == 77 and not left, f"a new store: {new}; {'left behind' if left else 'nothing is left'}")
    check(re.search("root_squash|maps root", new.text), f"a new store: {new}")
    return f"foreign: {' '.join(foreign.text.split())}; new: {' '.join(new.text.split())}"


@case("async", "an export with async", mount=None)
def asynchronous(lab):
    lab.a.must("exportfs -o rw,async,no_root_squash,no_subtree_check,fsid=0 10.9.0.0/24:/srv/x")
    try:
        for client in lab.clients:
            client.must("attach; mkdir -p " + lab.work)
        return works(lab)
    finally:
        for client in lab.clients:
            client.run("settle")
        lab.a.must("exportfs -u 10.9.0.0/24:/srv/x; exportfs -ra")


@case("doctor", "doctor names the server's lease, and passes on a plain mount")
def doctor(lab):
    lab.b.must("flock-cache init")
    done = lab.b.run("flock-cache doctor -v")
    check(done.code == 0, f"doctor: {done}")
    check(re.search(rf"\b{LEASE}(\.0)? s\b", done.text), f"doctor does not name the server's lease: {done.text}")
    return " ".join(done.text.split())


@case("doctor-meets", "doctor --serve and --meet prove exclusion of two hosts")
def doctor_meets(lab):
    b, c = lab.clients
    b.must("flock-cache init")
    server = b.start("flock-cache doctor --serve; echo rc=$?")
    until(lambda: b.run("pgrep -x flock-cache").text, 20, "server")
    done = c.run("flock-cache doctor --meet", timeout=120)
    text = server.expect("rc=")
    check(done.code == 0, f"--meet: {done}; --serve: {text}")
    check("rc=0" in text, f"--serve: {text}")
    return f"--meet: {' '.join(done.text.split())}; --serve: {' '.join(text.split())}"
