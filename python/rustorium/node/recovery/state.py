"""The acts and the state of a supervisor, on disk for other processes; and the lock for one supervisor a home.

Invariants: SYNC; the file is replaced by renaming, so it is the old one or the new one. A full disk loses the newest
entry, never the supervisor.
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
from rustorium.health.plan import PastAct, Step
from rustorium.home.paths import Home
from rustorium.node.loop.watch import wall_ms

HISTORY_MAX = 64


class RecoveryState:
    """`run/recovery.json`: the present state and past acts, for `status check` and the next supervisor."""

    def __init__(self, home: Home) -> None:
        self._path = home.recovery
        before = read_recovery(home)
        self.acts: list[dict[str, Any]] = before.get("acts", [])
        self.state: dict[str, Any] = {}

    def history(self) -> list[PastAct]:
        """Returns the acts of earlier supervisors, without acts that this release doesn't know. Future times are cut to
        now: a clock that was set back, or damage, is no reason to wait for years."""
        now_ms = wall_ms()
        known = [one for act in self.acts if (one := _done(act)) is not None]
        return [replace(one, at_ms=min(one.at_ms, now_ms)) for one in known]

    def did(self, step: Step, now_ms: int) -> None:
        """Records a step that is about to be carried out."""
        entry = {"at_ms": now_ms, "act": step.act.value, "why": step.why, "undo": step.undo}
        self.acts = [*self.acts, entry | asdict(step.trouble)][-HISTORY_MAX:]

    def tell(self, state: str, **fields: object) -> None:
        """Records the present state."""
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
    """Holds the lock for as long as a supervisor runs. Errors: HomeError if another supervisor runs."""
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
    """Returns the content of `run/recovery.json`; empty if the file is missing, or can't be read to the last act."""
    try:
        found = json.loads(home.recovery.read_bytes())
        if isinstance(found["state"], str):
            _ = [_done(act) for act in found["acts"]]
            return dict(found)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return {}


def _done(act: dict[str, Any]) -> PastAct | None:
    """Returns an act of the file; `None` if this release doesn't know it. Errors: TypeError, KeyError."""
    at_ms, name, code = operator.index(act["at_ms"]), act["act"], str(act["code"])
    return PastAct(at_ms, Act(name), code) if name in set(Act) else None


def order_prune(home: Home) -> None:
    """Orders the next start, and only that one, to keep `recovery.keep_when_low` heights. Errors: HomeError."""
    try:
        home.prune.touch(mode=0o600)
    except OSError as error:
        raise HomeError(f"{home.prune} can't be made ({error.strerror}): free a little space and try again") from None


def supervisor_state(home: Home) -> dict[str, Any] | None:
    """Returns the state of a supervisor that runs, or that ended with a question and whose node has not ended by itself
    since; `None` if there is no such state."""
    state = read_recovery(home)
    if not state or state.get("state") == "stopped":
        return None
    if _held(home):
        return state
    return state if state["state"] == "asks" and _ended_ms(home) <= _at_ms(state) else None


def last_end(home: Home) -> tuple[str, str] | None:
    """Returns code and message of the node's last end, if that was a failure and the node hasn't started since."""
    try:
        ended = json.loads(home.ended.read_bytes())
        return str(ended["code"]), str(ended["evidence"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _ended_ms(home: Home) -> int:
    """Returns when the node last failed (Unix ms); 0 if it didn't, or has started since."""
    try:
        return _at_ms(json.loads(home.ended.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return 0


def _at_ms(said: object) -> int:
    at_ms = said.get("at_ms") if isinstance(said, dict) else None
    return at_ms if isinstance(at_ms, int) else 0


def _held(home: Home) -> bool:
    try:
        with one_supervisor(home):
            return False
    except HomeError:
        return True


def say(text: str) -> None:
    """Prints a line for the person who watches the supervisor."""
    sys.stderr.write(f"recover: {text}\n")
    sys.stderr.flush()
