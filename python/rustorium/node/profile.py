"""Profiles the core's steps: counts and times every call in them, on request.

The interpreter reports each call and return in a step (`sys.setprofile`, of the core's thread alone). The time between
two reports belongs to the function that ran; the time of the report itself is not counted.

Invariants: off, the profiler costs one comparison a step; on, it ends by itself. Its data is bounded. Steps give the
same results. `start` and `take` may be called while another thread runs a step: each reads or replaces whole objects,
and of that step the profile has the part until then.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from rustorium.errors import NodeError

P = ParamSpec("P")
T = TypeVar("T")

SECONDS_MAX = 600.0
PATHS_MAX = 4_000
"""Maximum number of paths; further calls count for their callers."""
NAME_MAX = 120


@dataclass(slots=True)
class Call:
    """A function as it was called along one path."""

    name: str
    own_ns: int = 0
    calls: int = 0
    below: dict[object, "Call"] = field(default_factory=dict)


class Profiler:
    """Profiles the steps of one core. Call `start`, then `take`."""

    def __init__(self, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now_ns = now_ns
        self._root = Call("")
        self._stack: list[Call] = []
        self._paths = self._steps = self._since_ns = self._until_ns = self._mark_ns = 0

    def start(self, seconds: float) -> None:
        """Profiles for `seconds` from now on. Errors: NodeError if a profile is already being made."""
        if not 0 < seconds <= SECONDS_MAX:
            raise NodeError(f"steps can be profiled for at most {SECONDS_MAX:g} s: ask for less", code="bad-request")
        if self.on:
            raise NodeError("the node's steps are being profiled already: try again later", code="busy")
        self._root, self._paths, self._steps = Call(""), 0, 0
        self._since_ns = self._now_ns()
        self._until_ns = self._since_ns + int(seconds * 1e9)

    @property
    def on(self) -> bool:
        """`True` if steps are being profiled now."""
        return self._until_ns != 0 and self._now_ns() < self._until_ns

    def take(self) -> dict[str, Any]:
        """Ends the profile and returns it: paths of calls from the outermost on, each with its own time and its call
        count."""
        seconds = (min(self._now_ns(), self._until_ns) - self._since_ns) / 1e9
        self._until_ns = 0
        paths: list[tuple[str, int, int]] = []
        _collect(self._root, "", paths)
        return {"seconds": round(seconds, 3), "steps": self._steps, "paths": paths}

    def run(self, kind: str, step: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Runs one step, of an input of this kind."""
        self._steps += 1
        self._stack = [self._root]
        self._enter(kind, kind)
        self._mark_ns = self._now_ns()
        sys.setprofile(self._told)
        try:
            return step(*arguments, **named)
        finally:
            sys.setprofile(None)
            self._stack = []

    def _told(self, frame: FrameType, event: str, arg: Any) -> None:
        stack = self._stack
        if not stack or arg is sys.setprofile:
            return
        stack[-1].own_ns += self._now_ns() - self._mark_ns
        if event == "call":
            self._enter(frame.f_code, f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}")
        elif event == "c_call":
            self._enter(arg, getattr(arg, "__qualname__", type(arg).__name__))
        elif len(stack) > 2:
            stack.pop()
        self._mark_ns = self._now_ns()

    def _enter(self, key: object, name: str) -> None:
        caller = self._stack[-1]
        # A bound method of a built-in is a new object at each call, so its name is the key.
        key = key if not callable(key) else name
        call = caller.below.get(key)
        if call is None:
            if self._paths >= PATHS_MAX:
                self._stack.append(caller)
                return
            self._paths += 1
            call = caller.below[key] = Call(name.removeprefix("rustorium.").replace(";", ",")[:NAME_MAX])
        call.calls += 1
        self._stack.append(call)


def _collect(call: Call, path: str, paths: list[tuple[str, int, int]]) -> None:
    for one in list(call.below.values()):
        here = f"{path};{one.name}" if path else one.name
        paths.append((here, one.own_ns, one.calls))
        _collect(one, here, paths)
