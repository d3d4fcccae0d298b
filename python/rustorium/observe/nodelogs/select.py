"""Selects lines of many nodes' logs, and formats them.

Invariants: the selection is checked before any log is opened.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from rustorium.errors import UsageError
from rustorium.observe.nodelogs.lines import LEVELS
from rustorium.observe.nodelogs.merge import MergedLine
from rustorium.observe.watching import UNITS, seconds_of
from rustorium.plain import plain

HEIGHT_MAX = 2**64 - 1
HEAD = ("ts", "level", "target", "event", "node")
"""Fields that have their own place in a line for people."""


@dataclass(frozen=True, slots=True)
class LineFilter:
    """The conditions for a line, which must all hold; `None`: any."""

    since_ms: int | None = None
    until_ms: int | None = None
    nodes: frozenset[str] | None = None
    level: int = 0
    event: str | None = None
    transaction: bytes | None = None
    heights: tuple[int, int] | None = None

    def takes(self, line: MergedLine) -> bool:
        """Checks whether a line is wanted."""
        entry = line.entry
        if LEVELS[entry.level] < self.level or (self.nodes is not None and line.node not in self.nodes):
            return False
        if (self.since_ms is not None and line.at_ms < self.since_ms) or (self.event or entry.event) != entry.event:
            return False
        if self.transaction is not None and self.transaction not in entry.raw:
            return False
        if self.heights is not None:
            height = entry.whole("height")
            if height is None or not self.heights[0] <= height <= self.heights[1]:
                return False
        return self.until_ms is None or line.at_ms <= self.until_ms


def moment(text: str, what: str, now_ms: int) -> int:
    """Parses a time: ISO 8601 (UTC if it names no zone), Unix ms, or a duration before now, such as 10m. Errors:
    UsageError."""
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    if re.fullmatch(rf"[0-9.]+(?:{'|'.join(UNITS)})", text, re.ASCII):
        return now_ms - round(seconds_of(text, what) * 1000)
    try:
        found = datetime.fromisoformat(text)
        return round((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{what} {text!r} is not a time: write 2026-11-26T12:00:00Z, Unix milliseconds, or how long ago, such "
            "as 10m"
        ) from None


def heights_of(text: str) -> tuple[int, int]:
    """Parses `A`, or `A..B` (inclusive). Errors: UsageError."""
    first, dots, last = text.partition("..")
    ends = [end for end in (first, last if dots else first) if end.isascii() and end.isdigit() and len(end) <= 20]
    if len(ends) != 2 or not int(ends[0]) <= int(ends[1]) <= HEIGHT_MAX:
        raise UsageError(f"--height {text!r} is not a height: write one, or FIRST..LAST")
    return int(ends[0]), int(ends[1])


def transaction_of(text: str) -> bytes:
    """Parses a transaction's id. Errors: UsageError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"--transaction {text!r} is not a transaction id: it has 64 hexadecimal digits")
    return text.lower().encode()


def as_json(line: MergedLine) -> str:
    """Formats a line of a merged log: the node's own fields after `at_ms`, its time by the net's median clock."""
    fields = {"at_ms": line.at_ms, **line.entry.fields, "node": line.node}
    return json.dumps(fields, ensure_ascii=False)


def as_text(line: MergedLine) -> str:
    """Formats a line for people. A node's text can't move the cursor: control characters are escaped."""
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC)
    rest = " ".join(f"{key}={_value(value)}" for key, value in line.entry.fields.items() if key not in HEAD)
    head = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z {line.node:<10} {line.entry.level:<5}"
    return plain(f"{head} {line.entry.event} {rest}".rstrip())


def _value(value: object) -> str:
    if isinstance(value, str) and value and not re.search(r'[\s="]', value):
        return value
    return json.dumps(value, ensure_ascii=False)
