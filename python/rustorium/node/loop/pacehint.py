"""A node's memory of its network's pace across restarts: the number of doublings of all timers (R16), for an hour.

Invariants: a hint that is missing, old, from the future or malformed is ignored; a missing hint costs only time. A disk
that hangs or is full delays nothing.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import trio

from rustorium.logs import Logger

KEPT_MS = 3_600_000
LOOK_S = 10.0
AGAIN_MS = 600_000
"""Interval at which an unchanged hint is written again, so that it never gets old while the node runs."""
BACKOFF_MAX = 64
BYTES_MAX = 256


def read(path: Path, now_ms: int) -> int | None:
    """Returns the hint of the last hour; `None` if there is no such hint."""
    try:
        with open(path, "rb") as file:
            text = file.read(BYTES_MAX + 1)
        said = json.loads(text) if len(text) <= BYTES_MAX else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.keys() != {"backoff", "at_ms"}:
        return None
    backoff, at_ms = said["backoff"], said["at_ms"]
    if type(backoff) is not int or type(at_ms) is not int:
        return None
    return backoff if 0 <= backoff <= BACKOFF_MAX and 0 <= now_ms - at_ms <= KEPT_MS else None


def write(path: Path, backoff: int, now_ms: int) -> None:
    """Replaces an older hint; a crash leaves one of the two. Errors: OSError."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"backoff": backoff, "at_ms": now_ms}))
    os.replace(new, path)


async def keep(path: Path, backoff: Callable[[], int | None], wall_ms: Callable[[], int], log: Logger) -> None:
    """Writes the hint whenever it has changed, until cancelled; reports a disk that refuses once."""
    written: tuple[int, int] | None = None
    told = False
    while True:
        await trio.sleep(LOOK_S)
        now, known = wall_ms(), backoff()
        if known is None or (written is not None and written[0] == known and now - written[1] < AGAIN_MS):
            continue
        try:
            await trio.to_thread.run_sync(write, path, known, now, abandon_on_cancel=True)
            written = (known, now)
        except OSError as error:
            if not told:
                log.warning("pace hint not kept", reason=error.strerror or str(error))
            told = True
