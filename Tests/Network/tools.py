"""What the tests share: the list of them, waiting for events, reading logs of ticks."""

import collections
import time

from machine import Wrong, check

Case = collections.namedtuple("Case", "name text body mount machines finding")
CASES = {}


def case(name, text, mount="vers=4.2", machines="bc", finding=None):
    """Lists a test. Its body takes the laboratory, and returns the figure that it saw."""
    def listed(body):
        assert name not in CASES
        CASES[name] = Case(name, text, body, mount, machines, finding)
        return body
    return listed


def until(condition, timeout, message):
    """What `condition` returns when it is true; it is asked again and again."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"{message}: not within {timeout} s")
        time.sleep(0.1)


def sequence(lab, key):
    """How often a lease was renewed, as its file on the server says."""
    path = "/srv/x" + lab.store.removeprefix("/m")
    text = lab.a.run(f"cat {path}/leases/*/{key} | tr '\\0' '\\n' | sed -n 's/^sequence: //p' | sort -n | tail -n 1").text
    return int(text or -1)


def await_renewals(lab, key, count, timeout=60):
    first = sequence(lab, key)
    until(lambda: sequence(lab, key) >= first + count, timeout, f"{count} renewals of {key}")


class Clock:
    """Of one guest: from its boot clock to the host's. Both run alike except while it is paused."""

    def __init__(self, machine):
        self.machine, self.pauses = machine, []
        self._marks = [(0, machine.clock_offset())]

    def pause(self):
        self.machine.pause()
        self.pauses.append((time.monotonic(), None))

    def resume(self):
        since = self.pauses[-1][0]
        self.machine.resume()
        self.pauses[-1] = (since, time.monotonic())
        # All that the guest writes from now on is later by the pause.
        self._marks.append((since - self._marks[-1][1], self.machine.clock_offset()))

    def host_time(self, up):
        return up + [offset for since, offset in self._marks if up >= since][-1]

    def paused_within(self, start, end):
        return sum(max(0, min(end, stop) - max(start, begin)) for begin, stop in self.pauses)


def await_tick(machine, path="/tmp/ticks", timeout=120):
    machine.must(f"until [ -s {path} ]; do busybox usleep 50000; done", timeout=timeout)


def ticks(machine, clock, path="/tmp/ticks"):
    """The times of the host at which tick(1) of a guest wrote; without the last line where it is not complete."""
    text = machine.must(f"cat {path}")
    return [clock.host_time(float(line)) for line in text.split("\n") if line.count(".") == 1]


def elapsed(text):
    """The seconds that `timed` printed."""
    for line in text.split("\n"):
        if line.startswith("took "):
            return float(line.split()[1])
    raise Wrong(f"no time in {text!r}")


def timed(command):
    """A script that runs a command, and prints its exit code and the seconds by the boot clock."""
    return (f"read -r start _ < /proc/uptime; {command}; code=$?; read -r stop _ < /proc/uptime; "
            "python3 -c \"print('took %.2f' % ($stop - $start))\"; exit $code")
