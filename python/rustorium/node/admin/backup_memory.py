"""The newest backup that a home made at each destination, to detect a destination that was put back to an older state.

Invariants: SYNC; the memory is in the home, where writers of a destination can't write. It names only complete backups.
It isn't part of backups.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rustorium.errors import HomeError, VerificationFailed
from rustorium.home.format import replace_file

FILE_BYTES_MAX = 64 * 1024
DESTINATIONS_MAX = 64
"""Maximum number of destinations; the oldest are forgotten."""
CODE = "backups-rolled-back"


@dataclass(frozen=True, slots=True)
class Newest:
    """A backup, and the newest height that it can be restored to."""

    id: str
    height: int


def load(path: Path) -> dict[str, Newest]:
    """Returns the newest backup by destination, the last used destination at the end. Errors: HomeError."""
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HomeError(f"{path} can't be read ({error.strerror}): fix that, then run this again") from None
    try:
        if len(content) > FILE_BYTES_MAX:
            raise ValueError
        return {str(place): Newest(str(one["id"]), int(one["height"])) for place, one in json.loads(content).items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise HomeError(
            f"{path}, which says how new the backups of this home are, is damaged: compare `backup list` with "
            "`audit show --event backup`, then remove the file"
        ) from None


def remember(path: Path, destination: str, made: Mapping[str, Any]) -> None:
    """Notes a backup that was made. Errors: HomeError."""
    known = load(path)
    known.pop(destination, None)
    known[destination] = Newest(str(made["id"]), int(made["height"]))
    kept = list(known.items())[-DESTINATIONS_MAX:]
    replace_file(path, (json.dumps({place: asdict(newest) for place, newest in kept}, indent=1) + "\n").encode())


def missed(rows: Iterable[Mapping[str, Any]], newest: Newest | None) -> bool:
    """Checks whether a destination has neither this backup nor one as new. Another home may have removed it after
    making a newer one."""
    if newest is None:
        return False
    return not any(row["id"] == newest.id or row["height"] >= newest.height for row in rows)


def rolled_back(destination: str, newest: Newest) -> VerificationFailed:
    """Returns the error for a destination that lacks what this home made there."""
    return VerificationFailed(
        f"{destination} has no backup that reaches height {newest.height}, as the backup {newest.id} of this home did: "
        "somebody put it back to an older state, or removed backups; find out who may write there, and make "
        "another one with `backup create`",
        code=CODE,
    )


def too_old(destination: str, at_least: int) -> VerificationFailed:
    """Returns the error for a destination whose backups all end below a height that the operator knows of."""
    return VerificationFailed(
        f"{destination} has no good backup that reaches height {at_least}: somebody put it back to an older state, or "
        "the height is of another chain; find out who may write there before you rely on it",
        code=CODE,
    )


def check(
    destination: str, rows: Iterable[Mapping[str, Any]], newest: Newest | None, at_least: int | None = None
) -> None:
    """Refuses a destination that is older than the home, or the operator, knows. Errors: VerificationFailed."""
    listed = list(rows)
    if at_least is not None and not any(row["state"] == "good" and row["height"] >= at_least for row in listed):
        raise too_old(destination, at_least)
    if newest is not None and missed(listed, newest):
        raise rolled_back(destination, newest)
