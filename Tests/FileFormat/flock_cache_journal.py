#!/usr/bin/env python3
"""Reads journals, and appends to them, by docs/reference/file-format.md alone.

    flock_cache_journal.py STORE --read NAME [--from N]    NUMBER TIME TEXT, parted by tabs
    flock_cache_journal.py STORE --append NAME             each line of standard input is a record; prints
                                                           their numbers
    --segment BYTES                                        segments are this large

TEXT is percent-encoded as keys are; TIME is in microseconds. Ends with 1 when a record is damaged.
"""
import argparse
import fcntl
import os
import struct
import sys
import time

from flock_cache_format import Board, Damaged, crc32c, encode, hash_of, lock, read

CELL, FRAME = struct.Struct("<IIQQQQQIIqQQQQ"), struct.Struct("<IIIIQq")
CELLS, FIRST = (512, 1024), 4096


def boot_id():
    number = int(read("/proc/sys/kernel/random/boot_id").replace(b"-", b""), 16)
    return number >> 64, number & (2**64 - 1)


class Cell:
    NAMES = ("closed", "sequence", "records", "end", "written_records", "written_end", "check",
             "written_check", "time", "allocated", "inode", "high", "low")

    def __init__(self, **values):
        self.__dict__.update(values)

    @classmethod
    def parse(cls, data):
        if len(data) < 96 or crc32c(data[4:96]) != struct.unpack_from("<I", data)[0]:
            return None
        return cls(**dict(zip(cls.NAMES, CELL.unpack(data[:96])[1:])))

    def bytes(self):
        rest = CELL.pack(0, *(getattr(self, name) for name in self.NAMES))[4:]
        return struct.pack("<I", crc32c(rest)) + rest


class Segment:
    def __init__(self, path, writable=False):
        self.file = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW)
        header = os.pread(self.file, 512, 0)
        start = header.find(b"check: ")
        lines = dict(line.split(b": ") for line in header[:start].split(b"\n")[1:] if line)
        if not header.startswith(b"flock-cache-journal 1\n") or \
                int(header[start + 7:start + 15], 16) != crc32c(header[:start]):
            raise Damaged(path)
        self.first, self.salt = int(lines[b"first"]), int(lines[b"salt"], 16)
        self.inode = os.fstat(self.file).st_ino

    def cell(self):
        """The cell that counts, and the place of the other; nothing where neither is valid."""
        data = os.pread(self.file, 608, 512)
        cells = [(Cell.parse(data[place - 512:place - 416]), place) for place in CELLS]
        valid = [(cell.sequence, cell, place) for cell, place in cells if cell]
        if not valid:
            return None, CELLS[0]
        _, cell, place = max(valid, key=lambda found: found[0])
        return cell, sum(CELLS) - place

    def is_trusted(self, cell):
        return cell and (cell.closed or (cell.inode, (cell.high, cell.low)) == (self.inode, boot_id()))

    def records(self, most=2**64):
        """Complete records along the chain of their checks: number, time, payload, end, check."""
        number, offset, check = self.first, FIRST, self.salt
        while offset < most:
            head = os.pread(self.file, 32, offset)
            if len(head) < 32:
                return
            size, own, former, zero, found, moment = FRAME.unpack(head)
            payload = os.pread(self.file, size, offset + 32) if size <= 16 << 20 else b""
            if (former, zero, found) != (check, 0, number) or len(payload) != size or \
                    crc32c(payload, crc32c(head[:4] + head[8:], former)) != own:
                return
            offset, check = offset + 32 + size, own
            yield number, moment, payload, offset, check
            number += 1


