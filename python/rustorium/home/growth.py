"""Growth of a home: the free bytes of its disk, noted each minute of the last hour.

Invariants: SYNC; the file is replaced atomically, and an unreadable one counts as empty; no rate is given for less than
ten minutes.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path("run") / "disk.json"
SAMPLES_MAX = 61
SPAN_MS_MAX = 3_600_000
SPAN_MS_MIN = 600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Free bytes on the disk of a home at a time (Unix ms)."""

    at_ms: int
    free_bytes: int


def add(samples: Sequence[Sample], new: Sample) -> list[Sample]:
    """Returns the samples of the last hour with one more. Samples with a future time, after the clock was set back, are
    dropped."""
    known = [one for one in samples if 0 < new.at_ms - one.at_ms <= SPAN_MS_MAX]
    return [*known, new][-SAMPLES_MAX:]


def bytes_a_day(samples: Sequence[Sample]) -> int | None:
    """Returns the bytes by which the free space shrinks in a day; `None` if the samples span too short a time."""
    if len(samples) < 2 or (span_ms := samples[-1].at_ms - samples[0].at_ms) < SPAN_MS_MIN:
        return None
    return (samples[0].free_bytes - samples[-1].free_bytes) * DAY_MS // span_ms


def days_left(samples: Sequence[Sample]) -> int | None:
    """Returns the whole days until the disk is full at the current rate; `None` if it doesn't fill or the rate is
    unknown."""
    rate = bytes_a_day(samples)
    return samples[-1].free_bytes // rate if rate is not None and rate > 0 else None


def read(home: Path) -> list[Sample]:
    """Returns the samples that a node noted; an empty list if there are none."""
    try:
        found = json.loads((home / FILE).read_text())
        return [Sample(int(at_ms), int(free)) for at_ms, free in found["free_bytes"]][-SAMPLES_MAX:]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def write(home: Path, samples: Sequence[Sample]) -> None:
    """Replaces the file. Errors: OSError."""
    file = home / FILE
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps({"free_bytes": [[one.at_ms, one.free_bytes] for one in samples]}))
    os.replace(partial, file)
