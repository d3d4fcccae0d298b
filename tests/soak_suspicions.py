"""Live nodes that others suspected during a soak, read from the nodes' logs: each start of a suspicion is a line.

Invariants: a line is read once, whole. It names the new suspect and every other node that is suspected at that moment.
A node that joins a suspicion before it is over has no line of its own.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HOURS_PER_ALLOWED = 24
"""A live node is suspected at most once a node-day without reason."""
_PEER = re.compile(r"(\S+) not heard for (\d+) ms")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A suspicion of one node by another."""

    watcher: str
    peer: str
    silent_ms: int


class Logs:
    """The nodes' logs, from where they were read last."""

    def __init__(self, homes: dict[str, str]) -> None:
        self._paths = {name: Path(home, "log", "node.jsonl") for name, home in homes.items()}
        self._read = dict.fromkeys(homes, 0)

    def new(self) -> list[Suspicion]:
        """Returns the suspicions that began since the last call."""
        found = []
        for name, path in self._paths.items():
            with open(path, "rb") as file:
                if file.seek(0, 2) < self._read[name]:
                    # The log was full, and a new one has begun.
                    self._read[name] = 0
                file.seek(self._read[name])
                lines = file.read().splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):
                lines.pop()
            self._read[name] += sum(map(len, lines))
            found += [one for line in lines for one in begun(name, line)]
        return found


def begun(watcher: str, line: bytes) -> Iterator[Suspicion]:
    """Returns the suspicions that begin with a line of a log."""
    if b'"peers-suspected"' not in line:
        return
    fields = json.loads(line)
    if (fields["event"], fields["code"]) == ("trouble", "peers-suspected"):
        for peer, silent_ms in _PEER.findall(fields["reason"]):
            yield Suspicion(watcher, peer, int(silent_ms))


def unfounded(found: Sequence[Suspicion], stopped: str | None) -> list[Suspicion]:
    """Returns the suspicions of nodes that weren't stopped; `stopped` is the stopped one."""
    return [one for one in found if one.peer != stopped]


def too_many(count: int, node_hours: float) -> bool:
    """Returns true if this is more than one per node-day; in a shorter run, if there is any."""
    return count > int(node_hours / HOURS_PER_ALLOWED)
