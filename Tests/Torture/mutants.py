"""Breaks the protocol in small ways, and demands that the torture scripts notice.

Each mutant is one patch of the sources, in a copy of the tree, built like the shipped command. The
scripts named beside it are first run on the command that was given, where they must pass, and then on
the mutant, where at least one must fail by its own count.

The mutants that are only seen when the power is cut are left out where not run as root. With --quick
only the first three are built.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

import rig as torture
from rig import check

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
SOURCES = "Sources/FlockCache"

Mutant = namedtuple("Mutant", "name file old new attacks")

# An attack is a script, the scenarios it is to run, and its other options.
MUTANTS = [
    Mutant(
        "the shard's mutex is tried but not waited for", "Mutexes/ShardMutex.swift",
        "if try file.tryLock(shard) { return }",
        "if try file.tryLock(shard) || shard >= 0 { return }",
        ["preempt.py ^take-over$"]),
    Mutant(
        "finalize does not compare generations", "Claims/ClaimRight.swift",
        "(.generation(let generation), _): claim.generation == generation",
        "(.generation(let generation), _): claim.generation != generation || generation > 0",
        ["preempt.py ^take-over$"]),
    Mutant(
        "NAME is not looked at again under the mutex", "Claims/Claiming.swift",
        "guard ready == seenReady else { return nil }",
        "_ = seenReady",
        ["preempt.py ^take-over$"]),
    Mutant(
        "a shard is not marked while it is changed", "Mutexes/HeldShard.swift",
        "marked.changer = Process.id",
        "marked.changer = 0",
        ["kill.py ^claim$"]),
    Mutant(
        "a take-over unlinks and creates", "Claims/Claiming.swift",
        "try directory.rename(temporary, to: name.pending)",
        "try directory.unlink(name.pending); try directory.rename(temporary, to: name.pending)",
        ["kill.py ^take-over$", "preempt.py ^take-over$"]),
    Mutant(
        "every owner is dead", "Holders/Liveness.swift",
        "try process.isAlive(sameTimeNamespace: sameTime)",
        "try process.isAlive(sameTimeNamespace: sameTime) && process.id < 0",
        ["kill.py ^claim$"]),
    Mutant(
        "NAME is unlinked before NAME.pending", "Claims/Removing.swift",
        "if hasPending {\n",
        "if hasReady { try directory.unlink(name.ready) }\n            if hasPending {\n",
        ["kill.py ^remove-both$"]),
    Mutant(
        "what an earlier finalize left is not cut off", "Claims/FinalizeChange.swift",
        "if size != mine.text.count {", "if size < mine.text.count {",
        ["kill.py ^finalize$"]),
    Mutant(
        "the reaper takes what the living are writing", "Housekeeping/Reaping.swift",
        "guard !isAlive else { return }",
        "_ = isAlive",
        ["preempt.py ^finalize-large$"]),
    Mutant(
        "a reader looks at NAME once", "Claims/Lookup.swift",
        "guard looksAgain else { return .absent }",
        "guard looksAgain && name.shard < 0 else { return .absent }",
        ["preempt.py ^get-pending$"]),
    Mutant(
        "generations begin again once the files are gone", "Mutexes/HeldShard.swift",
        "max(UInt64(clamping: WallClock.microseconds), block.highest + 1, found + 1)",
        "found + 1",
        ["kill.py ^abandon$"]),
    Mutant(
        "an error after the first write is no error", "Claims/FinalizeChange.swift",
        "try mine.file.write(section, at: mine.text.count)",
        "try? mine.file.write(section, at: mine.text.count)",
        ["errno.py ^finalize$"]),
    Mutant(
        "who is stopped in the queue is not passed", "Mutexes/TicketQueue.swift",
        "passed = oldest",
        "_ = oldest; return false",
        ["lock.py stop.*queue"]),
    Mutant(
        "a lease is written over the cell that counts", "Leases/LeaseFile.swift",
        "isSecond = !wasSecond",
        "isSecond = wasSecond",
        ["lease.py renew"]),
    Mutant(
        "a value is not synchronised before its rename", "Claims/FinalizeChange.swift",
        "if store.isDurable { try mine.file.sync() }",
        "",
        ["power.py ^finalize$"]),
    Mutant(
        "a directory is not synchronised after a rename", "Claims/Claiming.swift",
        "guard isDurable else { return }",
        "guard isDurable && key.bytes.isEmpty else { return }",
        ["power.py ^finalize$"]),
    Mutant(
        "the marker is not synchronised before it has its name", "Files/StoreDirectory.swift",
        "try file.sync()",
        "_ = file.number",
        ["power.py ^history-plain$ --quick"]),
    Mutant(
        "a lease is not synchronised before it is acknowledged", "Leases/LeaseFile.swift",
        "if durably { try file.sync() }",
        "",
        ["power.py ^history-durable$ --quick"]),
]


def build(tree, scratch):
    done = subprocess.run(
        ["swift", "build", "-c", "release", "--product", "flock-cache", "-Xswiftc",
         "-static-executable", "--disable-default-traits", "--scratch-path", scratch],
        cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the mutant does not build:\n{done.stdout[-3000:]}")
    return os.path.join(scratch, "release", "flock-cache")


def run_attack(rig, attack, command):
    """Whether an attack went well; None when it could not be carried out."""
    script, scenarios, *options = attack.split()
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, script), command, "--only", scenarios, "--seed",
         str(rig.options.seed), "--jobs", str(rig.options.jobs), *options],
        capture_output=True, text=True, check=False)
    counted = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    if not counted:
        print(f"{attack}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        return None
    return counted[2] == "0" and counted[1] != "0" and done.returncode == 0


def attack_mutant(rig, mutant, tree, scratch):
    path = os.path.join(tree, SOURCES, mutant.file)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    check(text.count(mutant.old) == 1, f"the sources have changed: {mutant.old!r} in {mutant.file}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(mutant.old, mutant.new))
    try:
        command = build(tree, scratch)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    results = [run_attack(rig, attack, command) for attack in mutant.attacks]
    check(False in results, f"nobody noticed that {mutant.name}")


def main():
    rig = torture.Rig(__doc__, where=None)
    mutants = [m for m in MUTANTS if re.search(rig.options.only, m.name)]
    if os.geteuid():
        mutants = [m for m in mutants if not m.attacks[0].startswith("power")]
    if rig.quick:
        mutants = mutants[:3]
    tree = os.path.join(rig.home, "tree")
    shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns(".build", ".git"))
    for attack in sorted({attack for mutant in mutants for attack in mutant.attacks}):
        rig.each("unbroken", [(attack, attack)], lambda attack: check(
            run_attack(rig, attack, rig.command), "fails on the command as it is"))
    for mutant in mutants:
        rig.each("broken", [(mutant.name, mutant)], lambda mutant: attack_mutant(
            rig, mutant, tree, os.path.join(rig.home, "build")))
        print(f"    {mutant.name}", flush=True)
    rig.finish()


if __name__ == "__main__":
    main()
