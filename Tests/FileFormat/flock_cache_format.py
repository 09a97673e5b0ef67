#!/usr/bin/env python3
"""Reads a store, and takes its locks, by docs/reference/file-format.md alone.

    flock_cache_format.py STORE --list          STATE NAME GENERATION VALUE-OR-HOLDER, parted by tabs
    flock_cache_format.py STORE --stats         pending N, ready N, bytes N, from the shard blocks
    flock_cache_format.py STORE --hold SHARD    holds a shard's mutex until standard input ends
    flock_cache_format.py STORE --session ID    alive or dead
    flock_cache_format.py STORE --shard KEY     the shard and the name of a key
    flock_cache_format.py STORE --increment KEY N   adds N to a counter, in place, and prints its number
    flock_cache_format.py STORE --wake KEY      wakes those who wait for a key, if any do: called or nobody
    flock_cache_format.py STORE --await KEY     waits until a key is READY or absent: says so, and after how
                                                many sleeps and looks in vain

Numbers of shards and sessions are hexadecimal; values are percent-encoded as keys are. Ends with 1
when something is damaged, or a block cannot be relied on.
"""
import argparse
import ctypes
import errno
import fcntl
import mmap
import os
import platform
import re
import struct
import sys
import time

PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@+=,"
F_OFD_GETLK, F_OFD_SETLK = 36, 37
FLOCK = "hhqqi4x"  # type, whence, start, length, pid, with the padding of 64-bit machines
CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


class Damaged(Exception):
    pass


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def hash_of(key):
    value = 0xCBF29CE484222325
    for byte in key:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def shard_of(key):
    return hash_of(key) & 0xFF


def encode(key):
    suffix = len(key) - len(b".pending") if key.endswith(b".pending") else -1
    kept = [b in PLAIN and not (b == ord(".") and i in (0, suffix)) for i, b in enumerate(key)]
    return "".join(chr(b) if plain else f"%{b:02X}" for b, plain in zip(key, kept))


def parse_claim(data):
    """The fields of the claim section, and its length."""
    fields, start = {}, 0
    while True:
        end = data.find(b"\n", start, 1024)
        if end < 0:
            raise Damaged("no whole claim section")
        line = data[start:end].decode("ascii", "replace")
        name, _, value = line.partition(" " if start == 0 else ": ")
        if name == "check":
            if int(value, 16) != crc32c(data[:start]):
                raise Damaged("the claim's check fails")
            if fields.get("flock-cache") != "1":
                raise Damaged("not of format 1")
            if int(fields["generation"]) >= 2**53:
                raise Damaged("no such generation")
            return fields, end + 1
        fields[name] = value
        start = end + 1


CELL = re.compile(
    rb"number: ([+-]\d{19})\ngeneration: (\d{16})\ncounted: (\d{16})\ncheck: ([0-9a-f]{8})\n")


def parse_cells(data, start):
    """Of each cell that is whole: its generation, its number and its offset."""
    if len(data) != 1636:
        raise Damaged("not of a counter's length")
    cells = []
    for offset in 1024, 1536:
        cell = CELL.fullmatch(data[offset:offset + 100])
        if cell and crc32c(cell[0][:91], crc32c(data[:start])) == int(cell[4], 16):
            cells.append((int(cell[2]), int(cell[1]), offset))
    if not cells:
        raise Damaged("no whole cell")
    return cells


def read_cells(path):
    """The same of a file that may be being counted: where a cell is not whole, both are read again."""
    data = read(path)
    start = parse_claim(data)[1]
    if not data[start:].startswith(b"counter: 1024 1536\n"):
        return None
    cells = parse_cells(data, start)
    return cells if len(cells) == 2 else parse_cells(read(path), start)


