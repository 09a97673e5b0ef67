"""Claims, runs and locks of two clients, of two mounts of one client, of containers, of hosts with one name."""

import re
import threading
import time

from lab import LEASE, Skipped
from machine import Wrong, check
from tools import Clock, await_tick, case, elapsed, ticks, timed, until

RACE = """
for round in {first}..{last}; do
    for claimant in 1 2 3; do
        (text=$(flock-cache claim {prefix}-$round --owner none --stale-after 10d 2>&1); echo "= $round $? $text") &
    done
    wait
done
"""


def race_script(first, last, prefix="r"):
    script = RACE.replace("{first}..{last}", f"$(seq {first} {last})")
    return script.replace("{prefix}", prefix)


def judge_rounds(texts, first, last):
    """Of each round there is one winner, and all others are told that it is pending. Winners by client."""
    won = [0, 0]
    for number in range(first, last + 1):
        codes = [re.findall(rf"^= {number} (\d+)", text, re.MULTILINE) for text in texts]
        for client, found in enumerate(codes):
            check(len(found) == 3, f"round {number}: {codes}")
            won[client] += found.count("0")
        both = codes[0] + codes[1]
        check(both.count("0") == 1 and both.count("75") == 5, f"round {number}: codes {codes}")
    return won


@case("races", "3 and 3 claims of one key at once by two clients: one winner a round")
def races(lab):
    won, size = [0, 0], 10
    for first in range(1, lab.rounds + 1, size):
        last = min(first + size - 1, lab.rounds)
        # Begun at the same time, give or take the noise of starting; who is first drifts.
        jobs = [client.start(race_script(first, last)) for client in lab.clients]
        counts = judge_rounds([job.wait(300).text for job in jobs], first, last)
        won = [a + b for a, b in zip(won, counts)]
    check(min(won) > 0, f"one client won all: {won}")
    for client in lab.clients:
        check(int(client.must("flock-cache list | wc -l")) == lab.rounds, f"{client.name} lists another number")
    return f"{lab.rounds} rounds, one winner each: b {won[0]}, c {won[1]}"


def run_beside(first, second, key, other_store=None, seconds=6):
    """How often `run` computed: begun by the first, asked for by the second meanwhile."""
    prefix = f"FLOCK_CACHE_DIR={other_store} " if other_store else ""
    holder = first.start(f"flock-cache run {key} -- sh -c 'echo computes >&2; sleep {seconds}; echo value'; echo rc=$?")
    holder.expect("computes")
    waiter = second.start(f"{prefix}flock-cache run {key} -- sh -c 'echo computes >&2; echo value'; echo rc=$?")
    texts = [holder.wait(120).text, waiter.wait(120).text]
    return texts, sum(text.count("computes") for text in texts)


@case("runs", "run waits for the other client's run: one computation, both get the value")
def runs(lab):
    b, c = lab.clients
    rounds = 6
    for number in range(rounds):
        first, second = (b, c) if number % 2 == 0 else (c, b)
        # The waiter's client has seen that the key is not there.
        second.run(f"flock-cache get k{number}")
        texts, count = run_beside(first, second, f"k{number}", seconds=3)
        check(count == 1 and all("value\nrc=0" in text for text in texts), f"round {number}: {count} computations: {texts}")
    return f"{rounds} rounds, one computation each"


@case("run-killed", "a run that is killed is taken over by the other client")
def run_killed(lab):
    b, c = lab.clients
    figures = []
    for number in range(5):
        holder = b.start(f"exec flock-cache run k{number} -- sh -c 'echo computes >&2; exec sleep 600'")
        holder.expect("computes")
        waiter = c.start(f"flock-cache run k{number} -w 60s -- echo taken; echo rc=$?")
        until(lambda: "waiting" in waiter.text or c.run("pgrep -x flock-cache").text, 20, "waiter")
        b.must("kill -9 $(pgrep -x flock-cache)")
        start = time.monotonic()
        text = waiter.expect("rc=")
        check("taken\nrc=0" in text, f"c: {text}")
        figures.append(time.monotonic() - start)
        check(max(figures) < 10, f"taken over after {max(figures):.1f} s")
    return f"5 times; taken over {min(figures):.1f} to {max(figures):.1f} s after the kill"


# -- One host that has the export twice