class Journal:
    def __init__(self, store, name):
        self.store, self.name = store, name
        self.path = f"{store}/journal/{encode(name)}"

    def segments(self):
        names = [name for name in os.listdir(self.path) if len(name) == 20 and name.isdigit()]
        return sorted(map(int, names))

    def open(self, first, writable=False):
        return Segment(f"{self.path}/{first:020}", writable)

    def read(self, start):
        numbers = self.segments()
        number = numbers[0] if start is None else start
        first = max(first for first in numbers if first <= number)
        while True:
            segment = self.open(first)
            cell, _ = segment.cell()
            trusted, found = segment.is_trusted(cell), segment.first
            for found, moment, payload, *_ in segment.records(cell.end if trusted else 2**64):
                if found >= number:
                    print(found, moment, encode(payload), sep="\t")
                found += 1
            if trusted and found < segment.first + cell.records:
                raise Damaged(f"record {found}")
            first = found
            if not (trusted and cell.closed) or not os.path.exists(f"{self.path}/{first:020}"):
                return

    def append(self, payload, most):
        table = f"{self.store}/locks/{hash_of(self.name) & 63:02x}"
        while True:
            held = os.open(table, os.O_RDWR | os.O_CREAT, 0o600)
            while not lock(held, fcntl.F_WRLCK, 2**59 + (hash_of(self.name) >> 6)):
                time.sleep(0.001)
            if os.fstat(held).st_nlink:
                break
            os.close(held)
        number = self.append_locked(payload, most)
        os.close(held)
        if os.path.exists(f"{self.store}/board"):
            board = Board(self.store)
            board.wake(board.word_of(self.name) + 32, board.bit_of(self.name))
            board.wake(board.ALL_KEYS, board.ALL_BITS)
        return number

    def append_locked(self, payload, most):
        for directory in f"{self.store}/journal", self.path:
            if not os.path.isdir(directory):
                os.mkdir(directory, 0o700)
        if not self.segments():
            self.make(1)
        segment = self.open(self.segments()[-1], writable=True)
        cell, other = segment.cell()
        if not segment.is_trusted(cell):
            raise Damaged("another boot's, or a copy")
        if cell.written_records and cell.written_end + 32 + len(payload) > most and not cell.closed:
            cell = self.write(segment, cell, other, closed=1)
        if cell.closed:
            self.make(segment.first + cell.records)
            segment = self.open(segment.first + cell.records, writable=True)
            cell, other = segment.cell()
        number, end = segment.first + cell.written_records, cell.written_end
        moment, former = time.time_ns() // 1000, cell.written_check
        rest = FRAME.pack(len(payload), 0, former, 0, number, moment)
        check = crc32c(payload, crc32c(rest[:4] + rest[8:], former))
        os.posix_fallocate(segment.file, end, 32 + len(payload))
        os.pwrite(segment.file, rest[:4] + struct.pack("<I", check) + rest[8:] + payload, end)
        end += 32 + len(payload)
        self.write(segment, cell, other, records=number - segment.first + 1, end=end, check=check,
                   written_records=number - segment.first + 1, written_end=end, written_check=check,
                   time=moment, allocated=max(cell.allocated, end))
        return number

    def write(self, segment, cell, place, **changes):
        cell = Cell(**{**cell.__dict__, **changes, "sequence": cell.sequence + 1})
        os.pwrite(segment.file, cell.bytes(), place)
        return cell

    def make(self, first):
        path, salt = f"{self.path}/.new", int.from_bytes(os.urandom(4), "little")
        if os.path.exists(path):
            os.unlink(path)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        text = f"flock-cache-journal 1\nfirst: {first}\nsalt: {salt:08x}\n".encode()
        text += f"check: {crc32c(text):08x}\n".encode()
        os.pwrite(file, text.ljust(511) + b"\n", 0)
        high, low = boot_id()
        cell = Cell(closed=0, sequence=1, records=0, end=FIRST, written_records=0, written_end=FIRST,
                    check=salt, written_check=salt, time=0, allocated=FIRST,
                    inode=os.fstat(file).st_ino, high=high, low=low)
        os.pwrite(file, cell.bytes(), CELLS[0])
        os.close(file)
        os.link(path, f"{self.path}/{first:020}")
        os.unlink(path)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("store")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--read", type=os.fsencode)
    action.add_argument("--append", type=os.fsencode)
    parser.add_argument("--from", type=int, dest="start")
    parser.add_argument("--segment", type=int, default=64 << 20)
    given = parser.parse_args()
    if given.read is not None:
        try:
            Journal(given.store, given.read).read(given.start)
        except Damaged as reason:
            print(f"damaged: {reason}", file=sys.stderr)
            return 1
        return 0
    journal = Journal(given.store, given.append)
    for line in sys.stdin.buffer:
        print(journal.append(line.removesuffix(b"\n"), given.segment), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