def cell_text(head, number, generation):
    text = b"number: %+020d\ngeneration: %016d\ncounted: %016d\ncheck: " % (
        number, generation, time.time_ns() // 1000)
    return text + b"%08x\n" % crc32c(text, crc32c(head))


def parse_ready(data):
    """The fields of both sections, and the payload."""
    fields, start = parse_claim(data)
    head = data[start:start + 69]
    if (head[:11], head[27:36], head[46:60], head[68:]) != (
            b"finalized: ", b"\nlength: ", b"\nvalue-check: ", b"\n"):
        raise Damaged("no whole value section")
    payload = data[start + 69:]
    if len(payload) != int(head[36:46]):
        raise Damaged("not of the length it states")
    if crc32c(data[:start + 60], crc32c(payload)) != int(head[60:68], 16):
        raise Damaged("the value's check fails")
    return fields, payload


def lock(file, kind, offset, operation=F_OFD_SETLK):
    """Whether the lock was free (SETLK: and is now ours)."""
    try:
        answer = fcntl.fcntl(file, operation, struct.pack(FLOCK, kind, os.SEEK_SET, offset, 1, 0))
    except BlockingIOError:
        return False
    return operation == F_OFD_SETLK or struct.unpack(FLOCK, answer)[0] == fcntl.F_UNLCK


class Mutex:
    def __init__(self, store, shard):
        self.path, self.offset = f"{store}/locks/shards", 64 + 64 * shard

    def __enter__(self):
        self.file = os.open(self.path, os.O_RDWR)
        while not lock(self.file, fcntl.F_WRLCK, self.offset):
            time.sleep(0.001)
        if os.fstat(self.file).st_nlink == 0:
            raise Damaged("the store was removed")
        return self

    def __exit__(self, *_):
        os.close(self.file)


def is_alive(store, session):
    try:
        file = os.open(f"{store}/locks/sessions-{session & 63:02x}", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock(file, fcntl.F_WRLCK, session >> 6, F_OFD_GETLK)
    finally:
        os.close(file)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def ready_row(directory, name):
    cells = read_cells(f"{directory}/{name}")
    if cells:
        fields, _ = parse_claim(read(f"{directory}/{name}"))
        generation, number, _ = max(cells)
        payload = b"%d" % number
    else:
        fields, payload = parse_ready(read(f"{directory}/{name}"))
        generation = int(fields["generation"])
    if fields["key"] != name:
        raise Damaged(f"it holds the key {fields['key']}")
    return "ready", name, generation, encode(payload)


def pending_row(directory, name):
    fields, _ = parse_claim(read(f"{directory}/{name}.pending"))
    kind = next((kind for kind in ("session", "process") if kind in fields), "nobody")
    return "pending", name, int(fields["generation"]), f"{kind} {fields.get(kind, '')}".strip()


def list_shard(directory):
    """The rows of a shard, and for what is damaged the reason; the caller has its mutex."""
    found = {name for name in os.listdir(directory) if not name.startswith(".")}
    for name in sorted({name.removesuffix(".pending") for name in found}):
        generation = -1
        if name in found:
            try:
                row = ready_row(directory, name)
                generation = row[2]
            except (Damaged, ValueError) as reason:
                generation, row = 0, ("damaged", name, 0, reason)
            yield row
        if name + ".pending" in found:
            try:
                row = pending_row(directory, name)
            except (Damaged, ValueError) as reason:
                row = ("torn", name, 0, reason)
            # Beside a value, a claim of no higher generation is what a killed finalize left.
            if row[2] > generation:
                yield row


def list_store(store):
    code = 0
    for shard in range(256):
        directory = f"{store}/entries/{shard:02x}"
        if os.path.isdir(directory):
            with Mutex(store, shard):
                for row in list_shard(directory):
                    print(*row, sep="\t")
                    code = max(code, int(row[0] == "damaged"))
    return code


def mark_of(store, shard):
    """What tells a shard's directory from the same with other names in it."""
    try:
        status = os.lstat(f"{store}/entries/{shard:02x}")
    except FileNotFoundError:
        return 1
    return max(2, crc32c(struct.pack("<Qq", status.st_ino, status.st_ctime_ns)))


def stats(store):
    with open(f"{store}/locks/shards", "rb") as file:
        status, data = os.fstat(file.fileno()), file.read()
    header = f"flock-cache shards 1 {status.st_dev} {status.st_ino}".ljust(63) + "\n"
    boot = int(read("/proc/sys/kernel/random/boot_id").replace(b"-", b""), 16)
    sums, unknown = [0, 0, 0, 0], 0
    for shard in range(256):
        block = data[64 + 64 * shard:128 + 64 * shard]
        if len(block) < 64:
            unknown += 1
            continue
        changer, check, _, *counts, mark, size, high, low = struct.unpack("<II3QII3Q", block)
        counts.append(size)
        is_good = check == crc32c(block[:4] + block[8:]) and data[:64] == header.encode()
        if is_good and changer == 0 and (high << 64 | low) == boot and mark == mark_of(store, shard):
            sums = [a + b for a, b in zip(sums, counts)]
        else:
            unknown += 1
    print(f"pending {sums[0]}\nready {sums[1]}\nbytes {sums[3]}")
    if unknown:
        print(f"{unknown} shards have to be counted anew", file=sys.stderr)
    return 1 if unknown else 0


def increment(store, key, amount):
    """Adds to a counter that is there and that nobody has claimed, and prints its number."""
    shard, name = shard_of(key), encode(key)
    path, place = f"{store}/entries/{shard:02x}/{name}", 64 + 64 * shard
    with Mutex(store, shard) as mutex:
        if os.path.exists(path + ".pending"):
            raise Damaged("it is claimed, or was")
        data = read(path)
        fields, start = parse_claim(data)
        cells = read_cells(path)
        if not cells or os.stat(path).st_nlink > 1 or fields["key"] != name:
            raise Damaged("not a counter of this store alone")
        generation, number, offset = max(cells)
        block = bytearray(os.pread(mutex.file, 64, place))
        boot = int(read("/proc/sys/kernel/random/boot_id").replace(b"-", b""), 16)
        changer, check, highest = struct.unpack_from("<IIQ", block)
        good = check == crc32c(block[:4] + block[8:]) and changer == 0
        if not good or block[48:] != struct.pack("<QQ", boot >> 64, boot % 2**64):
            raise Damaged("the shard has to be counted anew")
        generation = max(time.time_ns() // 1000, highest + 1, generation + 1)
        number += amount
        if not -2**63 <= number < 2**63:
            raise Damaged("it would leave 64 bits")
        struct.pack_into("<Q", block, 8, generation)
        write_block(mutex.file, place, block, os.getpid())
        with open(path, "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), cell_text(data[:start], number, generation), 2560 - offset)
            if b"\ndurable: yes\n" in read(f"{store}/flock-cache"):
                os.fsync(file.fileno())
        write_block(mutex.file, place, block, 0)
    print(number)


def write_block(file, place, block, changer):
    struct.pack_into("<I", block, 0, changer)
    struct.pack_into("<I", block, 4, crc32c(block[:4] + block[8:]))
    os.pwrite(file, block, place)


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class Board:
    """Words by which processes wake one another; loads and stores of aligned words are atomic here, an
    increment is not, which can only lose a wake-up to another in the same instant."""

    SIZE, ALL_KEYS, ALL_BITS = 675840, 64, 0xFFFFFFFF
    FUTEX = {"x86_64": 202, "aarch64": 98}[platform.machine()]
    WAIT_BITSET, WAKE_BITSET = 9, 10

    def __init__(self, store):
        with open(f"{store}/board", "r+b") as file:
            status = os.fstat(file.fileno())
            header = f"flock-cache board 3 {status.st_dev} {status.st_ino}".ljust(63) + "\n"
            if file.read(64) != header.encode():
                raise Damaged("not the board of this store")
            if status.st_size != self.SIZE or status.st_blocks * 512 < self.SIZE:
                raise Damaged("a board with holes")
            self.memory = mmap.mmap(file.fileno(), self.SIZE)
        self.libc = ctypes.CDLL(None, use_errno=True)

    @staticmethod
    def word_of(key):
        return 4096 + 64 * shard_of(key)

    @staticmethod
    def bit_of(key):
        return 1 << (hash_of(key) >> 8 & 31)

    def word(self, offset):
        return ctypes.c_uint32.from_buffer(self.memory, offset)

    def stamp(self, offset):
        return ctypes.c_int64.from_buffer(self.memory, offset + 8)

    def futex(self, offset, operation, value, timeout, bits):
        return self.libc.syscall(
            ctypes.c_long(self.FUTEX), ctypes.byref(self.word(offset)), ctypes.c_int(operation),
            ctypes.c_uint32(value), timeout, None, ctypes.c_uint32(bits))

    def wake(self, offset, bits):
        """How many were woken; None where nobody says that he waits."""
        if self.stamp(offset).value <= time.clock_gettime_ns(time.CLOCK_BOOTTIME):
            return None
        self.word(offset).value += 1
        return self.futex(offset, self.WAKE_BITSET, 0x7FFFFFFF, None, bits)

    def announce(self, offset):
        self.stamp(offset).value = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 200_000_000
        return self.word(offset).value

    def sleep(self, offset, seen, bits):
        """Whether it was woken, or called before it slept."""
        end = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 150_000_000
        limit = ctypes.byref(Timespec(end // 10**9, end % 10**9))
        result = self.futex(offset, self.WAIT_BITSET, seen, limit, bits)
        return result == 0 or ctypes.get_errno() == errno.EAGAIN


def wake(store, key):
    board = Board(store)
    called = board.wake(board.word_of(key), board.bit_of(key))
    board.wake(board.ALL_KEYS, board.ALL_BITS)
    print("nobody" if called is None else f"called {called}")


def wait(store, key):
    board, path = Board(store), f"{store}/entries/{shard_of(key):02x}/{encode(key)}"
    sleeps = vain = 0
    while True:
        seen = board.announce(board.word_of(key))
        if os.path.exists(path):
            state = "ready"
        elif os.path.exists(path + ".pending"):
            state = None
        else:
            state = "ready" if os.path.exists(path) else "absent"
        if state:
            print(f"{state} {sleeps} {vain}")
            return
        if sleeps == 0:
            print("waiting", flush=True)
        sleeps += 1
        vain += not board.sleep(board.word_of(key), seen, board.bit_of(key))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("store")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true")
    action.add_argument("--stats", action="store_true")
    action.add_argument("--hold", type=lambda text: int(text, 16))
    action.add_argument("--session", type=lambda text: int(text, 16))
    for name in ("--shard", "--wake", "--await"):
        action.add_argument(name, type=os.fsencode)
    action.add_argument("--increment", nargs=2)
    given = parser.parse_args()
    version = read(f"{given.store}/flock-cache").split(b"\n")[0]
    if version != b"flock-cache 1":
        sys.exit(f"not a store of format 1: {version!r}")
    if given.list:
        return list_store(given.store)
    if given.stats:
        return stats(given.store)
    if given.shard is not None:
        print(f"{shard_of(given.shard):02x} {encode(given.shard)}")
    elif given.increment:
        increment(given.store, os.fsencode(given.increment[0]), int(given.increment[1]))
    elif given.wake is not None:
        wake(given.store, given.wake)
    elif getattr(given, "await") is not None:
        wait(given.store, getattr(given, "await"))
    elif given.session is not None:
        print("alive" if is_alive(given.store, given.session) else "dead")
    else:
        with Mutex(given.store, given.hold):
            print("held", flush=True)
            sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
