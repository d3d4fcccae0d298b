"""Locks a home for one process at a time: the running node, or the command that changes its files.

Invariants: SYNC; nodes and commands take the same locks, and both take the home's lock first.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rustorium.access.private import make_folder
from rustorium.errors import HomeError
from rustorium.home.format import refuse_newer
from rustorium.home.paths import Home

Lock = tuple[Path, Callable[[int, int], None]]
"""A file, and the system call with which all its users lock it."""


@contextmanager
def running(home: Home) -> Iterator[None]:
    """Locks a home for its running node, so that a second node ends before it replaces the first one's admin socket.
    Errors: HomeError if another process has the home."""
    with _held(home, (_home_lock(home),)):
        yield


@contextmanager
def stopped(home: Home) -> Iterator[None]:
    """Locks a home so that its node can't start. Errors: HomeError if the node runs, or if a newer release wrote the
    home."""
    refuse_newer(home.path)
    # A node of an earlier release takes only the locks of store and journal, so these are taken, too.
    places = (_home_lock(home), (home.db / "LOCK", fcntl.lockf), (home.safety / "lock", fcntl.flock))
    with _held(home, places):
        yield


def _home_lock(home: Home) -> Lock:
    make_folder(home.lock.parent)
    return home.lock, fcntl.flock


@contextmanager
def _held(home: Home, places: Sequence[Lock]) -> Iterator[None]:
    with ExitStack() as held:
        for path, lock in places:
            if not path.parent.is_dir():
                continue
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                held.callback(os.close, handle)
                lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeError(
                    f"the node of {home.path} runs: stop it, then run this again", code="home-locked"
                ) from None
            except OSError as error:
                raise HomeError(f"{path} can't be locked ({error.strerror}): check its owner and mode") from None
        yield
