"""A disk that remembers every write and every flush, and can become what a power cut left of it.

It is a file of a small FUSE file system served from here, under a loop device, so that what the kernel's
own file system sends to its disk arrives as writes and flushes. A power cut keeps what was flushed. Of
what was written since, it may keep any part: all of it, nothing, later writes without earlier ones, and
of one write some sectors.
"""

import ctypes
import os
import signal
import struct
import subprocess
import tempfile
import threading
import time

PAGE, SECTOR = 4096, 512
ZEROS = bytes(PAGE)
MOST = 1 << 20  # bytes of one request
FLUSH = None  # in the log

_IN, _OUT, _ATTRIBUTES = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ"), struct.Struct("<6Q10I")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _WRITE, _RELEASE, _FSYNC, _FLUSH, _INIT = (
    1, 2, 3, 14, 15, 16, 18, 20, 25, 26)
_INTERRUPT, _DESTROY, _FORGET_MANY = 36, 38, 42
_NO_SUCH_CALL = -38
_LIBC = ctypes.CDLL(None, use_errno=True)


class Disk:
    """One disk, and the directory where it is mounted."""

    def __init__(self, home, name, image):
        """`image` is what the disk is at first: the file that mkfs has made."""
        self.mount = os.path.join(home, name)
        self._served = os.path.join(home, f"{name}-disk")
        self.size = os.path.getsize(image)
        self.stable = _pages(image)  # what no power cut takes away
        self.log = []
        self._changed = {}
        self._attached = 0
        os.mkdir(self.mount)
        os.mkdir(self._served)
        self._fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fuse},rootmode=40000,user_id=0,group_id=0".encode()
        if _LIBC.mount(b"recorder", self._served.encode(), b"fuse.recorder", 6, options):
            raise OSError(ctypes.get_errno(), "cannot mount the recording disk")
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()
        self._guard = self._start_guard()

    def _start_guard(self):
        """A process that ends the disk should this one be killed.

        The file system on the disk then waits for a server that is gone, and the kernel for a thread that
        waits for the file system; every later mount on a loop device would hang behind them.
        """
        connection = os.minor(os.stat(self._served).st_dev)
        guard = os.fork()
        if guard:
            return guard

        def abort(*_):
            control = tempfile.mkdtemp()
            _LIBC.mount(b"none", control.encode(), b"fusectl", 0, None)
            try:
                with open(f"{control}/{connection}/abort", "w", encoding="ascii") as file:
                    file.write("1")
            except OSError:
                pass  # it has ended by itself
            os._exit(0)

        os.close(self._fuse)
        os.setsid()
        signal.signal(signal.SIGTERM, abort)
        _LIBC.prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
        while True:
            signal.pause()

    def attach(self):
        """Mounts it. Each time by another name: a name that was just let go may still be in use."""
        self._attached += 1
        path = os.path.join(self._served, str(self._attached))
        try:
            _must("mount", "-o", "loop,noatime", path, self.mount)
        except RuntimeError as error:
            raise Unmountable(str(error)) from error

    def detach(self):
        for _ in range(100):
            if subprocess.run(["umount", self.mount], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.05)  # a process that was just killed may hold it
        _must("umount", self.mount)

    def close(self):
        # The server ends when the last mount has gone, and the loop device lets go a moment after.
        _must("umount", "--lazy", self._served)
        self._server.join(20)
        if self._server.is_alive():
            raise RuntimeError("the recording disk is still in use")
        os.close(self._fuse)
        os.kill(self._guard, signal.SIGKILL)
        os.waitpid(self._guard, 0)

    # -- What it is made to be --

    def begin(self):
        """As it was made, and nothing remembered."""
        self.log, self._changed = [], {}

    def take_log(self):
        log, self.log, self._changed = self.log, None, {}
        return log

    def become(self, stable, writes):
        """What was flushed, and over it some of the writes."""
        self.log, self._changed, self.stable = None, {}, stable
        for offset, data in writes:
            self._write(offset, data)

    def read(self, offset, size):
        parts, end = [], offset + size
        for page in range(offset // PAGE, (end + PAGE - 1) // PAGE):
            parts.append(self._changed.get(page) or self.stable.get(page, ZEROS))
        return b"".join(parts)[offset % PAGE : offset % PAGE + size]

    def _write(self, offset, data):
        put(self._changed, offset, data, self.stable)

    # -- FUSE --

    def _serve(self):
        buffer = bytearray(MOST + 4096)
        view = memoryview(buffer)
        while True:
            try:
                count = os.readv(self._fuse, [buffer])
            except InterruptedError:
                continue
            except OSError:
                return  # unmounted
            _, code, unique, node, *_ = _IN.unpack_from(buffer)
            if code in (_FORGET, _FORGET_MANY, _INTERRUPT):
                continue
            answer = self._answer(code, node, view[_IN.size : count])
            error, data = (answer, b"") if isinstance(answer, int) else (0, answer)
            try:
                os.write(self._fuse, _OUT.pack(_OUT.size + len(data), error, unique) + data)
            except OSError:
                if code != _DESTROY:
                    raise

    def _answer(self, code, node, body):
        if code == _INIT:
            _, minor, ahead = struct.unpack_from("<3I", body)
            flags = 1 << 5 | 1 << 22  # writes larger than a page; the number of pages below
            return struct.pack("<4I2H2I2H8I", 7, min(minor, 31), ahead, flags, 16, 12, MOST, 1,
                               MOST // PAGE, 0, *[0] * 8)
        if code == _LOOKUP:
            node = 1 + int(bytes(body[:-1]))
            return struct.pack("<4Q2I", node, 0, 3600, 3600, 0, 0) + self._attributes(node)
        if code == _GETATTR:
            return struct.pack("<Q2I", 3600, 0, 0) + self._attributes(node)
        if code == _OPEN:
            return struct.pack("<Q2I", 0, 1, 0)  # 1: nothing is kept in the page cache
        if code in (_READ, _WRITE):
            _, offset, size = struct.unpack_from("<QQI", body)
            if code == _READ:
                return self.read(offset, min(size, self.size - offset))
            data = bytes(body[40 : 40 + size])
            self._write(offset, data)
            if self.log is not None:
                self.log.append((offset, data))
            return struct.pack("<2I", size, 0)
        if code == _FSYNC and self.log is not None:
            self.log.append(FLUSH)
        return b"" if code in (_FSYNC, _RELEASE, _FLUSH, _DESTROY) else _NO_SUCH_CALL

    def _attributes(self, node):
        mode, size = (0o40700, 0) if node == 1 else (0o100600, self.size)
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


def put(pages, offset, data, below=None):
    """Writes into a dictionary of pages, over those of another."""
    position = 0
    while position < len(data):
        page, start = divmod(offset + position, PAGE)
        piece = data[position : position + PAGE - start]
        if len(piece) < PAGE:
            old = pages.get(page) or (below or {}).get(page, ZEROS)
            piece = old[:start] + piece + old[start + len(piece) :]
        pages[page] = piece
        position += PAGE - start


def _pages(image):
    pages = {}
    with open(image, "rb") as file:
        page = 0
        while True:
            try:
                page = os.lseek(file.fileno(), page * PAGE, os.SEEK_DATA) // PAGE
            except OSError:
                return pages  # only holes behind it
            data = os.pread(file.fileno(), PAGE, page * PAGE)
            if data.strip(b"\0"):
                pages[page] = data.ljust(PAGE, b"\0")
            page += 1


# -- Power cuts -------------------------------------------------------------------------------------

KINDS = {"none": 1, "lost": 2, "reordered": 3, "torn": 3}


class Cut:
    """One power cut: after how many writes and flushes, and what it does to those not flushed."""

    def __init__(self, random, log, position):
        self.position = position
        self.flushed = position
        while self.flushed and log[self.flushed - 1] is not FLUSH:
            self.flushed -= 1
        pending = [write for write in log[self.flushed : position] if write is not FLUSH]
        self.kind = random.choices(list(KINDS), KINDS.values())[0]
        self.writes = list(self._kept(random, pending))

    def _kept(self, random, pending):
        for offset, data in pending:
            if self.kind == "none" or (self.kind != "lost" and random.random() < 0.5):
                yield offset, data
            elif self.kind == "torn" and offset >= PAGE:
                # But not the superblock, for which file systems rely on whole blocks.
                # Whole sectors, as a disk writes them: the first ones, or any.
                sectors = range(0, len(data), SECTOR)
                kept = set(sectors[: random.randrange(len(sectors) + 1)])
                if random.random() < 0.5:
                    kept = {sector for sector in sectors if random.random() < 0.5}
                for sector in sorted(kept):
                    yield offset + sector, data[sector : sector + SECTOR]

    @property
    def name(self):
        return f"after {self.position} writes, {self.kind}"


def replay(disk, log, cuts):
    """Makes the disk what each cut leaves, in their order, and yields the cut."""
    stable, done = dict(disk.stable), 0
    for cut in sorted(cuts, key=lambda cut: cut.position):
        for write in log[done : cut.flushed]:
            if write is not FLUSH:
                put(stable, *write)
        done = cut.flushed
        disk.become(stable, cut.writes)
        yield cut


class Unmountable(RuntimeError):
    """The file system does not take the disk that a cut has left."""


def _must(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
