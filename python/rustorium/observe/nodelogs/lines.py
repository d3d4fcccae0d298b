"""A node's log file, line by line: at once or as it grows, through rotations.

Invariants: memory is bounded by the longest line; what isn't a log line is counted and skipped.
"""

import glob
import os
from contextlib import suppress
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
    """One node's log, with the files that were put aside when it was full (`FILE.1`, …), oldest first. `read` returns
    the next line; with `follow` also lines that are written later."""

    def __init__(self, name: str, path: Path, *, follow: bool = False) -> None:
        self.name, self.path = name, path
        self.garbage = 0
        """Number of lines, or parts of them, that aren't log lines."""
        self._follow = follow
        self._partial = b""
        self._skipping = False
        """`True` inside a line that is too long."""
        self._left = [found for place in self._aside() if (found := _file_at(place)) is not None]
        """Files that were put aside and are still to be read; a file may be renamed before its turn."""
        newest = _file_at(path)
        self._file = self._open()
        if self._left and newest is not None:
            self._left.append(newest)
            self._next()

    def _aside(self) -> list[Path]:
        """Returns the files that were put aside, oldest first."""
        found = {
            int(number): place
            for place in self.path.parent.glob(f"{glob.escape(self.path.name)}.*")
            if (number := place.name.removeprefix(f"{self.path.name}.")).isdecimal()
        }
        return [found[number] for number in sorted(found, reverse=True)]

    def _next(self) -> bool:
        """Goes on with the next file that was put aside, or with the log itself; returns whether there is one."""
        while self._left:
            wanted = self._left.pop(0)
            for place in (*self._aside(), self.path):
                with suppress(OSError):
                    file = open(place, "rb")  # noqa: SIM115
                    if _identity(os.fstat(file.fileno())) == wanted:
                        self._end_line()
                        self._file.close()
                        self._file = file
                        return True
                    file.close()
        return False

    def _end_line(self) -> None:
        self.garbage += bool(self._partial)
        self._partial, self._skipping = b"", False

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
                if self._next() or self._rotated():
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
        if _identity(now) == _identity(then) and now.st_size >= self._file.tell():
            return False
        self._end_line()
        self._file.close()
        self._file = self._open()
        return True


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _file_at(path: Path) -> tuple[int, int] | None:
    """Identifies a file beyond its name; `None` if there is none."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return None
