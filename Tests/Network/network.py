#!/usr/bin/env python3
"""Tests the static command on file systems that machines share, in a laboratory of three virtual machines.

    network.py COMMAND [TEST...]

A TEST is a name, a part of one, or finding-N; all without. Needs root, QEMU and debootstrap; without them it says so, and
nothing is tested. The guests are built once, below --cache.
"""

import argparse
import atexit
import os
import random
import re
import signal
import sys
import time

import image
from lab import GRACE, LEASE, Lab, Skipped
from machine import Wrong, brief
from tools import CASES
import clocks, contact, exclusion, mounts, others, page, restarts, stress, views  # noqa: F401, E401: they list their tests


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", help="path of the static release command")
    parser.add_argument("tests", nargs="*", metavar="TEST")
    parser.add_argument("--list", action="store_true", help="list the tests and exit")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--cache", default=image.default_cache(), help="where the guests are kept (%(default)s)")
    parser.add_argument("--rounds", type=int, default=500, help="of claims from two machines (%(default)s)")
    parser.add_argument("--acquisitions", type=int, default=2000, help="of locks under cuts and kills (%(default)s)")
    return parser.parse_intermixed_args()


def chosen(names):
    if not names:
        return list(CASES.values())
    found = {}
    for name in names:
        meant = {case.name: case for case in CASES.values() if is_meant(case, name)}
        if not meant:
            sys.exit(f"no test {name}")
        found.update(meant)
    return list(found.values())


def is_meant(case, name):
    if re.fullmatch(r"finding-\d+", name):
        return case.finding == int(name.removeprefix("finding-"))
    return name == case.name if name in CASES else name in case.name


def title(case):
    return case.name + (f" (finding {case.finding})" if case.finding else "")


def attempt(lab, case):
    """passed, failed or skipped, and why or what was seen."""
    start = time.monotonic()
    try:
        lab.begin(case.name, case.mount, case.machines)
        outcome, words = "passed", case.body(lab)
    except Skipped as skipped:
        outcome, words = "skipped", str(skipped)
    except Exception as wrong:  # whatever it is, it is not what it must be
        kind = "" if isinstance(wrong, Wrong) else f"{type(wrong).__name__}: "
        outcome, words = "failed", kind + str(wrong)
    print(f"{outcome} {title(case)}: {brief(words, 1200)} [{time.monotonic() - start:.0f} s]", flush=True)
    lab.settle()
    return outcome


def main():
    options = arguments()
    if options.list or not options.command:
        for case in CASES.values():
            print(f"{title(case)}: {case.text}")
        return 0
    cases = chosen(options.tests)
    try:
        built = image.Image(options.cache)
    except image.Missing as missing:
        print(f"skipped: {missing}\n0 passed, 0 failed, {len(cases)} skipped")
        return 0
    print(f"seed {options.seed}, kernel of the guests {built.kernel_version}, server's lease {LEASE} s, grace {GRACE} s")
    lab = Lab(built, os.path.abspath(options.command), random.Random(options.seed))
    lab.rounds, lab.acquisitions = options.rounds, options.acquisitions
    atexit.register(lab.end)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes = [attempt(lab, case) for case in cases]
    count = outcomes.count
    print(f"{count('passed')} passed, {count('failed')} failed, {count('skipped')} skipped")
    return 1 if "failed" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
