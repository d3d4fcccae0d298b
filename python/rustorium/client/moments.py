"""Says times in words.

Invariants: PURE in effect: no clock is read.
"""

from datetime import UTC, datetime

YEAR_10000_MS = 253_402_300_800_000


def moment(time_ms: int) -> str:
    """Returns a time (Unix ms) as a date in UTC, or as a number after the year 9999."""
    if time_ms >= YEAR_10000_MS:
        return f"{time_ms} ms after 1970"
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
