"""Stores that were moved aside: moving one there, putting it back, and removing it for good.

Invariants: SYNC; only stores (`db/`, `shards/ID/db/`), `quarantine/` and `log/inputs` are ever touched, never a safety
journal or a key. A move is one rename on the home's disk, durable when the function returns. The home's node is stopped
while a store moves.
"""

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rustorium.access.private import make_folder
from rustorium.errors import HomeError, HomeMissing
from rustorium.health.catalogue import KEPT
from rustorium.home.format import sync_paths
from rustorium.home.lock import stopped
from rustorium.home.paths import Home

WHY = "why.json"
UNKNOWN = "unknown"
_OF_SHARD = re.compile(r"-shard-([0-9]{1,10})$")


@dataclass(frozen=True, slots=True)
class QuarantinedStore:
    """A store that was moved aside."""

    path: Path
    code: str
    evidence: str
    at_ms: int

    @property
    def shard(self) -> int:
        """The shard whose store it is, by the folder's name: `why.json` may be damaged."""
        found = _OF_SHARD.search(self.path.name)
        return 0 if found is None else int(found[1])

    @property
    def kept(self) -> bool:
        """`True` if only a person removes it."""
        return self.code in KEPT or self.code == UNKNOWN


def quarantined(home: Home) -> list[QuarantinedStore]:
    """Returns all quarantined stores of the home, oldest first."""
    found = []
    for path in sorted(home.quarantine.glob("*")):
        if not (path / "db").is_dir():
            continue  # an unfinished move
        try:
            why = json.loads((path / WHY).read_text())
            found.append(QuarantinedStore(path, str(why["code"]), str(why["evidence"]), int(why["at_ms"])))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            found.append(QuarantinedStore(path, UNKNOWN, "its why.json can't be read", 0))
    return found


def move_aside(home: Home, code: str, evidence: str, shard: int = 0) -> Path | None:
    """Moves a shard's store aside; returns its new place, or `None` if there is no store. Errors: HomeError, also if
    the node runs."""
    with stopped(home):
        return _move_aside(home, code, evidence, shard)


def _move_aside(home: Home, code: str, evidence: str, shard: int) -> Path | None:
    store = home.db_of(shard)
    if not store.is_dir():
        return None
    at_ms = time.time_ns() // 1_000_000
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at_ms // 1000))
    target = home.quarantine / f"{stamp}-{at_ms % 1000:03}-{code}{f'-shard-{shard}' if shard else ''}"
    make_folder(target)
    try:
        with open(target / WHY, "w", encoding="utf-8") as file:
            json.dump({"code": code, "evidence": evidence, "at_ms": at_ms}, file)
            file.flush()
            os.fsync(file.fileno())
        sync_paths(target, home.quarantine, home.path)
        store.rename(target / "db")
        sync_paths(target, store.parent)
    except OSError as error:
        raise HomeError(f"{store} can't be moved to {target} ({error.strerror}): fix that, then try again") from None
    return target


def restore_store(home: Home, name: str | None = None) -> tuple[QuarantinedStore, Path | None]:
    """Puts a store back (the newest if none is named), and moves the present one aside. Returns the store, and the new
    place of the other. The node fetches what the store lacks of the chain, as after a restart; the journal stays as it
    is. Errors: HomeError, HomeMissing."""
    found = [one for one in quarantined(home) if name in (None, one.path.name)]
    if not found:
        raise HomeMissing(f"{home.quarantine} holds no store{f' {name}' if name else ''}: there is nothing to undo")
    chosen = found[-1]
    with stopped(home):
        store = home.db_of(chosen.shard)
        aside = _move_aside(home, "undone", f"{chosen.path.name} was put back", chosen.shard)
        try:
            (chosen.path / "db").rename(store)
            (chosen.path / WHY).unlink(missing_ok=True)
            chosen.path.rmdir()
            sync_paths(home.quarantine, store.parent)
        except OSError as error:
            raise HomeError(f"{chosen.path} can't be put back ({error.strerror}): move its db to {store}") from None
    return chosen, aside


def remove(home: Home, *, evidence_too: bool = False) -> list[Path]:
    """Removes stores for good, evidence only on request. Returns what was removed."""
    gone = [one.path for one in quarantined(home) if evidence_too or not one.kept]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone


def removable_files(home: Home, *, running: bool = False) -> list[Path]:
    """Returns the files that the node doesn't need: stores that are no evidence, and logs of core inputs, except the
    one that a running node writes."""
    logs = sorted(home.input_log.glob("*.inputs"))
    return [one.path for one in quarantined(home) if not one.kept] + (logs[:-1] if running else logs)


def free_space(home: Home, *, running: bool = False) -> list[Path]:
    """Removes the files that the node doesn't need. Returns what was removed."""
    logs = [path for path in removable_files(home, running=running) if path.parent == home.input_log]
    gone = remove(home)
    for path in logs:
        with suppress(OSError):
            path.unlink()
            gone.append(path)
    return gone
