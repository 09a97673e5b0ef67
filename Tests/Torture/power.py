"""Cuts the power, on ext4 and XFS, as root, in two ways.

**At every system call** of claim, finalize, abandon, remove, put and increment, by the file system's own ioctl. A store
made with `--durable` lies on a loop-mounted image. The command is killed at a call, and the file system
shut down, which drops what was not written: with flag 2 also the journal in memory, with flag 1 only
data. After mounting again, and with another boot id, as after a restart:
- what was acknowledged (a generation printed, exit 0) is there, byte for byte;
- every key is in its old or its new state, and the neighbours are as they were;
- nothing torn is ever returned; `stats` says what the files say; the next claim gets the right answer.

Negative control: the same with a store that is not durable must lose what was acknowledged, and even
so must never return a wrong byte.

**Between any two writes to the disk**, of histories of commands (leases among them) on stores that are
durable and on stores that are not. The disk is one that remembers (disk.py), and is made anew as the cut
may leave it: what was not flushed is lost, written, written without what came before, or torn at its
sectors. After mounting, and with another boot id:
- the marker is whole, in every store;
- a durable store has everything that was acknowledged, leases and their generations too;
- every command works: none refuses the store, none returns what nobody published, a lease is free and
  its generation rises, `stats` says what the files say.

Negative control: of what stores that are not durable acknowledged, some must be lost.

With --quick only the calls that change something: before any other the disk is as before the next of
these; of many calls in a row the first and the last; of a durable store with the journal of the file system
written or not, by the seed; and two short histories a file system and kind.
With --only PATTERN the histories are the scenarios "history-durable" and "history-plain".
"""

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import uuid

import disk as recording
import rig as torture
import scenarios
from history import History
from rig import KEY, Wrong, check

FILE_SYSTEMS = {"ext4": (["mkfs.ext4", "-qF", "-m", "0"], "64M"), "xfs": (["mkfs.xfs", "-qf"], "320M")}
ATTACKED = [
    "claim-first", "claim", "take-over", "renew", "finalize", "finalize-large", "finalize-over",
    "finalize-large-over", "abandon", "remove-both", "put-first", "put", "put-over", "put-over-number",
    "put-over-stale", "put-large-over", "increment-first", "increment", "increment-over"]
SHUT_DOWN = 0x8004587D  # _IOR('X', 125, u32): EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
FLAGS = {1: "journal written", 2: "nothing written"}
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Disk:
    def __init__(self, home, name):
        make, size = FILE_SYSTEMS[name]
        self.image, self.mount = os.path.join(home, f"{name}.image"), os.path.join(home, name)
        os.mkdir(self.mount)
        must("truncate", "-s", size, self.image)
        must(*make, self.image)
        self.attach()

    def attach(self):
        must("mount", "-o", "loop", self.image, self.mount)

    def detach(self):
        must("umount", self.mount)

    def sync(self):
        must("sync", "-f", self.mount)

    def cut(self, flag):
        descriptor = os.open(self.mount, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUT_DOWN, struct.pack("I", flag))
        os.close(descriptor)
        self.detach()
        self.attach()


def must(*command):
    subprocess.run(command, check=True, capture_output=True)


