"""Certified views above the last finalization: which block may be a parent, and which certificates are missing to
decide it (R3, R5, R25).

Invariants: every question costs a few searches, however many views have passed without a final block. Nullified views
are kept as runs, so thousands of views in a row are one entry.
"""

from bisect import bisect_left, bisect_right, insort
from typing import TypeVar

T = TypeVar("T")


def forget_through(known: dict[int, T], view: int) -> None:
    """Removes the entries whose keys are views up to this one."""
    for gone in list(known):
        if gone <= view:
            del known[gone]


class Runs:
    """A set of views as disjoint runs that don't touch."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, view: int) -> bool:
        return self.run_end(view) >= view

    def add(self, view: int) -> None:
        at = bisect_right(self._firsts, view)
        if at > 0 and self._lasts[at - 1] >= view:
            return
        joins_below = at > 0 and self._lasts[at - 1] == view - 1
        joins_above = at < len(self._firsts) and self._firsts[at] == view + 1
        if joins_below and joins_above:
            self._lasts[at - 1] = self._lasts.pop(at)
            del self._firsts[at]
        elif joins_below:
            self._lasts[at - 1] = view
        elif joins_above:
            self._firsts[at] = view
        else:
            self._firsts.insert(at, view)
            self._lasts.insert(at, view)

    def run_start(self, view: int) -> int:
        """Returns the first view of the run that contains `view`; `view` + 1 if there is no such run."""
        at = bisect_right(self._firsts, view) - 1
        return self._firsts[at] if at >= 0 and self._lasts[at] >= view else view + 1

    def run_end(self, view: int) -> int:
        """Returns the last view of the run that contains `view`; `view` - 1 if there is no such run."""
        at = bisect_right(self._firsts, view) - 1
        return self._lasts[at] if at >= 0 and self._lasts[at] >= view else view - 1

    def newest_below(self, view: int) -> int | None:
        """Returns the newest view of the set below `view`; `None` if there is no such view."""
        at = bisect_left(self._firsts, view) - 1
        return min(self._lasts[at], view - 1) if at >= 0 else None

    def forget_through(self, view: int) -> None:
        """Removes the views up to this one."""
        kept = bisect_right(self._lasts, view)
        del self._firsts[:kept], self._lasts[:kept]
        if self._firsts:
            self._firsts[0] = max(self._firsts[0], view + 1)


class Notarized:
    """Notarized blocks by their views."""

    __slots__ = ("_blocks", "_views", "newest", "newest_digest")

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}
        self._views: list[int] = []
        self.newest: int | None = None
        """The newest notarized view; `None` if there is no such view."""
        self.newest_digest: bytes | None = None
        """The block that is notarized in it."""

    def __contains__(self, view: int) -> bool:
        return view in self._blocks

    def add(self, view: int, digest: bytes) -> bool:
        """Adds a notarized view. Returns `False` if the set had it already."""
        if view in self._blocks:
            return False
        self._blocks[view] = digest
        insort(self._views, view)
        self._set_newest()
        return True

    def get(self, view: int) -> bytes | None:
        return self._blocks.get(view)

    def newest_below(self, view: int) -> int | None:
        """Returns the newest notarized view below `view`; `None` if there is no such view."""
        at = bisect_left(self._views, view) - 1
        return self._views[at] if at >= 0 else None

    def forget_through(self, view: int) -> None:
        """Removes the views up to this one."""
        kept = bisect_right(self._views, view)
        for gone in self._views[:kept]:
            del self._blocks[gone]
        del self._views[:kept]
        self._set_newest()

    def _set_newest(self) -> None:
        self.newest = self._views[-1] if self._views else None
        self.newest_digest = None if self.newest is None else self._blocks[self.newest]
