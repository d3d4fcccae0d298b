"""A recording of the metrics of many nodes: a file of JSON lines that only grows (docs/operations.md has the format).

Invariants: each line is complete once those before it are read, so a recording that was cut off is valid up to its last
whole line. A line holds only what changed of its node. Everything that is read is bounded.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from rustorium.errors import RustoriumError, UsageError
from rustorium.observe.exposition import Family, Labels, Sample
from rustorium.observe.scrape import Scrape, Target

FORMAT, VERSION = "rustorium-recording", 1
LINE_BYTES_MAX = 16 * 1024 * 1024
SERIES_MAX = 200_000


class RecordingError(RustoriumError):
    """A file isn't a recording, or isn't one that this version reads."""

    code = "recording-invalid"


class _Node(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    url: str
    region: str


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    started_ms: int
    every_ms: int
    nodes: list[_Node]


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    at_ms: int
    node: str = ""
    took_ms: int = 0
    error: str = ""
    families: dict[str, tuple[str, str]] = {}
    series: dict[str, tuple[str, str, dict[str, str]]] = {}
    values: list[tuple[int, float | str]] = []
    gone: list[int] = []
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A series that a number stands for: its family, its full name and its labels."""

    family: str
    name: str
    labels: Labels


@dataclass(slots=True)
class Look:
    """The known state of one node after one of its lines."""

    node: str
    at_ms: int
    took_ms: int
    error: str
    values: Mapping[int, float]
    """Values by the number of the series. The reader changes them with the node's next line: copy what must be kept."""


class Recorder:
    """Writes a recording. Each call of `add` reaches the file before it returns."""

    def __init__(self, out: BinaryIO, targets: Sequence[Target], started_ms: int, every_ms: int) -> None:
        self._out = out
        self._families: set[str] = set()
        self._numbers: dict[tuple[str, Labels], int] = {}
        self._last: dict[str, dict[int, float]] = {}
        nodes = [_Node(target.name, target.url, target.region) for target in targets]
        self._write(_Header(FORMAT, VERSION, started_ms, every_ms, nodes))

    def add(self, scrape: Scrape) -> None:
        """Adds one node's answer, or the fact that it had none."""
        line = _Line(scrape.at_ms, scrape.node, scrape.took_ms, scrape.error)
        if scrape.ok:
            now: dict[int, float] = {}
            for family in scrape.families.values():
                for sample in family.samples:
                    now[self._number(line, family, sample)] = sample.value
            last = self._last.get(scrape.node, {})
            changed = [(key, value) for key, value in now.items() if not _same(last.get(key), value)]
            line.values = [(key, value if math.isfinite(value) else str(value)) for key, value in changed]
            line.gone = sorted(last.keys() - now.keys())
            self._last[scrape.node] = now
        self._write(line)

    def end(self, at_ms: int) -> None:
        """Writes the last line: the recording is complete."""
        self._write(_Line(at_ms, ended=True))

    def _number(self, line: _Line, family: Family, sample: Sample) -> int:
        if family.name not in self._families:
            self._families.add(family.name)
            line.families[family.name] = (family.kind, family.help)
        number = self._numbers.get((sample.name, sample.labels))
        if number is None:
            number = self._numbers[sample.name, sample.labels] = len(self._numbers)
            line.series[str(number)] = (family.name, sample.name, dict(sample.labels))
        return number

    def _write(self, line: msgspec.Struct) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()


def _same(before: float | None, now: float) -> bool:
    return before is not None and (before == now or (math.isnan(before) and math.isnan(now)))


@dataclass(slots=True)
class Recording:
    """A recording that is being read: iterate once; `families`, `series` and `ended` fill meanwhile."""

    path: Path
    started_ms: int
    every_ms: int
    nodes: list[Target]
    families: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Kind and help text by name."""
    series: dict[int, Series] = field(default_factory=dict)
    ended: bool = False
    """`True` if the recording was ended on purpose; otherwise it was cut off and is valid up to there."""

    @classmethod
    def open(cls, path: Path) -> "Recording":
        """Reads the first line. Errors: UsageError, RecordingError."""
        try:
            with open(path, "rb") as file:
                raw = file.readline(LINE_BYTES_MAX)
        except OSError as error:
            raise UsageError(f"{path} can't be read ({error.strerror}): name a recording") from None
        try:
            header = msgspec.json.decode(raw, type=_Header)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RecordingError(f"{path} is no recording of `metrics collect`: name another file") from None
        if (header.format, header.version) != (FORMAT, VERSION):
            raise RecordingError(
                f"{path} is a recording of version {header.version}, this reads {VERSION}: use the release that made it"
            )
        nodes = [Target(node.name, node.url, node.region) for node in header.nodes]
        return cls(path, header.started_ms, header.every_ms, nodes)

    def __iter__(self) -> Iterator[Look]:
        """Yields each line of a node, in the file's order. Errors: RecordingError if a whole line is invalid."""
        known = {node.name for node in self.nodes}
        values: dict[str, dict[int, float]] = {name: {} for name in known}
        decoder = msgspec.json.Decoder(_Line)
        with open(self.path, "rb") as file:
            file.readline(LINE_BYTES_MAX)
            number = 1
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                if not raw.endswith(b"\n"):
                    if len(raw) == LINE_BYTES_MAX:
                        raise self._wrong(number, "it is too long")
                    return  # cut off in the middle of a line
                try:
                    line = decoder.decode(raw)
                    self._learn(line)
                    if line.ended:
                        self.ended = True
                        return
                    if line.node not in known:
                        raise ValueError(f"{line.node!r} is no node of the recording")
                    yield self._look(line, values[line.node])
                except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
                    raise self._wrong(number, str(error)) from None

    def _learn(self, line: _Line) -> None:
        self.families.update(line.families)
        for number, (family, name, labels) in line.series.items():
            if int(number) != len(self.series) or len(self.series) >= SERIES_MAX:
                raise ValueError("its series are not numbered in order")
            if family not in self.families:
                raise ValueError(f"{name} has no family")
            self.series[int(number)] = Series(family, name, tuple(sorted(labels.items())))

    def _look(self, line: _Line, values: dict[int, float]) -> Look:
        for number in line.gone:
            values.pop(number, None)
        for number, value in line.values:
            if number not in self.series:
                raise ValueError(f"{number} is no series")
            values[number] = float(value)
        return Look(line.node, line.at_ms, line.took_ms, line.error, values)

    def too_long(self, points: int) -> RecordingError:
        """Returns the error for a recording with more points than fit into memory."""
        return RecordingError(f"{self.path} has more than {points} points: record for a shorter time, or less often")

    def _wrong(self, number: int, why: str) -> RecordingError:
        return RecordingError(f"line {number} of {self.path} is wrong ({why}): the recording is good up to there only")

    def families_at(self, look: Look) -> dict[str, Family]:
        """Returns a look in the form of the node's answer."""
        found: dict[str, Family] = {}
        for number, value in look.values.items():
            series = self.series[number]
            if series.family not in found:
                kind, text = self.families[series.family]
                found[series.family] = Family(series.family, kind, text)
            found[series.family].samples.append(Sample(series.name, series.labels, value))
        return found
