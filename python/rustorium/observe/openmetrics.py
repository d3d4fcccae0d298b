"""Many nodes' metrics as one OpenMetrics text, each sample with the label `node`: of one moment, or of a recording with
its times, as `promtool tsdb create-blocks-from openmetrics` takes it.

Invariants: samples of one metric are adjacent, and those of one series are in the order of their times.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rustorium.observe.exposition import Labels, escape, number, series
from rustorium.observe.recording import Recording
from rustorium.observe.scrape import Scrape

REPEAT_MS = 60_000
"""Interval at which an unchanged value is written again: Prometheus forgets one after five minutes."""
POINTS_MAX = 20_000_000


def of_moment(scrapes: Sequence[Scrape]) -> Iterator[str]:
    """Yields the lines of one text for all nodes that answered."""
    names: dict[str, tuple[str, str]] = {}
    for scrape in scrapes:
        for family in scrape.families.values():
            names.setdefault(family.name, (family.kind, family.help))
    for name, (kind, text) in names.items():
        yield from _head(name, kind, text)
        for scrape in scrapes:
            found = scrape.families.get(name)
            for sample in found.samples if found is not None and found.kind == kind else ():
                yield f"{series(sample.name, _named(sample.labels, scrape.node))} {number(sample.value)}\n"
    yield "# EOF\n"


@dataclass(slots=True)
class _Points:
    at_ms: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, at_ms: int, value: float) -> bool:
        """Adds a point. Returns `False` if it repeats a recent value, or is no later than the last point."""
        if self.at_ms:
            same = self.values[-1] == value and at_ms < self.at_ms[-1] + REPEAT_MS
            if same or at_ms <= self.at_ms[-1]:
                return False
        self.at_ms.append(at_ms)
        self.values.append(value)
        return True


def of_recording(recording: Recording) -> Iterator[str]:
    """Yields the lines of one text with times. Errors: RecordingError."""
    points: dict[str, dict[tuple[int, str], _Points]] = {}
    count = 0
    for look in recording:
        if look.error:
            continue
        for key, value in look.values.items():
            of_family = points.setdefault(recording.series[key].family, {})
            count += of_family.setdefault((key, look.node), _Points()).add(look.at_ms, value)
        if count > POINTS_MAX:
            raise recording.too_long(POINTS_MAX)
    for family, of_family in points.items():
        yield from _head(family, *recording.families[family])
        for (key, node), found in of_family.items():
            one = recording.series[key]
            text = series(one.name, _named(one.labels, node))
            for at_ms, value in zip(found.at_ms, found.values, strict=True):
                yield f"{text} {number(value)} {at_ms // 1000}.{at_ms % 1000:03}\n"
    yield "# EOF\n"


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    return (f"# TYPE {name} {kind}\n", f"# HELP {name} {escape(text)}\n")


def _named(labels: Labels, node: str) -> Labels:
    return tuple(sorted((*(pair for pair in labels if pair[0] != "node"), ("node", node))))
