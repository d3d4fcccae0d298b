"""Every call of the admin plane in the audit log, in few lines: caller, call, count and outcome.

The first call of its kind is written at once, the next ones by their count: a minute later, then two, at last once an
hour while calls continue. A call that changes something also has its own line, written before it takes effect.

Invariants: every call is counted, above all refused ones. The number of kinds is bounded; further kinds count as
`others`. A caller can't create a kind by its input: names come from our tables, or from known tokens.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from rustorium import _native
from rustorium.errors import RustoriumError

EVENT = "admin calls"
KINDS_MAX = 64
PERIOD_S_MIN = 60.0
PERIOD_S_MAX = 3_600.0
Rows = list[dict[str, object]]
Audit = Callable[[str, str], None]
Away = Callable[[Callable[[], bool]], Awaitable[bool]]

OTHERS = ("others", "any", "any")


@dataclass(slots=True)
class _Kind:
    count: int = 0
    due_s: float = 0.0
    period_s: float = PERIOD_S_MIN
    last_s: float = 0.0


class Trail:
    """Counts calls, and says what to write when."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], _Kind] = {}
        self._news = trio.Event()

    def note(self, by: str, call: str, outcome: str, now_s: float) -> None:
        """Records a call that has ended."""
        key = (by, call, outcome)
        if key not in self._kinds and len(self._kinds) >= KINDS_MAX:
            key = OTHERS
        kind = self._kinds.setdefault(key, _Kind())
        kind.count += 1
        kind.last_s = now_s
        if now_s >= kind.due_s:
            self._news.set()

    def due(self, now_s: float, *, all_of_it: bool = False) -> list[dict[str, object]]:
        """Returns the rows to write now; `told` removes them."""
        return [
            {"by": by, "call": call, "outcome": outcome, "count": kind.count}
            for (by, call, outcome), kind in self._kinds.items()
            if kind.count and (all_of_it or now_s >= kind.due_s)
        ]

    def told(self, rows: list[dict[str, object]], now_s: float) -> None:
        """Marks rows as written."""
        for row in rows:
            kind = self._kinds[str(row["by"]), str(row["call"]), str(row["outcome"])]
            kind.count -= int(str(row["count"]))
            kind.due_s = now_s + kind.period_s
            kind.period_s = min(PERIOD_S_MAX, 2 * kind.period_s)
        quiet = [key for key, kind in self._kinds.items() if not kind.count and now_s - kind.last_s >= PERIOD_S_MAX]
        for key in quiet:
            del self._kinds[key]

    def wake(self) -> None:
        """Tries again at once what could not be written."""
        self._news.set()

    async def run(self, audit: Audit, away: Away = trio.to_thread.run_sync) -> None:
        """Writes rows in another thread until cancelled, and then the rest. A full disk ends nothing: rows are tried
        again."""
        try:
            while True:
                rows, now_s = self.due(trio.current_time()), trio.current_time()
                if rows:
                    written = await away(partial(_write, audit, rows))
                    if written:
                        self.told(rows, now_s)
                with trio.move_on_after(PERIOD_S_MIN):
                    await self._news.wait()
                self._news = trio.Event()
        finally:
            rows = self.due(trio.current_time(), all_of_it=True)
            if rows and _write(audit, rows):
                self.told(rows, trio.current_time())


def _write(audit: Audit, rows: Rows) -> bool:
    try:
        audit(EVENT, json.dumps({"calls": rows}))
    except (_native.NativeError, RustoriumError):
        return False
    return True
