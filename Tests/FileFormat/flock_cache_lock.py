#!/usr/bin/env python3
"""Runs a command under a named lock of a store: flock_cache_lock.py STORE KEY COMMAND…"""
import fcntl, os, struct, subprocess, sys, time

store, key, command, number = sys.argv[1], os.fsencode(sys.argv[2]), sys.argv[3:], 0xCBF29CE484222325
for byte in key:
    number = (number ^ byte) * 0x100000001B3 % 2**64
def lock(file, call, kind, start, count=1):
    return fcntl.fcntl(file, call, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, count, 0))
queue = 2**62 + (number >> 34 << 32)
ticket = time.clock_gettime_ns(time.CLOCK_BOOTTIME) >> 16 & 2**32 - 1  # in the first time namespace
while True:
    file = os.open(f"{store}/locks/{number & 63:02x}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    lock(file, 37, fcntl.F_WRLCK, queue + ticket)
    while True:
        try:
            if struct.unpack("h", lock(file, 36, fcntl.F_WRLCK, queue, ticket or 1)[:2])[0] == fcntl.F_UNLCK:
                lock(file, 37, fcntl.F_WRLCK, number >> 6)
                break
        except BlockingIOError:
            pass
        time.sleep(0.01)
    lock(file, 37, fcntl.F_UNLCK, queue + ticket)
    if os.fstat(file).st_nlink > 0:
        sys.exit(subprocess.run(command, close_fds=True).returncode)
    os.close(file)
