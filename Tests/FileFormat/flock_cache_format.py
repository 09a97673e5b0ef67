#!/usr/bin/env python3
"""Reads a store, and takes its locks, by docs/reference/file-format.md alone.

    flock_cache_format.py STORE --list          STATE NAME GENERATION VALUE-OR-HOLDER, parted by tabs
    flock_cache_format.py STORE --stats         pending N, ready N, bytes N, from the shard blocks
    flock_cache_format.py STORE --hold SHARD    holds a shard's mutex until standard input ends
    flock_cache_format.py STORE --session ID    alive or dead
    flock_cache_format.py STORE --shard KEY     the shard and the name of a key

Numbers of shards and sessions are hexadecimal; values are percent-encoded as keys are. Ends with 1
when something is damaged, or a block cannot be relied on.
"""
import argparse
import fcntl
import os
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


def shard_of(key):
    value = 0xCBF29CE484222325
    for byte in key:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value & 0xFF


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
    fields, payload = parse_ready(read(f"{directory}/{name}"))
    if fields["key"] != name:
        raise Damaged(f"it holds the key {fields['key']}")
    return "ready", name, int(fields["generation"]), encode(payload)


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
        changer, check, _, *counts, high, low = struct.unpack("<II7Q", block)
        is_good = check == crc32c(block[:4] + block[8:]) and data[:64] == header.encode()
        if is_good and changer == 0 and (high << 64 | low) == boot:
            sums = [a + b for a, b in zip(sums, counts)]
        else:
            unknown += 1
    print(f"pending {sums[0]}\nready {sums[1]}\nbytes {sums[3]}")
    if unknown:
        print(f"{unknown} shards have to be counted anew", file=sys.stderr)
    return 1 if unknown else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("store")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true")
    action.add_argument("--stats", action="store_true")
    action.add_argument("--hold", type=lambda text: int(text, 16))
    action.add_argument("--session", type=lambda text: int(text, 16))
    action.add_argument("--shard", type=os.fsencode)
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
    elif given.session is not None:
        print("alive" if is_alive(given.store, given.session) else "dead")
    else:
        with Mutex(given.store, given.hold):
            print("held", flush=True)
            sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
