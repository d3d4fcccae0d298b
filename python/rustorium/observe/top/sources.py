"""The sources of looks for `top`: live nodes, or a recording."""

from collections.abc import Iterator
from typing import Protocol

from rustorium.observe.recording import Recording
from rustorium.observe.scrape import Scrape, Scraper


class Source(Protocol):
    """A source of looks."""

    def look(self) -> list[Scrape] | None:
        """Returns one look at all nodes, in the same order each time; `None` at the end."""
        ...


class Live:
    """Live nodes."""

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper

    def look(self) -> list[Scrape] | None:
        return self._scraper.scrape()


class Replay:
    """A recording from its beginning. Errors of `look`: RecordingError."""

    def __init__(self, recording: Recording) -> None:
        self._looks = self._rounds(recording)

    def look(self) -> list[Scrape] | None:
        return next(self._looks, None)

    def _rounds(self, recording: Recording) -> Iterator[list[Scrape]]:
        """Groups lines into looks: each ends before a node comes again."""
        found: dict[str, Scrape] = {}
        for look in recording:
            if look.node in found:
                yield list(found.values())
                found = {}
            families = recording.families_at(look) if not look.error else {}
            found[look.node] = Scrape(look.node, look.at_ms, look.took_ms, families, look.error)
        if found:
            yield list(found.values())
