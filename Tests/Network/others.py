"""What is not NFS: 9p, virtiofs, FUSE, overlayfs, and full disks with btrfs, XFS and ext4."""

import os
import re

from lab import Skipped
from machine import check
from tools import case


def share(lab, name, options):
    kind = "9p" if name == "p9" else "virtiofs"
    if not os.path.isdir(os.path.join(lab.shared, name)):
        raise Skipped(f"no {kind} here")
    done = lab.c.run(f"modprobe 9pnet_virtio; modprobe virtiofs; mkdir -p /{name}; mount -t {kind} {options} {name} /{name}")
    if done.code:
        raise Skipped(f"{kind} cannot be mounted: {done.text}")
    return f"FLOCK_CACHE_DIR=/{name}/s "


def refused(lab, words, store):
    done = lab.c.run(store + "flock-cache claim k --owner none --stale-after 1h")
    check(done.code == 69 and re.search(words, done.text), f"not refused with that name: {done}")
    return " ".join(done.text.split())


@case("9p", "9p2000.L is refused, although it answers statfs with what lies behind it", mount=None, machines="c", finding=1)
def nine_p(lab):
    store = share(lab, "p9", "-o trans=virtio,version=9p2000.L")
    magic = lab.c.must("stat -f -c %t /p9")
    return f"statfs says {magic}; {refused(lab, '9p', store)}"


@case("virtiofs", "virtiofs is refused by name, with and without locks passed on", mount=None, machines="c")
def virtiofs(lab):
    said = refused(lab, "fuse|virtiofs", share(lab, "vfs", ""))
    store = share(lab, "vfl", "")
    refused(lab, "fuse|virtiofs", store)
    # Where the daemon passes locks on, the machine outside and the guest exclude each other.
    allowed = store + "FLOCK_CACHE_ALLOW_FILE_SYSTEM=fuse,virtiofs "
    done = lab.c.run(allowed + "flock-cache claim k --owner none --stale-after 1h")
    check(done.code == 0, f"allowed by name: {done}")
    return f"{said}; allowed by name: works"


@case("bindfs", "FUSE (bindfs) is refused; allowed by name it excludes within the mount", mount=None, machines="c")
def bindfs(lab):
    c = lab.c
    c.must("modprobe fuse; mkdir -p /dev/shm/below /t && bindfs /dev/shm/below /t")
    store = "FLOCK_CACHE_DIR=/t/s "
    said = refused(lab, "fuse", store)
    allowed = store + "FLOCK_CACHE_ALLOW_FILE_SYSTEM=fuse "
    c.start(f"export {allowed}; exec flock-cache lock k -- sh -c 'echo locked; exec sleep 600'").expect("locked")
    done = c.run(allowed + "flock-cache lock -n k -- true")
    check(done.code == 75, f"within the mount: {done}")
    return said


@case("overlayfs", "overlayfs: a store in the lower layer is another store in each overlay", mount=None, machines="c")
def overlayfs(lab):
    c = lab.c
    c.must("""
        mkdir -p /t && mount -t tmpfs t /t && mkdir -p /t/lower /t/u1 /t/w1 /t/o1 /t/u2 /t/w2 /t/o2
        export FLOCK_CACHE_DIR=/t/lower/s; flock-cache put ready value
        for n in 1 2; do mount -t overlay -o lowerdir=/t/lower,upperdir=/t/u$n,workdir=/t/w$n o$n /t/o$n || exit; done
    """)
    for number in (1, 2):
        check(c.must(f"FLOCK_CACHE_DIR=/t/o{number}/s flock-cache get ready") == "value", "a value of the lower layer")
    text = c.run("""export FLOCK_CACHE_DIR=/t/o1/s
        for n in $(seq 40); do (flock-cache claim k --owner none --stale-after 1h > /dev/null 2>&1; echo $?) & done; wait""",
                 timeout=200).text.split()
    check(text.count("0") == 1 and text.count("75") == 39, f"40 claims at once: {text}")
    done = c.run("FLOCK_CACHE_DIR=/t/o2/s flock-cache claim k --owner none --stale-after 1h")
    check(done.code == 0, f"another overlay: {done}")
    text = c.must("FLOCK_CACHE_DIR=/t/o1/s flock-cache stats")
    check("pending 1" in text and "ready 1" in text, f"stats: {text}")
    done = c.run("FLOCK_CACHE_DIR=/t/u1/s flock-cache claim k2")
    check(done.code == 66, f"the upper layer by itself: {done}")
    return "of 40 claims at once one won; the other overlay is another store; its upper layer by itself: 66"


