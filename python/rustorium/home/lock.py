"""Gives a home to one process at a time: the node that runs, or the command that changes its files.

Invariants: SYNC; a node and a command take the same locks, and both take the home's before any other.
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
"""A file, and the call that locks it as its other users do."""


@contextmanager
def running(home: Home) -> Iterator[None]:
    """Held by the node for as long as it runs, so that a second one ends before it replaces the admin socket of the
    first. Errors: HomeError where another process has the home."""
    with _held(home, (_home_lock(home),)):
        yield


@contextmanager
def stopped(home: Home) -> Iterator[None]:
    """Keeps the home's node from starting meanwhile. Errors: HomeError where it runs, or a newer release wrote the
    home."""
    refuse_newer(home.path)
    # The locks of store and journal besides the home's: a node of an earlier release takes those alone.
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
