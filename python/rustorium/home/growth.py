"""Growth of a home: the bytes of its files and the free bytes of its disk, noted each minute of the last hour.

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
BLOCK_BYTES = 512
"""Unit of `st_blocks`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Free bytes on the disk of a home, and the bytes that the home's files take there, at a time (Unix ms)."""

    at_ms: int
    free_bytes: int
    home_bytes: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes a day, negative if something shrinks."""

    home: int
    """Growth of the home's files."""
    disk: int
    """Shrinkage of the free space, whoever writes to the disk."""

    @property
    def fastest(self) -> int:
        """The rate at which the disk fills: space that others free now isn't counted on."""
        return max(self.home, self.disk)


def add(samples: Sequence[Sample], new: Sample) -> list[Sample]:
    """Returns the samples of the last hour with one more. Samples with a future time, after the clock was set back, are
    dropped."""
    known = [one for one in samples if 0 < new.at_ms - one.at_ms <= SPAN_MS_MAX]
    return [*known, new][-SAMPLES_MAX:]


def rates(samples: Sequence[Sample]) -> Rates | None:
    """Returns the rates over all samples; `None` if they span too short a time."""
    if len(samples) < 2 or (span_ms := samples[-1].at_ms - samples[0].at_ms) < SPAN_MS_MIN:
        return None
    first, last = samples[0], samples[-1]
    return Rates(
        home=(last.home_bytes - first.home_bytes) * DAY_MS // span_ms,
        disk=(first.free_bytes - last.free_bytes) * DAY_MS // span_ms,
    )


def days_left(samples: Sequence[Sample]) -> int | None:
    """Returns the whole days until the disk is full at the current rate; `None` if it doesn't fill or the rate is
    unknown."""
    found = rates(samples)
    return samples[-1].free_bytes // found.fastest if found is not None and found.fastest > 0 else None


def home_bytes(home: Path) -> int:
    """Returns the bytes that the files of a home take on its disk; those that vanish meanwhile count as none. Errors:
    OSError if there is no such folder."""
    device, found = home.stat().st_dev, 0
    seen: set[int] = set()
    for folder, _, names in os.walk(home):
        for name in names:
            try:
                one = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if one.st_dev == device and one.st_ino not in seen:
                seen.add(one.st_ino)
                found += one.st_blocks * BLOCK_BYTES
    return found


def read(home: Path) -> list[Sample]:
    """Returns the samples that a node noted; an empty list if there are none, or if an earlier release noted them."""
    try:
        found = json.loads((home / FILE).read_text())
        return [Sample(int(at_ms), int(free), int(own)) for at_ms, free, own in found["samples"]][-SAMPLES_MAX:]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def write(home: Path, samples: Sequence[Sample]) -> None:
    """Replaces the file. Errors: OSError."""
    file = home / FILE
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps({"samples": [[one.at_ms, one.free_bytes, one.home_bytes] for one in samples]}))
    os.replace(partial, file)
