"""The only file that knows file descriptors: waiting on the port's, and sockets whose paths are too long.

Invariants: one wake per eventfd signal; the descriptor belongs to the port, which also resets it while it is drained.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

UNIX_PATH_BYTES_MAX = 107


async def wait_for_inputs(descriptor: int, seconds: float) -> None:
    """Until the port has inputs or the time is over."""
    with trio.move_on_after(seconds):
        await trio.lowlevel.wait_readable(descriptor)


async def wait_for_end(descriptor: int) -> None:
    """Until the other end of a pipe is closed: the process that asked for that is gone."""
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        if not os.read(descriptor, 4096):
            return


def tell(descriptor: int, text: str) -> None:
    """Writes a line to a descriptor that a caller handed over, and closes it; a caller that is gone doesn't matter."""
    try:
        os.write(descriptor, text.encode() + b"\n")
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits into a socket address: itself, or by way of its folder's descriptor."""
    if len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_unix(path: Path) -> socket.socket:
    """A listening socket of mode 0600; a file left by a process that is gone is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with short_path(path) as name:
            listener.bind(name)
        listener.listen(16)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def connect_unix(path: Path, timeout_s: float) -> socket.socket:
    """A connected socket. Errors: OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        raise
    return connection
