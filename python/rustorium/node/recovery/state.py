"""What a supervisor did and is at, on disk for whoever asks; and that there is one supervisor a home.

Invariants: SYNC; the file is replaced by renaming, so it is the old one or the new one; a full disk loses the newest
word, never the supervisor.
"""

import fcntl
import json
import operator
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from rustorium.access.private import make_folder
from rustorium.errors import HomeError
from rustorium.health.catalogue import Act
from rustorium.health.plan import Done, Step
from rustorium.home.paths import Home
from rustorium.node.loop.watch import wall_ms

HISTORY_MAX = 64


class RecoveryState:
    """`run/recovery.json`: what is going on and what was done, for `status check` and the next supervisor."""

    def __init__(self, home: Home) -> None:
        self._path = home.recovery
        before = read_recovery(home)
        self.acts: list[dict[str, Any]] = before.get("acts", [])
        self.state: dict[str, Any] = {}

    def history(self) -> list[Done]:
        """What earlier supervisors did; what a newer release knows to do is nothing to this one. A clock that was set
        back, or damage, is no reason to wait for years."""
        now_ms = wall_ms()
        known = [one for act in self.acts if (one := _done(act)) is not None]
        return [replace(one, at_ms=min(one.at_ms, now_ms)) for one in known]

    def did(self, step: Step, now_ms: int) -> None:
        """A step is about to be carried out."""
        entry = {"at_ms": now_ms, "act": step.act.value, "why": step.why, "undo": step.undo}
        self.acts = [*self.acts, entry | asdict(step.trouble)][-HISTORY_MAX:]

    def tell(self, state: str, **fields: object) -> None:
        """What is going on now."""
        self.state = {"state": state, "pid": os.getpid(), "at_ms": wall_ms(), **fields}
        unfinished = self._path.with_suffix(".new")
        try:
            make_folder(self._path.parent)
            unfinished.write_text(json.dumps({**self.state, "acts": self.acts}, indent=1))
            unfinished.rename(self._path)
        except (OSError, HomeError) as error:
            say(f"{self._path} can't be written ({error}): what is done is only said here")


@contextmanager
def one_supervisor(home: Home) -> Iterator[None]:
    """Held for as long as a supervisor runs. Errors: HomeError where another does."""
    make_folder(home.recovery.parent)
    with open(home.recovery.with_suffix(".lock"), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HomeError(
                f"`recover auto` runs on {home.path} already: stop that one first", code="home-locked"
            ) from None
        yield


def read_recovery(home: Home) -> dict[str, Any]:
    """What `run/recovery.json` holds; empty where there is none that can be read to the last act."""
    try:
        found = json.loads(home.recovery.read_bytes())
        if isinstance(found["state"], str):
            _ = [_done(act) for act in found["acts"]]
            return dict(found)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return {}


def _done(act: dict[str, Any]) -> Done | None:
    """An act of the file; None where this release doesn't know it. Errors: TypeError, KeyError."""
    at_ms, name, code = operator.index(act["at_ms"]), act["act"], str(act["code"])
    return Done(at_ms, Act(name), code) if name in set(Act) else None


def order_prune(home: Home) -> None:
    """Has the next start keep `recovery.keep_when_low` heights, and only that start. Errors: HomeError."""
    try:
        home.prune.touch(mode=0o600)
    except OSError as error:
        raise HomeError(f"{home.prune} can't be made ({error.strerror}): free a little space and try again") from None


def at_work(home: Home) -> dict[str, Any] | None:
    """What a supervisor is at, or ended with; None where there is none, and the last one ended as it was told to."""
    state = read_recovery(home)
    if not state or state.get("state") == "stopped":
        return None
    return state if state["state"] == "asks" or _held(home) else None


def last_end(home: Home) -> tuple[str, str] | None:
    """The code and the words that the node ended with, where that was a failure and it hasn't started since."""
    try:
        ended = json.loads(home.ended.read_bytes())
        return str(ended["code"]), str(ended["evidence"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _held(home: Home) -> bool:
    try:
        with one_supervisor(home):
            return False
    except HomeError:
        return True


def say(text: str) -> None:
    """A line for whoever watches the supervisor."""
    sys.stderr.write(f"recover: {text}\n")
    sys.stderr.flush()
