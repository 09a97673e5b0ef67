"""Reads a store by itself, from names and bytes, to judge what the command did and said.

It shares no code with the command: where the two disagree, one of them is wrong.
"""

import functools
import os
import re
import struct
import urllib.parse

SHARDS = 256
PENDING = ".pending"
TEMPORARY = ".tmp-"


# -- Checks and hashes ------------------------------------------------------------------------------


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def _crc_update(state, data):
    for byte in data:
        state = _TABLE[(state ^ byte) & 255] ^ state >> 8
    return state


# The check of a record covers the payload first, so the slow part is the same for equal payloads.
_payload_state = functools.lru_cache(maxsize=64)(lambda data: _crc_update(0xFFFFFFFF, data))


@functools.lru_cache(maxsize=4096)
def crc32c(data, state=0xFFFFFFFF):
    return _crc_update(state, data) ^ 0xFFFFFFFF


def shard_of(key):
    hashed = 0xCBF29CE484222325
    for byte in key.encode():
        hashed = (hashed ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hashed & 255


# -- Records ----------------------------------------------------------------------------------------


def claim_section(data):
    """The fields of a whole claim section at the start, and its length; None if there is none."""
    end = data.find(b"\ncheck: ")
    if not data.startswith(b"flock-cache 1\n") or end < 0 or len(data) < end + 17:
        return None
    if data[end + 16 : end + 17] != b"\n":
        return None
    if b"%08x" % crc32c(data[: end + 1]) != data[end + 8 : end + 16]:
        return None
    lines = data[:end].decode().split("\n")[1:]
    fields = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
    return fields, end + 17


_CELL = re.compile(
    rb"number: ([+-]\d{19})\ngeneration: (\d{16})\ncounted: \d{16}\ncheck: ([0-9a-f]{8})\n")


def counter(data, start):
    """Generation and digits of the cell that counts, of a claim section that ends there; None for no number."""
    cells = []
    for offset in 1024, 1536:
        cell = _CELL.fullmatch(data[offset : offset + 100])
        if cell and b"%08x" % crc32c(data[:start] + cell[0][:91]) == cell[3]:
            cells.append((int(cell[2]), str(int(cell[1])).encode()))
    return max(cells) if cells and len(data) == 1636 else None


def ready_record(data):
    """Generation and payload of a whole READY record; None if any of it is not as it must be."""
    found = claim_section(data)
    if found is None:
        return None
    fields, start = found
    if data[start:].startswith(b"counter: 1024 1536\n"):
        return counter(data, start)
    head = data[start : start + 69]
    if len(head) < 69 or head[:11] != b"finalized: " or head[46:60] != b"\nvalue-check: ":
        return None
    payload = data[start + 69 :]
    if int(head[36:46]) != len(payload):
        return None
    check = crc32c(data[: start + 60], _payload_state(payload))
    return (int(fields["generation"]), payload) if b"%08x" % check == head[60:68] else None


# -- The whole store --------------------------------------------------------------------------------


class View:
    """What a store holds.

    `keys` maps each key to a pair: its READY side and its PENDING side. The first is None,
    ("ready", generation, payload) or ("damaged", generation, bytes); the second None, ("torn",) or
    ("claim", generation, owner's pid). A `.pending` that is no claim, because a READY record of no
    lower generation is there, is in `debris` instead.
    """

    def __init__(self, path):
        self.keys, self.debris, self.temporaries = {}, [], []
        self.generations = set()
        self.pending = self.ready = self.bytes = 0
        self.shards = {}
        entries = os.path.join(path, "entries")
        for shard in sorted(os.listdir(entries)) if os.path.isdir(entries) else []:
            self._read_shard(int(shard, 16), os.path.join(entries, shard))
        damaged = os.path.join(path, "damaged")
        names = sorted(os.listdir(damaged)) if os.path.isdir(damaged) else []
        self.damaged = [_contents(os.path.join(damaged, name)) for name in names]

    def _read_shard(self, shard, path):
        names = set(os.listdir(path))
        temporaries = {name for name in names if name.startswith(TEMPORARY)}
        self.temporaries += sorted(temporaries)
        counts = [0, 0, len(temporaries), 0]
        for name in sorted({n.removesuffix(PENDING) for n in names - temporaries}):
            key = urllib.parse.unquote(name)
            assert shard_of(key) == shard, f"{name} is in the wrong shard"
            ready = claim = None
            ready_generation = -1
            if name in names:
                data = _contents(os.path.join(path, name))
                counts[1] += 1
                counts[3] += len(data)
                section = claim_section(data)
                whole = ready_record(data)
                ready_generation = whole[0] if whole else int(section[0]["generation"]) if section else 0
                ready = ("ready", *whole) if whole else ("damaged", ready_generation, data)
                self.generations.add(ready_generation)
            if name + PENDING in names:
                section = claim_section(_contents(os.path.join(path, name + PENDING)))
                if section:
                    generation = int(section[0]["generation"])
                    self.generations.add(generation)
                    claim = ("claim", generation, int(section[0]["pid"]))
                else:
                    generation, claim = -1, ("torn",)
                if ready and generation <= ready_generation:
                    self.debris.append(key)
                    claim = None
                else:
                    counts[0] += 1
            if ready or claim:
                self.keys[key] = (ready, claim)
        self.shards[shard] = tuple(counts)
        self.pending += counts[0]
        self.ready += counts[1]
        self.bytes += counts[3]

    @property
    def stats(self):
        """What `stats` has to print."""
        return f"pending {self.pending}\nready {self.ready}\nbytes {self.bytes}\n".encode()

    def exit_code(self, key, words, live):
        """How a command on a key has to end, run alone on this store, where those owners live."""
        ready, claim = self.keys.get(key, (None, None))
        is_live = claim is not None and claim[0] == "claim" and str(claim[2]) in live
        generation = int(words[words.index("--generation") + 1]) if "--generation" in words else None
        has_value = ready is not None and ready[0] == "ready" and "--max-age" not in words
        if words[0] == "claim":
            return 1 if has_value else 75 if is_live else 0
        if words[0] == "finalize":
            # The claim counts if there is one, else the value, of which only the claim is read.
            return 0 if generation == (claim or ready or (None, None))[1] else 76
        if words[0] == "renew":
            # Of a claim whose owner has ended there is nothing to prolong.
            return 0 if is_live and claim[1] == generation else 76
        if words[0] == "abandon":
            return 0 if claim is None or claim[1] == generation else 76
        if words[0] == "remove":
            return 75 if is_live and "--pending" not in words else 0
        if words[0] == "put":
            is_absent = ready is None or ready[0] == "damaged"
            wanted = int(words[words.index("--if-generation") + 1]) if "--if-generation" in words else None
            if is_live:
                return 75
            if "--if-absent" in words:
                return 0 if is_absent else 1
            return 0 if wanted is None or not is_absent and ready[1] == wanted else 1
        if words[0] == "increment":
            is_number = ready is None or re.fullmatch(rb"[+-]?\d+\n?", ready[2])
            return 75 if is_live else 0 if is_number else 65
        if words[0] == "get":
            return 0 if has_value else 65 if ready else 75 if claim else 1
        return 0

    def state(self, key, known):
        """A key's state, with "new" for every generation that is not known from before."""

        def side(value):
            if value is None or value[0] not in ("ready", "claim") or value[1] in known:
                return value
            return (value[0], "new", value[2])

        ready, claim = self.keys.get(key, (None, None))
        return side(ready), side(claim)

    def states(self, known):
        return {key: self.state(key, known) for key in self.keys}


def _contents(path):
    with open(path, "rb") as file:
        return file.read()


# -- Leases -----------------------------------------------------------------------------------------


def lease(path, name):
    """What the cell that counts says of a lease's first slot: its generation, state and sequence; None
    where nobody ever had it, or no cell is whole.
    """
    file = os.path.join(path, "leases", f"{shard_of(name):02x}", urllib.parse.quote(name))
    data = _contents(file)[:1024] if os.path.exists(file) else b""
    cells = [cell for cell in (_lease_cell(data[:512]), _lease_cell(data[512:])) if cell]
    return max(cells, key=lambda cell: cell[2]) if cells else None


def _lease_cell(data):
    end = data.find(b"\ncheck: ")
    if not data.startswith(b"flock-cache-lease 1\n") or end < 0:
        return None
    if b"%08x\n" % crc32c(data[: end + 1]) != data[end + 8 : end + 17]:
        return None
    fields = dict(line.split(": ", 1) for line in data[:end].decode().split("\n")[1:] if ": " in line)
    return int(fields["generation"]), fields["state"], int(fields["sequence"])


# -- Shard blocks -----------------------------------------------------------------------------------


def block_offset(shard):
    return 64 + 64 * shard


def header(path):
    """The header that `locks/shards` must have at this place: it names its own device and inode."""
    status = os.stat(path)
    return f"flock-cache shards 1 {status.st_dev} {status.st_ino}".ljust(63).encode() + b"\n"


def mark_of(path, shard):
    """What tells a shard's directory from the same with other names in it."""
    try:
        status = os.lstat(os.path.join(path, "entries", f"{shard:02x}"))
    except FileNotFoundError:
        return 1
    return max(2, crc32c(struct.pack("<Qq", status.st_ino, status.st_ctime_ns)))


def adopt(path):
    """Makes the blocks of a copied store its own: with the marks of its own directories, where they had marks."""
    with open(os.path.join(path, "locks", "shards"), "r+b") as file:
        file.write(header(file.name))
        for shard in range(SHARDS):
            file.seek(block_offset(shard))
            block = bytearray(file.read(64))
            # What is not whole stays so.
            if len(block) == 64 and struct.unpack_from("<I", block, 4)[0] == crc32c(bytes(block[:4] + block[8:])):
                if struct.unpack_from("<I", block, 36)[0]:
                    struct.pack_into("<I", block, 36, mark_of(path, shard))
                struct.pack_into("<I", block, 4, crc32c(bytes(block[:4] + block[8:])))
                file.seek(block_offset(shard))
                file.write(block)


def wrong_blocks(path, view):
    """What is wrong with the blocks: those not marked as changing must have exactly the counts of the files.

    A block that is being changed, of another boot, or without the mark of a directory, says that it has to be
    counted anew: never wrong.
    """
    file = os.path.join(path, "locks", "shards")
    data = _contents(file) if os.path.exists(file) else b""
    if data[:64] != (header(file) if data else None):
        return []
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
        boot = int(text.read().strip().replace("-", ""), 16)
    wrong = []
    for shard in range(SHARDS):
        block = data[block_offset(shard) : block_offset(shard) + 64]
        changer, check, _, *counts, mark, size, high, low = struct.unpack("<iI3QII3Q", block)
        counts.append(size)
        if check != crc32c(block[:4] + block[8:]):
            wrong.append(f"the check of block {shard:02x} fails")
        elif changer == 0 and high << 64 | low == boot and mark:
            # It may have been made since by who failed before the change.
            if mark not in (1, mark_of(path, shard)):
                wrong.append(f"block {shard:02x} has the mark of another directory")
            files = view.shards.get(shard, (0, 0, 0, 0))
            if tuple(counts) != files:
                wrong.append(f"block {shard:02x} says {tuple(counts)}, the files say {files}")
    return wrong
