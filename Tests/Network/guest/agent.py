#!/usr/bin/python3
"""The agent of a guest: runs what comes on port 5555.

A request is the length of a script in ten digits, the script, and its standard input up to the end. The answer is what it
writes, and at the end a zero byte and its exit code.
"""

import os
import signal
import socket
import subprocess


def receive(connection, most):
    data = b""
    while len(data) < most:
        part = connection.recv(min(65536, most - len(data)))
        if not part:
            break
        data += part
    return data


def serve(connection):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    script = receive(connection, int(receive(connection, 10))).decode()
    data = receive(connection, 1 << 30)
    # In a session of its own, with a file for input: what it starts may go on after it.
    reading = os.memfd_create("input")
    os.write(reading, data)
    os.lseek(reading, 0, os.SEEK_SET)
    child = subprocess.Popen(
        ["/bin/bash", "-c", script], stdin=reading, stdout=connection.fileno(), stderr=connection.fileno(),
        start_new_session=True)
    code = child.wait()
    try:
        connection.sendall(b"\0%d" % code)
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the one who asked has gone


def main():
    listener = socket.create_server(("", 5555), backlog=64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("READY", os.uname().release, flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            serve(connection)
            os._exit(0)
        connection.close()


main()
