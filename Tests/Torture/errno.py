"""Lets every system call of every change fail, with each of nine errors: once, and from then on.

After each:
- the command ended by itself, with a documented exit code, and with words when it failed;
- what it says is true: success means that all is done, a failure that nothing is, unless the words are
  that it may have happened; and a failure is never told as one of the answers (1, 65, 75, 76);
- nothing else in the store has changed, and nothing is torn but a claim that failed to be made;
- the store works: `stats`, the next claim, and a reap after which no temporary file is left.

EINTR comes five times at most, because the kernel does not interrupt for ever. A lock that is refused
with EACCES is busy, on some file systems, so that EACCES from then on is a wait of ten seconds: this is
tried once, for all.

With --quick some of all cases are taken, chosen by the seed.
"""

import concurrent.futures
import re

import leases
import rig as torture
import scenarios
from rig import check

ERRORS = ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EROFS", "EINTR", "ENOLCK", "EACCES"]
DOCUMENTED = {0, 1, 64, 65, 66, 69, 70, 71, 73, 74, 75, 76, 77, 78, 124}
# Answers, which a failure must not be taken for.
ANSWERS = {0, 1, 65, 75, 76}
# Calls that cannot fail, or whose failure means nothing.
HARMLESS = re.compile(
    r"get(e?[ug]id|p?pid|tid)|exit_group|brk|mmap|munmap|futex|rt_sig\w+|prlimit64|sched_\w+")
UNKNOWN = b"it may have happened"
# A damaged record where nothing can be written: it is only reported.
KEPT = b"it stays where it is"


def attack(scenario, point, error, lasts):
    store = scenario.copy()
    times = "" if not lasts else f"..{point.number + 4}" if error == "EINTR" else "+"
    done = torture.run(
        torture.faulty(scenario.arguments(store), point, f"error={error}", times=times))
    check(done.code >= 0, f"killed by signal {-done.code}")
    check(done.code in DOCUMENTED, f"exit code {done.code}: {done.err.decode()}")
    view = store.view()
    # A win that could not be told is given up, also of a claim that was taken over.
    given_up = [(None, None)] if scenario.name == "take-over" and point.name == "write" else []
    progress = scenario.progress(view, given_up)
    changed = {
        key for key, new in progress.items()
        if new and scenario.old_states.get(key) != scenario.new_states.get(key)}
    # An owner who cannot be asked whether he lives is alive, which only waits. A record that its owner
    # keeps from us is passed over by who goes through all of them.
    doubt = point.name in ("pidfd_open", "poll") or (
        scenario.name == "reap" and point.name == "openat" and error == "EACCES")
    if done.code == scenario.done.code:
        check_success(scenario, done, progress, changed, doubt)
    elif not (doubt and done.code == 75 and not changed):
        check_failure(scenario, done, point, changed)
    check_after(scenario, store, view)
    store.remove()


def check_success(scenario, done, progress, changed, doubt):
    if KEPT in done.err:
        return
    if doubt and scenario.name == "reap":
        check(keys_told(done) == changed, f"told {keys_told(done)}, done {changed}")
        return
    check(words(done) == words(scenario.done), f"said {done.out}, not {scenario.done.out}")
    check(all(progress.values()), f"success, but not done: {progress}; {done.err.decode()}")


def check_failure(scenario, done, point, changed):
    what = f"ended with {done.code}: {done.err.decode()}"
    check(done.code not in ANSWERS, f"an error, but an answer: {what}")
    # Where nothing can be written, the exit code tells.
    check(done.err.startswith(b"flock-cache: ") or point.name == "write", f"no words: {what}")
    if scenario.name == "reap":
        check(keys_told(done) <= changed, f"told {keys_told(done)}, done {changed}")
    else:
        told = UNKNOWN in done.err or b"all the same" in done.err
        check(not changed or told or point.name == "write", f"changed {changed}, but {what}")


def without_a_call(scenario, call, error):
    """Where the kernel or a filter does not know a call, another one does the same."""
    store = scenario.copy()
    point = next(p for p in scenario.points if p.name == call)
    done = torture.run(
        torture.faulty(scenario.arguments(store), point, f"error={error}", times="+"))
    check(done.code == 0, f"ended with {done.code}: {done.err.decode()}")
    view = store.view()
    check(all(scenario.progress(view).values()) and not view.temporaries, "not done")
    torture.check_counts(store, view)
    store.remove()


def words(done):
    return b"a generation" if done.out.strip().isdigit() else done.out


def keys_told(done):
    return {line.split(b"\t")[0].decode() for line in done.out.splitlines()}


def check_after(scenario, store, view):
    if view.temporaries or view.debris:
        later = store.copy(scenario.rig.path("later"))
        reaped = later.run("reap")
        check(reaped.code == 0, f"reap ended with {reaped.code}: {reaped.err.decode()}")
        left = later.view()
        check(not left.temporaries and not left.debris, f"reap left {left.temporaries}")
        later.remove()
    torture.check_counts(store, view)
    torture.check_next_claim(store, view, {scenario.owner.pid, scenario.rig.keeper.pid})


def busy_lock(scenario):
    """Locks that are busy for ever: 124, with words, after ten seconds."""
    store = scenario.copy()
    point = next(p for p in scenario.points if "F_OFD_SETLK" in p.line)
    done = torture.run(torture.faulty(scenario.arguments(store), point, "error=EACCES", times="+"))
    check(done.code == 124 and done.err and 9 < done.seconds < 12, done)
    check(store.view().keys == scenario.old.keys, "and changed something")
    check_after(scenario, store, store.view())


def main():
    rig = torture.Rig(__doc__)
    # It only waits, so it runs beside the others.
    beside, slow = concurrent.futures.ThreadPoolExecutor(1), None
    for scenario in rig.prepared(scenarios.everything()):
        points = torture.first_and_last(scenario.points)
        cases = [
            (f"{p.name} {p.number}{'+' * lasts} {error}, {p.line[:90]}", scenario, p, error, lasts)
            for p in points if not HARMLESS.fullmatch(p.name)
            for error in ERRORS for lasts in (False, True)
            if not (lasts and error == "EACCES" and p.name == "fcntl")]
        rig.each(f"errno {scenario.name}", rig.sample(cases, 60), attack)
        if any(p.name == "renameat2" for p in scenario.points) and scenario.done.code == 0:
            cases = [(error, scenario, "renameat2", error) for error in ("EINVAL", "ENOSYS", "EPERM")]
            rig.each(f"{scenario.name} without renameat2", cases, without_a_call)
        if scenario.name == "claim" and not rig.quick:
            slow = beside.submit(rig.attempt, "a lock that stays busy", busy_lock, scenario)
    leases.errno(rig, ERRORS, DOCUMENTED, ANSWERS, HARMLESS)
    if slow:
        slow.result()
    rig.finish()


if __name__ == "__main__":
    main()
