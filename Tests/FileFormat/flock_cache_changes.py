#!/usr/bin/env python3
"""Reads what a store tells of its changes, by docs/reference/file-format.md alone.

    flock_cache_changes.py STORE --events [--from N]    NUMBER TIME EVENT KEY GENERATION, parted by tabs
    flock_cache_changes.py STORE --replay               STATE KEY GENERATION, as the events say
    flock_cache_changes.py STORE --intents              SHARD KIND COUNTER NUMBER KEY of each marked shard

KEY is as it stands on disk; that of `restarted` is `/`. TIME is in microseconds. Ends with 1 when a record is
damaged, when numbers have gaps, or when something is told twice.
"""
import argparse
import os
import struct
import sys

from flock_cache_format import Damaged, crc32c, read
from flock_cache_journal import Segment

EVENTS = ("claimed", "taken-over", "finalized", "put", "incremented", "abandoned", "removed", "reaped", "leased",
          "released", "expired", "restarted")
KINDS = ("untold", "claim", "take-over", "publish", "end", "removal", "set-aside", "lease")


def events(store, start=None):
    """Number, time, event, key, generation, and by which intent of which shard it was told."""
    path = f"{store}/journal/.changes"
    names = sorted(n for n in os.listdir(path) if len(n) == 20 and n.isdigit()) if os.path.isdir(path) else []
    expected = None
    for name in names:
        segment = Segment(f"{path}/{name}")
        cell, _ = segment.cell()
        most = cell.end if segment.is_trusted(cell) else 2**64
        for number, moment, payload, *_ in segment.records(most):
            if expected not in (None, number):
                raise Damaged(f"record {number} follows {expected - 1}")
            expected = number + 1
            if number >= (start or 0):
                yield (number, moment, *parse(payload.decode()))


def parse(text):
    words = text.split(" ")
    if len(words) == 2 and words[0] == "restarted":
        return "restarted", "/", 0, None, None
    event, generation, shard, counter, name = words
    if event not in EVENTS[:-1] or not name:
        raise Damaged(f"no event: {text}")
    return event, name, int(generation), int(shard, 16), int(counter)


def replay(told):
    """What is there after some events: {key: [READY generation, PENDING generation]}, and leases."""
    keys, leases, seen = {}, {}, set()
    for _, _, event, key, generation, shard, counter in told:
        if event == "restarted":
            continue
        if generation and (event, key, generation) in seen:
            raise Damaged(f"told twice: {event} {key} {generation}")
        seen.add((event, key, generation))
        state = keys.setdefault(key, [None, None])
        if event in ("claimed", "taken-over"):
            state[1] = generation
        elif event in ("finalized", "put", "incremented"):
            state[0] = generation
            if state[1] is not None and state[1] <= generation:
                state[1] = None
        elif event in ("abandoned", "removed", "reaped"):
            if generation == state[1]:
                state[1] = None
            elif generation == state[0]:
                state[0] = None
            elif generation == 0:
                state[0 if event == "removed" else 1] = None
        elif event == "leased":
            leases.setdefault(key, set()).add(generation)
            seen.discard(("expired", key, generation))
        else:
            leases[key] = leases.get(key, set()) - {generation} if generation else set()
            if event == "expired":
                seen.discard(("leased", key, generation))
    return ({key: tuple(state) for key, state in keys.items() if state != [None, None]},
            {key: found for key, found in leases.items() if found})


def intents(store):
    """Of each shard whose block is marked or not whole: shard, kind, counter, number, key."""
    blocks, slots = read(f"{store}/locks/shards"), read(f"{store}/locks/intents")
    for shard in range(256):
        block = blocks[64 + 64 * shard:128 + 64 * shard]
        changer, check = struct.unpack_from("<II", block)
        if not changer and check == crc32c(block[:4] + block[8:]):
            continue
        slot = slots[512 + 512 * shard:1024 + 512 * shard]
        check, kind, counter, number = struct.unpack_from("<IIQQ", slot)
        if check != crc32c(slot[4:]):
            continue
        length, = struct.unpack_from("<H", slot, 64)
        yield shard, KINDS[kind], counter, number, slot[66:66 + length].decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--from", dest="start", type=int)
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--intents", action="store_true")
    options = parser.parse_args()
    if options.events:
        for row in events(options.store, options.start):
            print(*row[:5], sep="\t")
    if options.replay:
        keys, leases = replay(events(options.store))
        for key, (ready, pending) in sorted(keys.items()):
            if ready is not None:
                print("ready", key, ready, sep="\t")
            if pending is not None:
                print("pending", key, pending, sep="\t")
        for key, generations in sorted(leases.items()):
            for generation in sorted(generations):
                print("leased", key, generation, sep="\t")
    if options.intents:
        for shard, *row in intents(options.store):
            print(f"{shard:02x}", *row, sep="\t")


if __name__ == "__main__":
    try:
        main()
    except Damaged as damage:
        sys.exit(f"damaged: {damage}")
