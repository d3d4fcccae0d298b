"""A node's log file, line by line: at once or as it grows, through rotations.

Invariants: memory is bounded by the longest line; what isn't a log line is counted and skipped.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from rustorium.errors import UsageError

LINE_BYTES_MAX = 64 * 1024
LEVELS = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40}
YEAR_9999_MS = 253_402_300_799_999


@dataclass(slots=True)
class Entry:
    """A log line: its time, by its node's clock, and its content."""

    ts: int
    level: str
    event: str
    fields: dict[str, Any]
    raw: bytes

    def whole(self, key: str) -> int | None:
        """Returns a field that is a whole number; otherwise `None`."""
        value = self.fields.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def entry_of(raw: bytes) -> Entry | None:
    """Parses a log line; returns `None` if it isn't one."""
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    ts, level, event = fields.get("ts"), fields.get("level"), fields.get("event")
    if not isinstance(ts, int) or isinstance(ts, bool) or not 0 <= ts <= YEAR_9999_MS:
        return None
    if not isinstance(level, str) or level not in LEVELS or not isinstance(event, str):
        return None
    return Entry(ts, level, event, fields, raw)


class LogFile:
    """One node's log. `read` returns the next line; with `follow` also lines that are written later."""

    def __init__(self, name: str, path: Path, *, follow: bool = False) -> None:
        self.name, self.path = name, path
        self.garbage = 0
        """Number of lines, or parts of them, that aren't log lines."""
        self._follow = follow
        self._partial = b""
        self._skipping = False
        """`True` inside a line that is too long."""
        self._file = self._open()

    def _open(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise UsageError(
                f"{self.path} can't be read ({error.strerror}): name log files or homes of nodes"
            ) from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def read(self) -> Entry | None:
        """Returns the next log line; `None` if the log has no more lines (yet)."""
        while True:
            part = self._file.readline(LINE_BYTES_MAX + 1)
            if not part:
                if self._rotated():
                    continue
                return self._last() if not self._follow else None
            entry = self._take(part)
            if entry is not None:
                return entry

    def _take(self, part: bytes) -> Entry | None:
        whole = part.endswith(b"\n")
        if self._skipping:
            self._skipping = not whole
            return None
        line = self._partial + part
        self._partial = b""
        if len(line) > LINE_BYTES_MAX:
            self.garbage += 1
            self._skipping = not whole
        elif not whole:
            self._partial = line
        else:
            return self._parsed(line)
        return None

    def _last(self) -> Entry | None:
        line, self._partial = self._partial, b""
        return self._parsed(line) if line else None

    def _parsed(self, line: bytes) -> Entry | None:
        if not line.strip():
            return None
        entry = entry_of(line)
        self.garbage += entry is None
        return entry

    def _rotated(self) -> bool:
        """Checks whether another file has replaced the log, or the log was truncated; if so, starts reading from the
        beginning."""
        if not self._follow:
            return False
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        then = os.fstat(self._file.fileno())
        if (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino) and now.st_size >= self._file.tell():
            return False
        self.garbage += bool(self._partial)
        self._partial, self._skipping = b"", False
        self._file.close()
        self._file = self._open()
        return True