def judge_second(first, second, store, lab, refusal, rounds=3):
    """The second mount is refused with these words, or computes nothing twice and excludes."""
    done = second.run(f"FLOCK_CACHE_DIR={store} flock-cache get k")
    if done.code == 69:
        check(re.search(refusal, done.text), f"refused with {done.text}")
        return "refused (69): " + " ".join(done.text.split())
    wrong = 0
    for number in range(rounds):
        texts, count = run_beside(first, second, f"two{number}", store)
        wrong += count != 1
    check(not wrong, f"{wrong} of {rounds} rounds of run computed twice: {texts}")
    holder = first.start("flock-cache lock k -- sh -c 'echo locked; sleep 6'; echo rc=$?")
    holder.expect("locked")
    done = second.run(f"FLOCK_CACHE_DIR={store} flock-cache lock -n k -- true")
    check(done.code == 75, f"two hold a lock: {done}")
    said = " ".join(second.run(f"FLOCK_CACHE_DIR={store} flock-cache get none").text.split())
    return f"{rounds} rounds of run computed once, a lock excludes; it says: {said or 'nothing'}"


@case("two-mounts", "the same export mounted twice by one host: refused, or safe", finding=6)
def two_mounts(lab):
    c = lab.c
    c.must("flock-cache init && attach vers=4.2,nosharecache /m2")
    return judge_second(c, c, lab.store.replace("/m/", "/m2/", 1), lab, "mounted")


CONTAINER = """
ip netns add n1
ip link add mv0 link eth1 type macvlan mode bridge
ip link set mv0 netns n1
ip netns exec n1 sh -c 'ip address add 10.9.0.4/32 dev mv0; ip link set lo up; ip link set mv0 up; ip route add 10.9.0.1 dev mv0'
mkdir -p /m3
"""


def containers(lab, is_unique):
    """A network namespace of guest c with a mount of its own, as a container has. The second is a job that runs in it."""
    c = lab.c
    lab.a.must("ip route replace 10.9.0.4 dev eth2")
    c.must(CONTAINER)
    own = "cat /proc/sys/kernel/random/uuid > /tmp/sys/fs/nfs/net/nfs_client/identifier;" if is_unique else ""
    # The mount stays in a namespace of mounts that this process keeps.
    keeper = c.start(
        "ip netns exec n1 unshare -m bash -c 'mkdir -p /tmp/sys; mount -t sysfs s /tmp/sys; mount --make-rprivate /;"
        f"{own} mount -t nfs -o vers=4.2 10.9.0.1:/ /m3 && umount /m && echo mounted $$; exec sleep 3600'")
    pid = keeper.expect("mounted").split("mounted ")[1].split()[0]

    class Inside:
        name = "c's container"

        def start(self, script):
            return c.start(f"exec nsenter -t {pid} -m -n bash -c {quoted(c.environment + script)}")

        def run(self, script):
            return self.start(script).wait(120)

    return Inside()


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


@case("containers", "a container with a mount and a client name of its own: computed once, excluded", finding=6)
def own_names(lab):
    inside = containers(lab, True)
    lab.c.must("flock-cache init")
    return judge_second(lab.c, inside, lab.store.replace("/m/", "/m3/", 1), lab, "mounted|identifier|unique")


def two_of_a_name(lab, first, second, store, begin):
    """The server throws one's locks out when the other comes: the second is refused, or who lost its lock is told.

    The first may come back, and throw out the second in its turn.
    """
    holder = first.start("flock-cache lock k -- tick /tmp/first; echo rc=$?")
    await_tick(first, "/tmp/first")
    clock = Clock(first)
    begin()
    done = second().run(f"FLOCK_CACHE_DIR={store} flock-cache lock k -w 60s -- true")
    if done.code in (69, 78, 125) and re.search("nfs4_unique_id|unique|same name|host name", done.text):
        return "refused: " + " ".join(done.text.split())
    told = done.code == 76 and re.search("unique|same name", done.text)
    check(done.code == 0 or told, f"the second was neither refused nor excluded nor told: {done}")
    start = time.monotonic()
    until(lambda: not first.run("pgrep -x tick").text or time.monotonic() > start + LEASE * 4 / 3 + 5, 120, "end")
    if told and first.run("pgrep -x tick").text:
        return "the first has it, and the second was told: " + " ".join(done.text.split())
    both = ticks(first, clock, "/tmp/first")[-1] - start
    check(both < LEASE * 4 / 3 + 2, f"two have the lock for {both:.0f} s and more, and the second was told {done.text!r}")
    text = holder.expect("rc=")
    check("rc=76" in text and re.search("unique|same name", text), f"the first ended with {text}")
    return f"two held it for {max(both, 0):.1f} s; the first: " + " ".join(text.split())


@case("same-name", "two clients with one host name and no nfs4_unique_id: refused, or the loser is told", finding=8)
def same_name(lab):
    b, c = lab.clients
    c.must("umount /m; hostname b")
    return two_of_a_name(lab, b, lambda: c, lab.store, lambda: c.must("attach"))


@case("container-name", "a container that has its host's name: the same", finding=8)
def container_name(lab):
    inside = []
    return two_of_a_name(lab, lab.c, lambda: inside[0], lab.store.replace("/m/", "/m3/", 1),
                         lambda: inside.append(containers(lab, False)))
