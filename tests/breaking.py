"""What a broken rule is, and how it is found.

Invariants: a rule is broken for as long as a context lasts, or for a whole run; seeds that find it are among the first
of their mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from model.run import Report, run_many
from model.scenario import Mode

SEEDS_MAX = 250


@dataclass(frozen=True)
class Seeds:
    """Seeds of the simulator, of which one of the first `SEEDS_MAX` must fail."""

    mode: Mode
    first: int = 0

    def caught(self) -> Report | None:
        """Returns the report of the first seed that fails."""
        return next((report for report in run_many(self.first, SEEDS_MAX, self.mode) if not report.ok), None)


@dataclass(frozen=True)
class Broken:
    """A broken rule, and how it is found."""

    changes: tuple[tuple[Any, str, Any], ...]
    """Owner, attribute, replacement."""
    shown_by: Seeds | str
    """Seeds, or tests that fail."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Breaks the rule for as long as the context lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, attribute, now in self.changes:
                patch.setattr(owner, attribute, now)
            yield
