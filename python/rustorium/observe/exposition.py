"""The text of a node's `/metrics` (OpenMetrics 1.0), read strictly.

Invariants: linear in the text's length; bounded in bytes, samples and labels. A sample belongs to the family above it.
No series and no family comes twice. Counters and buckets are counts. A text without its end is refused.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rustorium.errors import BadResponse

BYTES_MAX = 8 * 1024 * 1024
SAMPLES_MAX = 50_000
FAMILIES_MAX = 2_000
LINE_BYTES_MAX = 8 * 1024
LABELS_MAX = 16

Labels = tuple[tuple[str, str], ...]
"""Label pairs, sorted by name."""

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "unknown": ("",),
}
"""Suffixes of the names of a family's samples. `_created` is never sent."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,199}")
_VALUE = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?|[+-]?Inf|NaN", re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]{0,199})="((?:[^"\\]|\\["\\n])*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class ExpositionError(BadResponse):
    """The text isn't what a node of this version writes."""

    code = "bad-metrics"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: its full name, labels and value."""

    name: str
    labels: Labels
    value: float


@dataclass(slots=True)
class Family:
    """All samples of one metric."""

    name: str
    kind: str
    help: str = ""
    samples: list[Sample] = field(default_factory=list)


def parse(raw: bytes) -> dict[str, Family]:
    """Returns the families by name, in the text's order. Errors: ExpositionError, which names the line."""
    if len(raw) > BYTES_MAX:
        raise ExpositionError(f"the metrics are longer than {BYTES_MAX} bytes: this is no node of this version")
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ExpositionError("the metrics aren't UTF-8: this is no node of this version") from None
    if lines[-2:] != ["# EOF", ""]:
        raise ExpositionError("the metrics end before their `# EOF`: ask again, or look at the node's log")
    return _Parser().read(lines[:-2])


class _Parser:
    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self._series: set[tuple[str, Labels]] = set()
        self._open: Family | None = None

    def read(self, lines: Sequence[str]) -> dict[str, Family]:
        for number, line in enumerate(lines, 1):
            try:
                self._line(line)
            except ValueError as error:
                raise ExpositionError(
                    f"line {number} of the metrics is wrong ({error}): this is no node of this version"
                ) from None
        for family in self.families.values():
            if family.kind == "histogram":
                _check_histogram(family)
        return self.families

    def _line(self, line: str) -> None:
        if len(line) > LINE_BYTES_MAX:
            raise ValueError(f"longer than {LINE_BYTES_MAX} characters")
        if line.startswith("# "):
            self._describe(line)
        else:
            self._sample(line)

    def _describe(self, line: str) -> None:
        what, name, text = [*line.split(" ", 3)[1:], "", ""][:3]
        if what not in ("TYPE", "HELP", "UNIT") or not _NAME.fullmatch(name):
            raise ValueError("neither TYPE, HELP nor UNIT of a metric")
        family = self._open
        if family is None or family.name != name:
            if name in self.families:
                raise ValueError(f"{name} comes twice")
            if len(self.families) >= FAMILIES_MAX:
                raise ValueError(f"more than {FAMILIES_MAX} metrics")
            family = self._open = self.families[name] = Family(name, "unknown")
        if family.samples:
            raise ValueError(f"{name} is described after its samples")
        if what == "TYPE":
            if text not in SUFFIXES:
                raise ValueError(f"{name} has an unknown type")
            family.kind = text
        elif what == "HELP":
            family.help = _unescape(text)

    def _sample(self, line: str) -> None:
        named = _NAME.match(line)
        if named is None or self._open is None:
            raise ValueError("neither a sample nor a description")
        family, name = self._open, named[0]
        if name not in {family.name + suffix for suffix in SUFFIXES[family.kind]}:
            raise ValueError(f"{name} stands below {family.name}")
        labels, at = _labels(line, named.end())
        if line[at : at + 1] != " " or not _VALUE.fullmatch(line, at + 1):
            raise ValueError(f"{name} has no value")
        value = float(line[at + 1 :])
        if (family.kind == "counter" or name.endswith(("_bucket", "_count"))) and not 0 <= value < math.inf:
            raise ValueError(f"{name} is no count")
        if (name, labels) in self._series:
            raise ValueError(f"{name} comes twice with the same labels")
        if len(self._series) >= SAMPLES_MAX:
            raise ValueError(f"more than {SAMPLES_MAX} samples")
        self._series.add((name, labels))
        family.samples.append(Sample(name, labels, value))


def _labels(line: str, at: int) -> tuple[Labels, int]:
    if line[at : at + 1] != "{":
        return (), at
    at += 1
    found: dict[str, str] = {}
    while line[at : at + 1] != "}":
        label = _LABEL.match(line, at)
        if label is None or label[1] in found or len(found) >= LABELS_MAX:
            raise ValueError("its labels can't be read")
        found[label[1]] = _unescape(label[2])
        at = label.end()
        if line[at : at + 1] == ",":
            at += 1
        elif line[at : at + 1] != "}":
            raise ValueError("its labels can't be read")
    return tuple(sorted(found.items())), at + 1


def _unescape(text: str) -> str:
    return re.sub(r'\\["\\n]', lambda escape: _ESCAPES[escape[0]], text)


def _check_histogram(family: Family) -> None:
    counts = {sample.labels: sample.value for sample in family.samples if sample.name == f"{family.name}_count"}
    seen: set[Labels] = set()
    for labels, buckets in histograms(family):
        seen.add(labels)
        bounds, values = [bound for bound, _ in buckets], [value for _, value in buckets]
        if bounds[-1] != math.inf or sorted(set(bounds)) != bounds or sorted(values) != values:
            raise ExpositionError(f"the buckets of {family.name} don't add up: this is no node of this version")
        if counts.get(labels) != values[-1]:
            raise ExpositionError(f"{family.name} counts other than its buckets: this is no node of this version")
    if counts.keys() - seen:
        raise ExpositionError(f"{family.name} has no buckets: this is no node of this version")


def histograms(family: Family) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
    """Yields the cumulative buckets (upper bound, count) of each series of a histogram, by its labels without `le`.
    Errors: ExpositionError."""
    found: dict[Labels, list[tuple[float, float]]] = {}
    for sample in family.samples:
        if sample.name == f"{family.name}_bucket":
            bounds = [value for name, value in sample.labels if name == "le"]
            if not bounds or not _VALUE.fullmatch(bounds[0]):
                raise ExpositionError(f"a bucket of {family.name} has no bound: this is no node of this version")
            labels = tuple(pair for pair in sample.labels if pair[0] != "le")
            found.setdefault(labels, []).append((float(bounds[0]), sample.value))
    yield from found.items()


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """Returns the value below which `share` of the observations lie, as Prometheus estimates it from cumulative
    buckets. The estimate is linear within a bucket; above the highest finite bound it is that bound. `None` if nothing
    was observed."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank, below_bound, below_count = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == math.inf:
                return below_bound
            within = (rank - below_count) / (count - below_count) if count > below_count else 1.0
            return below_bound + (bound - below_bound) * within
        below_bound, below_count = bound, count
    return below_bound


def number(value: float) -> str:
    """Formats a value for OpenMetrics."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def series(name: str, labels: Labels) -> str:
    """Formats a series for OpenMetrics."""
    if not labels:
        return name
    return name + "{" + ",".join(f'{key}="{escape(value)}"' for key, value in labels) + "}"


def escape(text: str) -> str:
    """Escapes a label's value or a help text for OpenMetrics."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
