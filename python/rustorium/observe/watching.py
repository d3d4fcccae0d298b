"""Records nodes for a while: a look each period, into a file that is valid up to its last line whenever it ends.

Invariants: a node that goes away is noted, in the recording too, and asked again with the next look. If no node answers
for a while, the recording ends with the reason.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from rustorium.errors import NotReady, UsageError
from rustorium.observe.recording import Recorder
from rustorium.observe.scrape import Scrape, Target

SILENT_LOOKS_MAX = 10
"""Number of looks without any answer after which the recording ends."""
LOOK_S_MIN = 0.1
"""Minimum time between looks: more frequent ones would measure themselves."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Scrapes(Protocol):
    """A source of scrapes: the scraper, or a test's."""

    targets: list[Target]

    def scrape(self) -> list[Scrape]: ...


@dataclass(slots=True)
class RecordingResult:
    """Result of a recording."""

    looks: int = 0
    first: dict[str, Scrape] = field(default_factory=dict)
    last: dict[str, Scrape] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """Number of looks that a node did not answer."""
    away: set[str] = field(default_factory=set)
    """Nodes that don't answer at the end."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, so that tests can replace it."""

    now: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    wait: Callable[[float], object] = threading.Event().wait


def seconds_of(text: str, what: str, days_max: int = 30) -> float:
    """Parses a duration such as 90s, 5m or 250ms. Errors: UsageError."""
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(digits) :]
    plain = len(digits) <= 12 and digits.isascii() and digits.replace(".", "", 1).isdigit()
    if not plain or unit not in UNITS:
        raise UsageError(f"{what} {text!r} is not a duration: write a number and ms, s, m, h or d, such as 90s or 5m")
    seconds = float(digits) * UNITS[unit]
    if not 0 < seconds <= days_max * 24 * 3600.0:
        raise UsageError(f"{what} {text!r} is out of bounds: up to {days_max} days, and above zero")
    return seconds


def watch(
    scraper: Scrapes,
    out: BinaryIO,
    *,
    for_s: float,
    every_s: float,
    advance: Callable[[int, int], None],
    tell: Callable[[str], None],
    clock: Clock | None = None,
) -> RecordingResult:
    """Records for `for_s`, one look each `every_s`. Errors: NotReady if no node answers at first, or later for
    `SILENT_LOOKS_MAX` looks; OSError of `out`."""
    clock = clock or Clock()
    seen, looks, silent = RecordingResult(), max(1, round(for_s / every_s)), 0
    start, started_ms = clock.now(), clock.wall_ms()
    scrapes = scraper.scrape()
    if not any(scrape.ok for scrape in scrapes):
        raise NotReady(_nobody(scrapes))
    recorder = Recorder(out, scraper.targets, started_ms, round(every_s * 1000))
    try:
        while True:
            _note(seen, scrapes, tell)
            for scrape in scrapes:
                recorder.add(scrape)
            silent = 0 if any(scrape.ok for scrape in scrapes) else silent + 1
            if silent == SILENT_LOOKS_MAX:
                raise NotReady(_nobody(scrapes))
            seen.looks += 1
            advance(seen.looks, looks)
            if seen.looks == looks:
                return seen
            late = start + seen.looks * every_s - clock.now()
            if late > 0:
                clock.wait(late)
            scrapes = scraper.scrape()
    finally:
        recorder.end(clock.wall_ms())


def _note(seen: RecordingResult, scrapes: Sequence[Scrape], tell: Callable[[str], None]) -> None:
    for scrape in scrapes:
        if scrape.ok:
            seen.first.setdefault(scrape.node, scrape)
            seen.last[scrape.node] = scrape
            if scrape.node in seen.away:
                seen.away.remove(scrape.node)
                tell(f"{scrape.node} is back")
        else:
            seen.errors[scrape.node] = seen.errors.get(scrape.node, 0) + 1
            if scrape.node not in seen.away:
                seen.away.add(scrape.node)
                tell(f"{scrape.node} {scrape.error}; it is asked again")


def _nobody(scrapes: Sequence[Scrape]) -> str:
    first = scrapes[0]
    return f"no node answers: {first.node} {first.error}; start them, or name their metrics with --node"
