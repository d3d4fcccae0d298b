"""Keeps a home's node from starting while its files are changed.

Invariants: SYNC; the locks are those that a node takes, so that neither meets the other.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rustorium.errors import HomeError
from rustorium.home import Home
from rustorium.homeformat import refuse_newer


@contextmanager
def stopped(home: Home) -> Iterator[None]:
    """Keeps the home's node from starting meanwhile. Errors: HomeError where it runs, or a newer release wrote the
    home."""
    refuse_newer(home.path)
    held: list[int] = []
    try:
        _hold(home, held)
        yield
    finally:
        for handle in held:
            os.close(handle)


def _hold(home: Home, held: list[int]) -> None:
    # The store's lock is the first that a node takes; a home that lost its store still has the journal's.
    places = ((home.db / "LOCK", fcntl.lockf), (home.safety / "lock", fcntl.flock))
    for path, lock in places:
        if not path.parent.is_dir():
            continue
        try:
            held.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            lock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeError(f"the node of {home.path} runs: stop it, then run this again", code="home-locked") from None
        except OSError as error:
            raise HomeError(f"{path} can't be locked ({error.strerror}): check its owner and mode") from None
