#!/usr/bin/env python3
"""Runs a command under a named lock of a store: flock_cache_lock.py STORE KEY COMMAND…"""
import fcntl, os, struct, subprocess, sys, time

store, key, command = sys.argv[1], os.fsencode(sys.argv[2]), sys.argv[3:]
number = 0xCBF29CE484222325
for byte in key:
    number = (number ^ byte) * 0x100000001B3 % 2**64
while True:
    file = os.open(f"{store}/locks/{number & 63:02x}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for start, kind in (2**60 + (number >> 6), fcntl.F_WRLCK), (number >> 6, fcntl.F_WRLCK):
        while True:
            try:
                fcntl.fcntl(file, 37, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, 1, 0))
                break
            except BlockingIOError:
                time.sleep(0.01)
    fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, start + 2**60, 1, 0))
    if os.fstat(file).st_nlink > 0:
        sys.exit(subprocess.run(command, close_fds=True).returncode)
    os.close(file)
