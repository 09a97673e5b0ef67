"""A guest: QEMU by software emulation, scripts that run in it, its cables, its power."""

import collections
import json
import os
import signal
import socket
import subprocess
import threading
import time

Result = collections.namedtuple("Result", "code text")
# Of the host's own clock; the emulation is slow, and other work may go on beside it.
BOOT_LIMIT = 240


class Wrong(Exception):
    """What must not be."""


def check(condition, message):
    if not condition:
        raise Wrong(message)


def brief(text, most=300):
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[:most] + "…"


class Job:
    """A script that runs in a guest. What it writes can be waited for."""

    def __init__(self, machine, script, data):
        self.machine, self.script = machine, script
        self._buffer, self._code = b"", None
        self._changed = threading.Condition()
        text = script.encode()
        self._socket = socket.create_connection(("127.0.0.1", machine.port), timeout=30)
        self._socket.settimeout(None)
        self._socket.sendall(b"%010d" % len(text) + text + data)
        self._socket.shutdown(socket.SHUT_WR)
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        raw = b""
        while True:
            try:
                part = self._socket.recv(65536)
            except OSError:
                part = b""
            raw += part
            text, end, code = raw.partition(b"\0")
            with self._changed:
                self._buffer = text
                if not part:
                    # Without a code the machine went down under it.
                    self._code = int(code) if end and code else 255
                self._changed.notify_all()
            if not part:
                self._socket.close()
                return

    @property
    def text(self):
        with self._changed:
            return self._buffer.decode(errors="replace")

    @property
    def is_over(self):
        return self._code is not None

    def expect(self, words, timeout=60):
        """Waits until it has written this."""
        with self._changed:
            seen = self._changed.wait_for(lambda: words.encode() in self._buffer or self.is_over, timeout)
            check(words.encode() in self._buffer, f"{self.machine.name}: no {words!r} "
                  f"{'at the end' if seen else f'within {timeout} s'} of {brief(self.script)}: {brief(self._buffer.decode())}")
            return self._buffer.decode(errors="replace")

    def wait(self, timeout=120):
        """Its exit code and what it wrote."""
        with self._changed:
            check(self._changed.wait_for(lambda: self.is_over, timeout),
                  f"{self.machine.name}: not over after {timeout} s: {brief(self.script)}: {brief(self._buffer.decode())}")
        return Result(self._code, self.text)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machine:
    """`cables` are the names and addresses of other guests, with the ports here and there that packets go between.

    `arguments` makes more arguments for QEMU each time it is begun.
    """

    def __init__(self, image, folder, name, address, cables, memory=512, drives=(), arguments=list):
        self.name, self.folder, self.address = name, folder, address
        self.is_running, self._ready = False, threading.Condition()
        self._boots, self.log, self.environment = 0, [], ""
        self.cables = {peer: f"n{number}" for number, (peer, *_) in enumerate(cables, 1)}
        self._image, self._memory, self._arguments, self._cable_list = image, memory, arguments, cables
        self._drives = drives
        self.kernel_version = None

    def _command(self):
        folder = self.folder
        peers = ",".join(address for _, address, _, _ in self._cable_list)
        append = (f"console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable net.ifnames=0 "
                  f"lab_name={self.name} lab_address={self.address} lab_peers={peers}")
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(self._memory), "-display", "none",
            "-kernel", self._image.kernel, "-initrd", os.path.join(folder, "ram-disk"), "-append", append,
            "-drive", f"file={self._image.root},format=raw,if=virtio,readonly=on,file.locking=off",
            "-serial", "stdio", "-qmp", f"unix:{folder}/{self.name}.qmp,server=on,wait=off", "-rtc", "base=utc",
            "-netdev", f"user,id=u,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:5555",
            "-device", f"virtio-net-pci,netdev=u,mac=52:54:00:00:00:{ord(self.name[0]):02x}"]
        for number, (_, _, here, there) in enumerate(self._cable_list, 1):
            ends = "".join(
                f",{end}.type=inet,{end}.host=127.0.0.1,{end}.port={port}" for end, port in (("local", here), ("remote", there)))
            command += [
                "-netdev", f"dgram,id=n{number}{ends}",
                "-device", f"virtio-net-pci,netdev=n{number},mac=52:54:00:{number:02x}:01:{ord(self.name[0]):02x}"]
        for drive in self._drives:
            command += ["-drive", f"file={drive},format=raw,if=virtio,cache=unsafe"]
        return command + self._arguments()

    # -- Power

    def switch_on(self):
        self.port, self._next_boot = free_port(), self._boots + 1
        self.is_running = True
        self.process = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._console = threading.Thread(target=self._read_console, daemon=True)
        self._console.start()

    def _read_console(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip()
            with self._ready:
                self.log.append(text)
                if text.startswith("READY "):
                    self.kernel_version = text.split()[1]
                    self._boots += 1
                self._ready.notify_all()
        with self._ready:
            self.is_running = False
            self._ready.notify_all()

    def _await_boot(self, number):
        with self._ready:
            self._ready.wait_for(lambda: self._boots >= number or not self.is_running, BOOT_LIMIT)
            if self._boots < number:
                raise RuntimeError(f"{self.name} does not boot: {brief(' '.join(self.log[-20:]), 1500)}")

    def lose_power(self):
        """What was in its memory is gone; it boots again meanwhile."""
        self.end()
        self.switch_on()

    def await_boot(self):
        self._await_boot(self._next_boot)

    def pause(self):
        """As a live migration does: its clocks stand still."""
        self.qmp("stop")

    def resume(self):
        self.qmp("cont")

    def end(self):
        if getattr(self, "process", None) and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self._console.join()

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"{self.folder}/{self.name}.qmp")
            with connection.makefile("rw") as file:
                file.readline()
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    file.write(json.dumps(request) + "\n")
                    file.flush()
                    answer = {}
                    while "return" not in answer:
                        answer = json.loads(file.readline())
                        check("error" not in answer, f"{self.name}: {command}: {answer}")

    # -- Cables

    def cut(self, peer):
        """Packets to and from that guest are lost. It sees no more of it than silence."""
        self.qmp("set_link", name=self.cables[peer], up=False)

    def mend(self, peer):
        self.qmp("set_link", name=self.cables[peer], up=True)

    # -- Scripts

    def start(self, script, data=b""):
        return Job(self, self.environment + script, data)

    def run(self, script, timeout=120, data=b""):
        return self.start(script, data).wait(timeout)

    def must(self, script, timeout=120, data=b"", code=0):
        """Runs what cannot fail; returns what it writes."""
        done = self.run(script, timeout, data)
        if done.code != code:
            raise RuntimeError(f"{self.name}: {brief(script)} ended with {done.code}: {brief(done.text, 1000)}")
        return done.text.strip()

    def clock_offset(self):
        """Add this to its boot clock: the host's. The error is half of what the best of three questions took."""
        found = []
        for _ in range(3):
            before = time.monotonic()
            up = float(self.must("cut -d' ' -f1 /proc/uptime"))
            after = time.monotonic()
            found.append((after - before, (before + after) / 2 - up))
        return min(found)[1]
