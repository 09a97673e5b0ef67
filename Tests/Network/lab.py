"""The laboratory: guest a is an NFS server, b and c are its clients; cables between a and each."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time

from machine import Machine, Wrong, brief, free_port

ADDRESSES = {"a": "10.9.0.1", "b": "10.9.0.2", "c": "10.9.0.3"}
# Of the server, in seconds. 90 and 90 are usual.
LEASE, GRACE = 15, 10
MOUNT = "vers=4.2"


class Skipped(Exception):
    """Why a test cannot be done here."""


class Lab:
    def __init__(self, image, command, random, say=print):
        self.random, self.say, self._image = random, say, image
        self.folder = tempfile.mkdtemp(prefix="flock-cache-lab-")
        image.make_ram_disk(os.path.join(self.folder, "ram-disk"))
        with open(command, "rb") as file:
            self.command = file.read()
        self._machines, self._count = {}, 0
        self.shared = os.path.join(self.folder, "shared")  # with guest c, by 9p and virtiofs
        self._helpers = []
        self._ports = {peer: (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)) for peer in "bc"}

    # -- Guests

    def _cables(self, name):
        """Packets between two guests are datagrams between two ports of this machine."""
        if name == "a":
            return [(peer, ADDRESSES[peer], *self._ports[peer]) for peer in "bc"]
        return [("a", ADDRESSES["a"], *reversed(self._ports[name]))]

    def boot(self, names):
        """Those that are not yet there, at the same time; the server before its clients."""
        new = [name for name in "abc" if name in names and name not in self._machines]
        for name in new:
            drives, arguments, memory = [], list, 512
            if name == "a":
                drives = [os.path.join(self.folder, "disk")]
                with open(drives[0], "wb") as file:
                    file.truncate(600 << 20)
            if name == "c":
                arguments, memory = self._share, 640
            machine = Machine(
                self._image, self.folder, name, ADDRESSES[name], self._cables(name), memory, drives, arguments)
            machine.switch_on()
            self._machines[name] = machine
        for name in new:
            self._machines[name].await_boot()
            self.prepare(self._machines[name])

    def _machine(self, name):
        return self._machines[name]

    def _share(self):
        """Directories of this machine for guest c: QEMU's own 9p, and virtiofs with and without locks passed on."""
        self._end_helpers()
        for name in ("p9", "vfs", "vfl"):
            os.makedirs(os.path.join(self.shared, name), exist_ok=True)
        arguments = ["-virtfs", f"local,path={self.shared}/p9,mount_tag=p9,security_model=none"]
        daemon = "/usr/lib/qemu/virtiofsd"
        if not os.path.exists(daemon):
            return arguments
        arguments += [
            "-object", "memory-backend-memfd,id=memory,size=640M,share=on", "-numa", "node,memdev=memory"]
        for name, options in (("vfs", []), ("vfl", ["-o", "posix_lock", "-o", "flock"])):
            path = os.path.join(self.folder, name + ".socket")
            process = subprocess.Popen(
                [daemon, f"--socket-path={path}", "-o", f"source={self.shared}/{name}", "-o", "cache=auto", *options],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self._helpers.append(process)
            # It says so when its socket is there.
            for line in process.stdout:
                if b"Waiting for vhost-user socket connection" in line:
                    break
            arguments += [
                "-chardev", f"socket,id={name},path={path}",
                "-device", f"vhost-user-fs-pci,chardev={name},tag={name}"]
        return arguments

    a = property(lambda self: self._machine("a"))
    b = property(lambda self: self._machine("b"))
    c = property(lambda self: self._machine("c"))

    @property
    def clients(self):
        return [self.b, self.c]

    def prepare(self, machine):
        """What each boot needs again."""
        machine.environment = ""
        machine.must("cat > /usr/local/bin/flock-cache && chmod 755 /usr/local/bin/flock-cache", data=self.command)
        if machine.name == "a":
            machine.must(f"serve rw,sync,no_root_squash,no_subtree_check {LEASE} {GRACE}")
            return
        machine.must("modprobe nfs")
        machine.environment = f"export FLOCK_CACHE_DIR={getattr(self, 'store', '/m/s')}\n"

    # -- Tests

    def begin(self, name, mount=MOUNT, machines="bc"):
        """A new store for a test; the clients have mounted the export."""
        self.boot("a" + machines)
        self._count += 1
        self.work = f"/m/{name}-{self._count}"
        self.store = self.work + "/s"
        for client in machines:
            machine = self._machine(client)
            machine.environment = f"export FLOCK_CACHE_DIR={self.store}\n"
            machine.must(f"attach {mount}" if mount else "true")
        if mount:
            self._machine(machines[0]).must(f"mkdir -p {self.work}/shared && chmod 1777 {self.work}")

    def settle(self):
        """After a test: as it was, by a reboot if need be."""
        for name in "bc":
            machine = self._machines.get(name)
            if not machine:
                continue
            with contextlib.suppress(Wrong):
                machine.resume()
            machine.environment = ""
            self.a.mend(name)
            try:
                done = machine.run(f"hostname {name}; settle", timeout=60)
                failed = None if done.code == 0 else done.text
            except (Wrong, OSError) as wrong:
                failed = str(wrong)
            if failed is not None:
                self.say(f"  {name} is booted again: {brief(failed, 100)}")
                machine.lose_power()
                machine.await_boot()
                self.prepare(machine)
        if "a" in self._machines:
            self._set_clocks()

    def _set_clocks(self):
        for machine in self._machines.values():
            machine.must(f"date -s @{time.time():.3f} > /dev/null")

    def reboot(self, machine):
        """Power off and on."""
        machine.lose_power()
        machine.await_boot()
        self.prepare(machine)

    def cut(self, client):
        """At the server's end: the client is told by nothing but silence."""
        self.a.cut(client.name)

    def mend(self, client):
        self.a.mend(client.name)

    def _end_helpers(self):
        while self._helpers:
            process = self._helpers.pop()
            process.kill()
            process.wait()

    def end(self):
        for machine in self._machines.values():
            machine.end()
        self._end_helpers()
        shutil.rmtree(self.folder, ignore_errors=True)
