"""Breaks the protocol in small ways, and demands that the torture scripts or the tests notice.

Each mutant is one patch of the sources, in a copy of the tree, built like the shipped command or as tests. The
scripts and suites named beside it are first run on the command that was given and the tests as they are, where
they must pass, and then on the mutant, where at least one must fail by its own count.

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

# An attack is a script, the scenarios it is to run, and its other options; or `tests` and a suite.
MUTANTS = [
    Mutant(
        "the shard's mutex is tried but not waited for", "Mutexes/ShardFile.swift",
        "try file.tryLock(isWritable ? .exclusive : .shared, at: Self.offset(shard))",
        "try file.tryLock(isWritable ? .exclusive : .shared, at: Self.offset(shard)) || shard >= 0",
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
        "a shard is not marked while it is changed", "Changes/HeldShard.swift",
        "marked.changer = mutex.shards.processID",
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
        "generations begin again once the files are gone", "Changes/HeldShard.swift",
        "max(UInt64(clamping: now), block.highest + 1, found + 1)",
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
        "a record's check does not go on from the one before", "Records/JournalFrame.swift",
        "var checksum = Checksum(from: previous)",
        "var checksum = Checksum(from: previous & 0)",
        ["journal.py journal.append$"]),
    Mutant(
        "a journal's cell is written over the one that counts", "Segments/HeldJournal.swift",
        "try segment.write(changed, at: 1 - index)\n        cell = changed\n        index = 1 - index",
        "try segment.write(changed, at: index)\n        cell = changed",
        ["journal.py journal.append$ --quick"]),
    Mutant(
        "a journal's next segment has its name before the last is closed",
        "Segments/HeldJournal+Rotation.swift",
        "try commit(closed)\n        hasNews = true\n        // A segment without a record that could be read has the "
        "name that the next one gets.\n        adopt(try fresh.publish(replacing: end.records == 0))",
        "let next = try fresh.publish(replacing: end.records == 0)\n        try commit(closed)\n"
        "        hasNews = true\n        adopt(next)",
        ["journal.py rotation$"]),
    Mutant(
        "a journal is trimmed newest first", "Segments/Trimming.swift",
        "try removeSegments(excess[...], patience: patience)",
        "try removeSegments(Array(excess.reversed())[...], patience: patience)",
        ["journal.py trim$"]),
    Mutant(
        "a journal is not walked after another boot", "Segments/HeldJournal.swift",
        "let isOfThisBoot = boot == nil || self.boot == boot || !journal.files.isLocal",
        "let isOfThisBoot = boot == nil || self.boot != .none || !journal.files.isLocal",
        ["power.py ^history-plain$ --quick"]),
    Mutant(
        "a record is not synchronised before it is read", "Segments/HeldJournal+Append.swift",
        "            try segment.sync()\n        } catch {\n            failure = error\n        }",
        "            _ = try segment.isLinked()\n        } catch {\n            failure = error\n        }",
        ["power.py ^history-durable$ --quick"]),
    Mutant(
        "of two cells the older one counts", "Records/CounterRecord.swift",
        "return first.generation >= second.generation",
        "return first.generation < second.generation",
        ["kill.py ^increment$"]),
    Mutant(
        "a cell is written over the one that counts", "Values/Incrementing.swift",
        "at: counter.record.nextOffset)",
        "at: 2560 - counter.record.nextOffset)",
        ["kill.py ^increment$"]),
    Mutant(
        "put unlinks and renames", "Values/Replacement.swift",
        "try directory.exchange(temporary, with: name.ready)",
        "try directory.unlink(name.ready); try directory.rename(temporary, to: name.ready)",
        ["kill.py ^put-over$"]),
    Mutant(
        "put removes a stale claim before the value is there", "Values/Replacement.swift",
        "let placed: Placed?\n",
        "let placed: Placed?\n        if case .leftover = beside { _ = try? directory.unlink(name.pending) }\n",
        ["kill.py ^put-over-stale$"]),
    Mutant(
        "put does not look at the precondition under the mutex", "Values/Putting.swift",
        "guard precondition.holds(for: former?.generation) else { return .unmet(former?.generation) }",
        "_ = precondition",
        ["preempt.py ^put$"]),
    Mutant(
        "what was counted is not synchronised before it is acknowledged", "Values/Incrementing.swift",
        "try counter.opened.file.syncData()\n        } catch {",
        "_ = counter.opened.file.number\n        } catch {",
        ["power.py ^history-durable$ --quick"]),
    Mutant(
        "a value is not synchronised before it takes another's place", "Values/Replacement.swift",
        "try file.write(text)\n            if store.isDurable { try file.sync() }",
        "try file.write(text)",
        ["power.py ^put-over$"]),
    Mutant(
        "a change is told when its mark is cleared", "Changes/HeldShard.swift",
        "untold = changes.tellNow(told, of: shard)",
        "clear(); untold = changes.tellNow(told, of: shard)",
        ["changes.py ^claim$"]),
    Mutant(
        "the number of a change's record is not noted", "Changes/ChangeJournal.swift",
        "        try intents.write(noted, of: shard)\n        _ = try end.append(records)",
        "        _ = try end.append(records)",
        ["changes.py ^claim$"]),
    Mutant(
        "who counts a shard again does not tell first", "Changes/HeldShard.swift",
        "found?.changer != 0 {",
        "found?.changer != 0, !verifying {",
        ["changes.py ^claim$"]),
    Mutant(
        "the end of a lease is not told", "Leases/ChangingLeases.swift",
        "ToldEvent(event: .expired, generation: $0.generation) }",
        "ToldEvent(event: .expired, generation: $0.generation) }.flatMap { $0.generation == 0 ? $0 : nil }",
        ["changes.py lease-over$"]),
    Mutant(
        "a grant that was not synchronised stays", "Leases/Leasing.swift",
        "guard error.code == .unknownOutcome else { throw error }",
        "guard error.code == .timedOut else { throw StoreError(.noSpace, \"grant\", reason: error.reason) }",
        ["errno.py ^lease.acquire"]),
    Mutant(
        "a lease that is ended by force keeps its generation", "Leases/LeaseReaping.swift",
        "let generation = try held.nextGeneration(above: former?.generation ?? 0)",
        "let generation = former?.generation ?? 0",
        ["preempt.py ^lease.force"]),
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
        "guard durably else { return }",
        "guard durably && path.isEmpty else { return }",
        ["power.py ^history-durable$ --quick"]),
    Mutant(
        "a keeper renews what is over", "Leases/Leasing.swift",
        "if onlyHeld, isOver || cell.isExpired || !isOfThisBoot {",
        "_ = isOver\n        if onlyHeld, cell.isExpired || !isOfThisBoot {",
        ["tests LibraryTests.LeaseLossTests/"]),
    Mutant(
        "a lease's generation ignores those in its record", "Leases/Leasing.swift",
        "above: search.highest, in:",
        "above: search.highest & 0, in:",
        ["tests LibraryTests.LeaseDeadlineTests/"]),
    Mutant(
        "a lease's owner is judged from another PID namespace", "Leases/LeaseStanding.swift",
        "guard cell.place.processNamespace == here.processNamespace else { return .unknown }",
        "_ = cell.place.processNamespace",
        ["tests LibraryTests.LeaseLossTests/"]),
    Mutant(
        "a lease is renewed at nine tenths of its time", "Leases/LeaseRenewal.swift",
        "timeToLive / 3)",
        "timeToLive * 9 / 10)",
        ["tests LibraryTests.LeaseDeadlineTests/"]),
    Mutant(
        "a grant's time counts from its end", "Leases/Leasing.swift",
        "deadline: deadline ?? BootTime(nanoseconds: .max))",
        "deadline: deadline == nil ? BootTime(nanoseconds: .max)\n"
        "                : BootTime.now.advanced(by: request.timeToLive ?? .zero))",
        ["tests LibraryTests.LeaseDeadlineTests/"]),
    Mutant(
        "a renewal's time counts from its end", "Leases/Lease.swift",
        "deadline.store(start.advanced(by: timeToLive)",
        "_ = start\n                deadline.store(BootTime.now.advanced(by: timeToLive)",
        ["tests LibraryTests.LeaseDeadlineTests/"]),
    Mutant(
        "a lease's cell is written before its mark", "Leases/Leasing.swift",
        "        try held.begin(\n"
        "            generation: generation, .lease(name, slot: index, sequence: sequence, events))\n"
        "        do throws(StoreError) {\n"
        "            try file.write(cell, in: index, durably: isDurable)\n",
        "        do throws(StoreError) {\n"
        "            try file.write(cell, in: index, durably: isDurable)\n"
        "            try held.begin(\n"
        "                generation: generation, .lease(name, slot: index, sequence: sequence, events))\n",
        ["tests ProcessTests.ChangeCrashTests/"]),
    Mutant(
        "who is not the first asks for a lease too", "Leases/LeaseWait.swift",
        "if try place?.isFirst() != false {",
        "_ = try place?.isFirst()\n            if slots > 0 {",
        ["tests LibraryTests.LeaseQueueTests/"]),
    Mutant(
        "a lease's release wakes nobody", "Leases/LeaseQueue.swift",
        "            queue.wakeOldest(file)\n            return true",
        "            return true",
        ["tests LibraryTests.LeaseWaitTests/"]),
    Mutant(
        "who does not wait for a lease does not look whether others do", "Leases/LeaseQueue.swift",
        "guard isEmpty == false else { return false }",
        "guard isEmpty == false, slots == 0 else { return false }",
        ["tests LibraryTests.LeaseQueueTests/"]),
    Mutant(
        "a lease is changed under a mutex that was removed", "Leases/ChangingLeases.swift",
        "guard try mutex.file.isLinked() else { throw .replaced(store.path) }",
        "_ = try mutex.file.isLinked()",
        ["tests LibraryTests.RemovedMutexTests/"]),
    Mutant(
        "what is known of a slot stays when it is released", "Leases/LeaseFile.swift",
        "try taken.forget(index)",
        "_ = taken",
        ["tests LibraryTests.LeaseSlotTests/"]),
    Mutant(
        "the mutex between threads is free before that between processes", "Mutexes/ShardMutex.swift",
        "file.unlock(shard)\n        shards.mutexes.unlock(shard)\n",
        "shards.mutexes.unlock(shard)\n        file.unlock(shard)\n",
        ["tests ProcessTests.MutexOrderTests/"]),
    Mutant(
        "a child does not see that its parent has died", "../CSystem/spawn.c",
        "if (getppid() != start->parent) _exit(127);",
        "",
        ["run.py before.its"]),
    Mutant(
        "who leaves a queue wakes nobody", "Locks/KeyLock.swift",
        "leaveQueue(wakingNext: true)\n            file = nil",
        "leaveQueue(wakingNext: false)\n            file = nil",
        ["tests LibraryTests.LockLeavingTests/"]),
    Mutant(
        "a change counter is believed that is stale", "Changes/HeldShard.swift",
        "guard let seen, let found, seen == found, seen.mark != .unknown, files.isLocal else {\n"
        "            return false\n"
        "        }\n"
        "        return currentMark() == seen.mark",
        "seen != nil && found != nil && files.isLocal",
        ["tests ProcessTests.SessionStopTests/"]),
    Mutant(
        "the blocks of a store that was removed are believed", "Mutexes/ShardFile.swift",
        "try attempt(\"use\", path) { () throws(Errno) in try file.linkedStatus() }",
        "try attempt(\"use\", path) { () throws(Errno) in try file.status() }",
        ["tests LibraryTests.RemovedMutexTests/"]),
    Mutant(
        "who waits for a mutex never sleeps", "Mutexes/ShardMutex.swift",
        "for _ in 0..<Self.spins {",
        "while !limit.isOver {",
        ["tests LibraryTests.MutexWaitTests/"]),
]


def compile_tree(arguments, tree, scratch):
    done = subprocess.run(
        ["swift", "build", *arguments, "--scratch-path", scratch],
        cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the mutant does not build:\n{done.stdout[-3000:]}")


def build(tree, scratch):
    compile_tree(
        ["-c", "release", "--product", "flock-cache", "-Xswiftc", "-static-executable",
         "--disable-default-traits"], tree, scratch)
    return os.path.join(scratch, "release", "flock-cache")


def build_tests(tree, scratch):
    scratch += "-tests"
    compile_tree(["--build-tests"], tree, scratch)
    return os.path.join(scratch, "debug", "flock-cachePackageTests.xctest")


def is_of_tests(attack):
    """Whether an attack is a suite of the tests, and not a script with a command."""
    return attack.startswith("tests ")


def run_suite(attack, tests):
    """Whether a suite went well; None when it could not be run. One that does not end has not."""
    try:
        done = subprocess.run(
            [tests, "--testing-library", "swift-testing", "--filter", "^" + attack.split()[1]],
            cwd=os.path.dirname(tests), capture_output=True, text=True, check=False, timeout=300)
    except subprocess.TimeoutExpired:
        return False
    ran = re.search(r"Test run with (\d+) tests? .*(passed|failed)", done.stdout + done.stderr)
    if done.returncode >= 0 and (not ran or ran[1] == "0"):
        print(f"{attack}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        return None
    return done.returncode == 0


def run_attack(rig, attack, command, tests):
    """Whether an attack went well; None when it could not be carried out."""
    if is_of_tests(attack):
        return run_suite(attack, tests)
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


def builds(attacks, tree, scratch):
    """What the attacks need of a tree: the command, the tests; None for what they do not."""
    return (build(tree, scratch) if not all(map(is_of_tests, attacks)) else None,
            build_tests(tree, scratch) if any(map(is_of_tests, attacks)) else None)


def attack_mutant(rig, mutant, tree, scratch):
    path = os.path.join(tree, SOURCES, mutant.file)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    check(text.count(mutant.old) == 1, f"the sources have changed: {mutant.old!r} in {mutant.file}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(mutant.old, mutant.new))
    try:
        command, tests = builds(mutant.attacks, tree, scratch)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    results = [run_attack(rig, attack, command, tests) for attack in mutant.attacks]
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
    scratch = os.path.join(rig.home, "build")
    attacks = sorted({attack for mutant in mutants for attack in mutant.attacks})
    _, tests = builds([attack for attack in attacks if is_of_tests(attack)], tree, scratch)
    for attack in attacks:
        rig.each("unbroken", [(attack, attack)], lambda attack: check(
            run_attack(rig, attack, rig.command, tests), "fails on the command as it is"))
    for mutant in mutants:
        rig.each("broken", [(mutant.name, mutant)], lambda mutant: attack_mutant(
            rig, mutant, tree, scratch))
        print(f"    {mutant.name}", flush=True)
    rig.finish()


if __name__ == "__main__":
    main()