class Boot:
    """Another boot id for every start, by a file mounted over the kernel's."""

    def __init__(self, home):
        self._path = os.path.join(home, "boot-id")
        self.restart()
        must("mount", "--bind", self._path, BOOT_ID)

    def restart(self):
        with open(self._path, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")


def attack(scenario, disk, boot, flag, point):
    """One cut; returns what was lost although it was acknowledged: "", or a sentence."""
    store = scenario.copy()
    disk.sync()
    arguments = scenario.arguments(store)
    if point:
        arguments = torture.faulty(arguments, point, "signal=KILL")
    done = torture.run(arguments)
    disk.cut(flag)
    boot.restart()
    try:
        return check_after(scenario, store, done)
    finally:
        shutil.rmtree(store.path)


def check_after(scenario, store, done):
    acknowledged = done.code == 0 or done.out.endswith(b"\n")
    view = store.view()
    values = {side[KEY][0][2] for side in (scenario.old.keys, scenario.new.keys)
              if side.get(KEY, (None,))[0]}
    read = store.copy(scenario.rig.path("read"))
    got = read.run("get", KEY)
    shutil.rmtree(read.path)
    check(got.code in (0, 1, 65, 75), f"get ended with {got.code}: {got.err.decode()}")
    check(got.code != 0 or got.out in values, f"get returned {torture.brief(got.out)}")
    lost = ""
    try:
        progress = scenario.progress(view)
        if acknowledged and not all(progress.values()):
            lost = f"acknowledged, but {progress}"
    except Wrong as wrong:
        lost = str(wrong)
    torture.check_counts(store, view)
    torture.check_next_claim(store, view, live=set())  # whoever owned something is of another boot
    return lost


def durable(*arguments):
    lost = attack(*arguments)
    check(not lost, lost)


def flags(rig):
    """What of the journal is on the disk; in the sample one by the seed, where the store is durable.

    Of stores that are not durable some must lose something: there all cases are taken.
    """
    both = list(FLAGS.items())
    return [rig.random.choice(both)] if rig.quick and rig.settings else both


def run_on(rig, name, boot):
    disk = Disk(rig.home, name)
    rig.stores = disk.mount
    for settings, attacked in ((("--durable",), ATTACKED), ((), ["claim", "finalize", "put-over", "increment"])):
        rig.settings = settings
        losses = []
        for scenario in rig.prepared(scenarios.everything(), attacked):
            points = torture.from_store(scenario.points)
            if rig.quick:
                points = torture.first_and_last(
                    [p for p in points if torture.CHANGES.search(p.line)])
            for flag, what in flags(rig):
                cases = [
                    (f"{p.name} {p.number}, {p.line[:90]}" if p else "after the end",
                     scenario, disk, boot, flag, p) for p in [*points, None]]
                title = f"power {name} {scenario.name}, {what}"
                if settings:
                    rig.each(title, cases, durable)
                else:
                    losses += rig.each(f"{title}, not durable", cases, attack, whole=True)
            shutil.rmtree(scenario.model.path)
        if losses:
            rig.attempt(f"{name}: a store that is not durable loses something", check, any(losses),
                        "nothing was lost: this test cannot fail")
            print(f"{name}, not durable: {sum(map(bool, losses))} of {len(losses)} lost something")
    rig.stores = rig.home
    rig.settings = ()
    disk.detach()


# -- Between any two writes -------------------------------------------------------------------------

HISTORIES, CUTS = 25, 40  # of each file system and kind of store


def record_on(rig, name, boot):
    make, size = FILE_SYSTEMS[name]
    image = rig.path(f"{name}-base")
    must("truncate", "-s", size, image)
    must(*make, image)
    count, cuts, length = (2, 12, 8) if rig.quick else (HISTORIES, CUTS, 16)
    for kind, is_durable in (("durable", True), ("plain", False)):
        title = f"history-{kind}"
        if not re.search(rig.options.only, title):
            continue
        disk = recording.Disk(rig.home, f"{name}-{kind}", image)
        results = []
        for number in range(count):
            # A seed of its own: the same history whatever comes before it.
            random = torture.random.Random(f"{rig.options.seed} {name} {kind} {number}")
            label = f"power {name} {title} {number}"
            disk.stable = dict(base_of(disk))
            boot.restart()
            history = rig.attempt(label, History, rig, random, disk, is_durable, length)
            if history:
                results += cut_history(rig, label, history, random, cuts, boot)
        if not is_durable and results:
            lost = sum(bool(result) for result in results)
            rig.attempt(f"{name}: histories that are not durable lose something", check, lost,
                        "nothing was lost: this test cannot fail")
            print(f"{name}, not durable: {lost} of {len(results)} lost something")
        disk.close()


def base_of(disk):
    if not hasattr(disk, "base"):
        disk.base = disk.stable
    return disk.base


def cut_history(rig, label, history, random, count, boot):
    disk, log = history.disk, history.log
    positions = [random.randrange(len(log) + 1) for _ in range(count)]
    cuts = [recording.Cut(random, log, position) for position in positions]

    unmountable = []

    def attack(cut):
        try:
            disk.attach()
        except recording.Unmountable:
            # XFS reads whole blocks of its own while it recovers, and gives up where one is torn: no store is asked.
            if " xfs " not in label or cut.kind != "torn":
                raise
            unmountable.append(cut.name)
            return ""
        try:
            boot.restart()
            return history.check(cut)
        finally:
            disk.detach()

    results, start, failed = [], torture.time.monotonic(), rig.failed
    for cut in recording.replay(disk, log, cuts):
        results.append(rig.attempt(f"{label}, {cut.name}", attack, cut))
    torn = sum(cut.kind == "torn" for cut in cuts)
    rig.attempt(f"{label}: most disks are taken", check, 2 * len(unmountable) <= max(2, torn),
                f"the file system gave up {len(unmountable)} of {torn} torn disks")
    given_up = f"{len(unmountable)} given up by the file system, " if unmountable else ""
    print(f"{label}: {len(cuts)} cuts of {len(log)} writes, {rig.failed - failed} failed, {given_up}"
          f"{torture.time.monotonic() - start:.1f} s", flush=True)
    return results


def main():
    if os.geteuid():
        sys.exit("power.py needs root, to mount")
    if "TORTURE_MOUNTS" not in os.environ:
        # Mounts of our own, which go when we go, however that is.
        os.environ["TORTURE_MOUNTS"] = "private"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    rig = torture.Rig(__doc__)
    rig.options.jobs = 1  # a cut is for everybody on the disk
    boot = Boot(rig.home)
    for name, (make, _) in FILE_SYSTEMS.items():
        if shutil.which(make[0]):
            run_on(rig, name, boot)
            record_on(rig, name, boot)
        else:
            rig.attempt(name, check, False, f"{make[0]} is missing: install it to test {name}")
    must("umount", BOOT_ID)
    rig.finish()


if __name__ == "__main__":
    main()
