"""The only file that knows file descriptors: those that callers hand over, and sockets whose paths are too long."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from rustorium.config import split_address
from rustorium.errors import NodeError

UNIX_PATH_BYTES_MAX = 107


async def wait_for_end(descriptor: int) -> None:
    """Waits until the other end of a pipe is closed: the process that requested this is gone."""
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        if not os.read(descriptor, 4096):
            return


def tell(descriptor: int, text: str) -> None:
    """Writes a line to a descriptor that a caller handed over, and closes it. A caller that is gone is ignored."""
    try:
        os.write(descriptor, text.encode() + b"\n")
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yields a name for `path` that fits into a socket address: the path itself, or one through its folder's
    descriptor."""
    if len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_unix(path: Path) -> socket.socket:
    """Returns a listening socket of mode 0600; replaces a file left by a process that is gone."""
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


def owner_of(connection: trio.socket.SocketType) -> tuple[int, int]:
    """Returns process and user at the other end of a Unix socket, as the kernel recorded them at connect."""
    pid, uid, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return pid, uid


def listen_tcp(address: str) -> socket.socket:
    """Returns a listening socket. Errors: NodeError (port-in-use, system)."""
    host, port = split_address(address)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=16)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NodeError(
                f"{address} is in use: stop the other process or set another port in config.toml", code="port-in-use"
            ) from None
        raise NodeError(f"can't listen on {address}: {error.strerror}", code="system") from None


def connect_unix(path: Path, timeout_s: float) -> socket.socket:
    """Returns a connected socket. Errors: OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        raise
    return connection
