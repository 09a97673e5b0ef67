"""What one client sees of what another has done."""

import re
import time

from machine import check
from tools import case, elapsed, timed, until

# The client keeps what it knows of a directory for 30 to 60 s; a waiter must not.
SEEN = 5


def spoken(figures):
    return ", ".join(f"{figure:.1f}" for figure in figures)


@case("wait", "wait sees what another client publishes, and says nothing false", finding=5)
def wait_sees(lab):
    b, c = lab.clients
    # A key that is not there when the wait begins: in a new store, and in one that has other keys.
    late = []
    for key in ("new", "other", "other2"):
        waiter = c.start(f"echo begun; exec flock-cache wait {key} --also-absent -w 90s")
        waiter.expect("begun")
        until(lambda: c.run("pgrep -x flock-cache").text, 20, "waiter")
        # It has looked, and its client knows that there is no such file.
        c.run(f"flock-cache get {key}")
        b.must(f"flock-cache put {key} value")
        start = time.monotonic()
        done = waiter.wait(100)
        late.append(time.monotonic() - start)
        check(done.code == 0 and "value" in done.text, f"--also-absent: {done}")
    check(max(late) < SEEN, f"wait --also-absent saw values {spoken(late)} s after they were there: in a new store, later twice")
    # A key that is pending: published while the wait goes on.
    figures = []
    for number, command in enumerate(("wait", "claim", "wait", "claim")):
        owner = b.start(f"flock-cache run p{number} -- sh -c 'echo computes >&2; sleep 5; echo value'; echo rc=$?")
        owner.expect("computes")
        waiter = c.start(f"flock-cache {command} p{number} -w 90s; echo rc=$?")
        owner.expect("rc=0")
        start = time.monotonic()
        text = waiter.wait(100).text
        figures.append(time.monotonic() - start)
        expected = "rc=0" if command == "wait" else "rc=1"
        check("value" in text and expected in text, f"{command} of a key that is published: {text}")
        check(figures[-1] < SEEN, f"{command} saw the value {figures[-1]:.1f} s after it was there")
    return f"absent: after {spoken(late)} s; pending: after {spoken(figures)} s"


@case("stats", "stats is exact, or says that it is approximate", finding=11)
def stats(lab):
    from exclusion import race_script
    counts = []
    for start in range(1, 121, 60):
        jobs = [client.start(race_script(start, start + 59, "s")) for client in lab.clients]
        for job in jobs:
            job.wait(300)
        for client in lab.clients:
            text = client.must("flock-cache stats")
            found = int(re.search(r"^pending (\d+)", text, re.MULTILINE)[1])
            counts.append((found, start + 59))
            check(found == start + 59 or "approximate" in text, f"{client.name}: {found} of {start + 59} and no word: {text}")
    said = " ".join(text.split())
    return f"pending, and how many there were: {counts}; {said}"


@case("commands", "finalize, get, list, who, release, remove, increment, journals across clients")
def commands(lab):
    b, c = lab.clients
    generation = b.must("flock-cache claim k --owner none --stale-after 1h")
    check(c.run("flock-cache get k").code == 75, "a pending key")
    check("k" in c.must("flock-cache list --pending"), "list")
    b.must(f"flock-cache finalize k value --generation {generation}")
    check(c.must("flock-cache get k") == "value", "get")
    check(c.run("flock-cache claim k").code == 1, "claim of a ready key")
    c.must("flock-cache remove k")
    check(b.run("flock-cache get k").code == 1, "a removed key")
    for number in range(10):
        (b, c)[number % 2].must("flock-cache increment n")
    check(b.must("flock-cache get n") == "10" == c.must("flock-cache get n"), "increment")
    jobs = [client.start("for i in $(seq 20); do flock-cache increment both > /dev/null || exit; done") for client in (b, c)]
    check([job.wait().code for job in jobs] == [0, 0], "increments at once")
    check(b.must("flock-cache get both") == "40", f"increments at once: {b.must('flock-cache get both')}")
    b.must("flock-cache init --journal", code=b.run("flock-cache init --journal").code)
    for client in (b, c):
        client.must(f"echo of-{client.name} | flock-cache journal append j")
    check(b.must("flock-cache journal read j").count("of-") == 2, "journal")
    return "all as on one machine; 40 increments by two clients at once: 40"


@case("names", "claims, leases, locks, who and messages name the other host; ages are true or left out")
def names(lab):
    b, c = lab.clients
    c.must("date -s @$(( $(date +%s) + 3600 )) > /dev/null")
    b.must("sleep 600 > /dev/null 2>&1 & flock-cache claim k --owner $!")
    b.start("exec flock-cache lock l -- sh -c 'echo holds; exec sleep 600'").expect("holds")
    b.start("exec flock-cache lease run e --ttl 10s -- sh -c 'echo holds; exec sleep 600'").expect("holds")
    told = {
        "claim": c.run("flock-cache claim k").text, "lock": c.run("flock-cache lock -n l -- true").text,
        "lease": c.run("flock-cache lease acquire e --ttl 10s").text, "who": c.run("flock-cache who --json").text,
        "list": c.run("flock-cache list").text}
    nameless = [kind for kind in ("claim", "lock", "lease") if not re.search(r"\bb\b", told[kind])]
    check(not nameless, f"the host is not named: { {kind: told[kind] for kind in nameless} }")
    check(told["who"].count('"host":"b"') >= 3, f"who does not name the host: {told['who']}")
    for kind, text in told.items():
        check(not re.search(r"\b(5[5-9]|60|[1-9]\d\d+) min|\b1\.?0? h|36\d\d(\.\d)? s", text), f"{kind}: a wrong age: {text}")
    return "; ".join(" ".join(told[kind].split()) for kind in ("claim", "lock", "lease"))
