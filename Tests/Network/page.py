"""Follows docs/how-to/store-on-nfs.md from the page alone."""

import os
import re

from image import HERE
from machine import check
from tools import case

PAGE = os.path.join(HERE, "..", "..", "docs", "how-to", "store-on-nfs.md")
# A new server, which exports nothing yet, with a directory on ext4; a name for it; a machine-id as installed hosts have.
SERVER = """
exportfs -ua; : > /etc/exports
mkdir -p /srv/x/page /srv/cache && mount --bind /srv/x/page /srv/cache
"""
CLIENT = """
echo '10.9.0.1 server' >> /etc/hosts
tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
"""


def blocks():
    """The page's commands: for a shell, or with prompts of one host or of A and B."""
    with open(PAGE, encoding="utf-8") as file:
        found = re.findall(r"^```(sh|console)\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == "sh"], [text for kind, text in found if kind == "console"]


def typed(text, prompt):
    return re.findall(rf"^{re.escape(prompt)} (.*)", text, re.MULTILINE)


@case("how-to", "the page on a store on NFS, followed to the letter", mount=None)
def how_to(lab):
    b, c = lab.clients
    (export, name, mount), (init, doctor, meeting) = blocks()
    lab.a.must(SERVER + export)
    try:
        for client in (b, c):
            client.environment = ""
            client.must(CLIENT + name)
            client.run("rmmod nfsv4 nfsv3 nfs")
            client.must(mount)
            check(client.must("cat /sys/module/nfs/parameters/nfs4_unique_id") == client.must("cat /etc/machine-id"),
                  "the identifier has no effect")
        # An ordinary user, since root of a client is another user on the server.
        user = "setpriv --reuid 1000 --regid 1000 --clear-groups "
        b.must(user + typed(init, "$")[0])
        said = []
        for client in (b, c):
            done = client.run(user + typed(doctor, "$")[0])
            check(done.code == 0, f"doctor on {client.name}: {done}")
            said = re.findall(r"^(?:warning|failed).*", done.text, re.MULTILINE)
        server = b.start(user + typed(meeting, "A$")[0] + "; echo rc=$?")
        done = c.run(user + typed(meeting, "B$")[0], timeout=120)
        text = server.expect("rc=")
        check(done.code == 0 and "rc=0" in text, f"--meet: {done}; --serve: {text}")
        for number, client in enumerate((b, c)):
            done = client.run(user + "env FLOCK_CACHE_DIR=/mnt/cache/store flock-cache run k -- echo value")
            check(done.text.endswith("value\n"), f"run: {done}")
        return f"doctor's warnings: {' '.join(' '.join(said).split()) or 'none'}; --meet: {' '.join(done.text.split())}"
    finally:
        for client in (b, c):
            client.run("umount -f /mnt/cache; rm -f /etc/modprobe.d/nfs-name.conf; rmmod nfsv4 nfsv3 nfs; modprobe nfs")
        lab.a.run("exportfs -ua; umount /srv/cache; serve")