def on_a_disk(lab, kind, size):
    """A file system of that kind in a file, at /t, with a store: published, pending and leased keys."""
    make = {"btrfs": "mkfs.btrfs -q", "xfs": "mkfs.xfs -q", "ext4": "mke2fs -q -t ext4"}[kind]
    c = lab.c
    c.must(f"modprobe {kind}; modprobe loop; truncate -s {size}M /dev/shm/disk && {make} /dev/shm/disk && mkdir -p /t && "
           "mount -o loop /dev/shm/disk /t")
    c.environment = "export FLOCK_CACHE_DIR=/t/s\n"
    c.must("""
        for n in $(seq 20); do flock-cache put ready$n value || exit; done
        for n in $(seq 8); do flock-cache claim mine$n --owner none --stale-after 1h > /tmp/claim$n || exit; done
        for n in $(seq 4); do flock-cache lease acquire lease$n --ttl 1h > /tmp/lease$n || exit; done
        flock-cache stats
    """)


FULL = """
for size in 1M 64k 4k 4k 4k; do
    dd if=/dev/zero of=/t/fill bs=$size oflag=append conv=notrunc 2> /dev/null
    sync
done
for n in $(seq 300); do head -c 5000 /dev/zero > /t/small-$n || break; done 2> /dev/null
try() { out=$(flock-cache "$@" 2>&1); echo "= $? $* "$out; }
try get ready1
try abandon mine1 --generation $(cat /tmp/claim1)
try renew mine2 --generation $(cat /tmp/claim2)
try lease renew lease1 --generation $(cat /tmp/lease1)
try lease release lease2 --generation $(cat /tmp/lease2)
try lock fresh -- true
for n in $(seq 12); do try lock table-$n -- true; done
try remove ready2
try stats
try remove --pending mine3
try reap --max-bytes 1
try stats
"""


def judge_full(lab):
    text = lab.c.must(FULL, timeout=300)
    wrong = [line for line in re.findall(r"^= .*", text, re.MULTILINE)
             if not re.match("= 0 |= 74 renew .*No space", line)]
    check(not wrong, "full: " + "; ".join(wrong))
    # A claim is renewed by a new record, which needs room.
    renewal = re.search(r"^= (\d+) renew", text, re.MULTILINE)[1]
    return ("get, abandon, lease renew and release, 13 locks, remove, reap --max-bytes, stats work when it is full; renew of "
            f"a claim: {renewal}")


@case("btrfs-full", "a full btrfs: release, renew, abandon, remove, counts work", mount=None, machines="c", finding=12)
def btrfs_full(lab):
    on_a_disk(lab, "btrfs", 120)
    figure = judge_full(lab)
    attributes = lab.c.must("flock-cache init --store /t/s > /dev/null 2>&1; lsattr -d /t/s/locks /t/s/leases")
    return f"{figure}; {' '.join(attributes.split())}"


@case("xfs-full", "a full XFS: the same, and no lock is refused", mount=None, machines="c")
def xfs_full(lab):
    on_a_disk(lab, "xfs", 310)
    return judge_full(lab)


@case("ext4-full", "a full ext4: the same", mount=None, machines="c")
def ext4_full(lab):
    on_a_disk(lab, "ext4", 60)
    return judge_full(lab)
