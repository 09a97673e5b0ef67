"""Kills `run` at every system call of its own, while another waits for the same key.

After each kill, and with nobody cleaning up:
- the one who waits ends with 0 and a whole value, its own COMMAND's or the killed one's, soon;
- that value is what everybody gets from then on, and `stats` says what the files say;
- one `reap` leaves no claim, no debris and no temporary file.

And kills it while the child that is to execute COMMAND has not asked yet to be killed with it: COMMAND never begins.

Small values and large ones; whoever waits, or asks when the other is gone. With --quick a sample of the
calls.
"""

import fcntl
import os
import pty
import re
import signal
import subprocess
import termios

import oracle
import rig as torture
from rig import KEY, ENVIRONMENT, Point, Store, check

_CALL = re.compile(r"([a-z0-9_]+)\(")


def trace(arguments, log):
    """The calls of the process itself, from the command's own first one on."""
    subprocess.run(
        ["strace", "-o", log, *arguments], capture_output=True, env=ENVIRONMENT, timeout=30, check=True)
    counts, points, begun = {}, [], False
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            call = _CALL.match(line)
            if not call or call[1] == "execve":
                continue
            counts[call[1]] = counts.get(call[1], 0) + 1
            begun = begun or "fcntl(0, F_GETFD" in line
            if begun:
                if not call[1].startswith("syscall_"):  # see rig.py
                    points.append(Point(call[1], counts[call[1]], line.strip()))
    return points


def killed(arguments, point):
    inject = f"inject={point.name}:signal=KILL:when={point.number}"
    return ["strace", "-o", os.devnull, "-e", f"trace={point.name}", "-e", inject, *arguments]


def attack(rig, values, point, waits):
    store = Store(rig, rig.path("run"))
    store.must("init")
    store.must("wait", "other", "--also-absent", "-w", "1ms", code=124)  # makes the board
    first, second = (["cat", value] for value in values)
    victim = subprocess.Popen(
        killed(store.command("run", KEY, "--", *first), point), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, env=ENVIRONMENT)
    if waits:
        shard = os.path.join(store.path, "entries", f"{oracle.shard_of(KEY):02x}")
        names = [os.path.join(shard, name) for name in (KEY, KEY + ".pending")]
        while victim.poll() is None and not any(map(os.path.exists, names)):
            os.sched_yield()
    else:
        victim.communicate(timeout=30)
    done = store.run("run", "-w", "10s", KEY, "--", *second)
    victim.communicate(timeout=30)
    contents = [open(value, "rb").read() for value in values]
    check(done.code == 0, f"the other ended with {done.code}: {done.err.decode()}")
    check(done.out in contents, f"the other got {torture.brief(done.out)}")
    check(done.seconds < 2, f"the other took {done.seconds:.1f} s")
    view = store.view()
    ready = view.keys[KEY][0]
    check(ready[0] == "ready" and ready[2] == done.out, f"there is {torture.brief(ready)}")
    torture.check_counts(store, view)
    check(store.run("run", KEY, "--", "false").out == done.out, "the next got something else")
    reaped = store.run("reap")
    check(reaped.code == 0, f"reap ended with {reaped.code}: {reaped.err.decode()}")
    after = store.view()
    check(not after.temporaries and not after.debris, "reap left something")
    check(after.keys == {KEY: (ready, None)}, f"reap left {torture.brief(after.keys)}")
    torture.check_counts(store, after)
    store.remove()
    return victim.returncode


def attack_early(rig):
    """At a terminal, where COMMAND is in the group of `run`; elsewhere its group is killed as well."""
    store = Store(rig, rig.path("run"))
    store.must("init")
    begun = rig.path("begun")
    terminal, theirs = pty.openpty()
    reading, writing = os.pipe()
    # Both set the file creation mask, first of all: `run`, and the child before it becomes COMMAND.
    victim = subprocess.Popen(
        ["strace", "-f", "-o", f"/dev/fd/{writing}", "-e", "trace=umask", "-e", "inject=umask:signal=STOP",
         *store.command("run", KEY, "--", "touch", begun)],
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
        pass_fds=[writing], start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(writing)
    os.close(theirs)
    run, child = None, None
    with os.fdopen(reading, errors="replace") as log:
        for line in log:
            process = int(line.split()[0])
            if "--- stopped by SIGSTOP ---" in line:
                if run is None:
                    run = process
                    os.kill(run, signal.SIGCONT)
                else:
                    child = process
                    os.kill(run, signal.SIGKILL)
            elif process == run and "+++ killed by SIGKILL" in line:
                os.kill(child, signal.SIGCONT)
    victim.wait(timeout=30)
    os.close(terminal)
    check(child is not None, "no child was met")
    check(not os.path.exists(begun), "COMMAND has begun, and nobody waits for it")
    store.remove()


def check_kills(codes):
    """An attack that kills nobody shows nothing; who waits may have ended before the call."""
    kills = codes.count(-signal.SIGKILL)
    check(kills > len(codes) / 2, f"only {kills} of {len(codes)} were killed")


def main():
    rig = torture.Rig(__doc__)
    small = [rig.path("first"), rig.path("second")]
    for path in small:
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"value of {os.path.basename(path)}\n")
    for size, values in ("small", small), ("large", [rig.large_file, small[1]]):
        model = Store(rig, rig.path("model"))
        model.must("init")
        points = trace(model.command("run", KEY, "--", "cat", values[0]), rig.path("trace"))
        for waits in True, False:
            title = f"kill run, {size}, {'another waits' if waits else 'another comes'}"
            if re.search(rig.options.only, title):
                cases = [
                    (f"{p.name} {p.number}, {p.line[:90]}", rig, values, p, waits)
                    for p in rig.sample(points, 60)]
                rig.attempt(f"{title}: kills", check_kills, rig.each(title, cases, attack))
    title = "kill run, before its child is told of that"
    if re.search(rig.options.only, title):
        rig.each(title, [("at a terminal", rig)], attack_early)
    rig.finish()


if __name__ == "__main__":
    main()
