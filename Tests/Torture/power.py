"""Cuts the power at every system call of claim, finalize, abandon and remove, on ext4 and XFS, as root.

A store made with `--durable` lies on a loop-mounted image. The command is killed at a call, and the
file system shut down by its own ioctl, which drops what was not written: with flag 2 also the journal
in memory, with flag 1 only data. After mounting again, and with another boot id, as after a restart:
- what was acknowledged (a generation printed, exit 0) is there, byte for byte;
- every key is in its old or its new state, and the neighbours are as they were;
- nothing torn is ever returned; `stats` says what the files say; the next claim gets the right answer.

Negative control: the same with a store that is not durable must lose what was acknowledged, and even
so must never return a wrong byte.

With --quick only the calls that change something: before any other the disk is as before the next of
these.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import uuid

import rig as torture
import scenarios
from rig import KEY, Wrong, check

FILE_SYSTEMS = {"ext4": (["mkfs.ext4", "-qF", "-m", "0"], "64M"), "xfs": (["mkfs.xfs", "-qf"], "320M")}
ATTACKED = [
    "claim-first", "claim", "take-over", "finalize", "finalize-large", "finalize-over",
    "finalize-large-over", "abandon", "remove-both"]
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


def run_on(rig, name, boot):
    disk = Disk(rig.home, name)
    rig.stores = disk.mount
    for settings, attacked in ((("--durable",), ATTACKED), ((), ["claim", "finalize"])):
        rig.settings = settings
        losses = []
        for scenario in rig.prepared(scenarios.everything(), attacked):
            points = torture.from_store(scenario.points)
            if rig.quick:
                points = [p for p in points if torture.CHANGES.search(p.line)]
            for flag, what in FLAGS.items():
                cases = [
                    (f"{p.name} {p.number}, {p.line[:90]}" if p else "after the end",
                     scenario, disk, boot, flag, p) for p in [*points, None]]
                title = f"power {name} {scenario.name}, {what}"
                if settings:
                    rig.each(title, cases, durable)
                else:
                    losses += rig.each(f"{title}, not durable", cases, attack)
            shutil.rmtree(scenario.model.path)
        if not settings:
            rig.attempt(f"{name}: a store that is not durable loses something", check, any(losses),
                        "nothing was lost: this test cannot fail")
            print(f"{name}, not durable: {sum(map(bool, losses))} of {len(losses)} lost something")
    rig.stores = rig.home
    disk.detach()


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
        else:
            rig.attempt(name, check, False, f"{make[0]} is missing: install it to test {name}")
    must("umount", BOOT_ID)
    rig.finish()


if __name__ == "__main__":
    main()
