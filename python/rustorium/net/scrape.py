"""The metrics of a net's nodes, for what is shown live: read leniently, since the next look is half a second away.

Invariants: SYNC; a node that doesn't answer has no lines, and a line that can't be read counts as no number.
"""

from collections.abc import Sequence
from contextlib import suppress

import httpx2

from rustorium.access.netfile import NetNode


def pages_of(nodes: Sequence[NetNode], timeout_s: float) -> list[list[str]]:
    """Returns the lines of each node's metrics; none of a node that doesn't answer."""
    pages: list[list[str]] = []
    with httpx2.Client(verify=False, trust_env=False, timeout=timeout_s) as client:
        for node in nodes:
            pages.append([])
            with suppress(httpx2.HTTPError, OSError, ValueError):
                pages[-1] = client.get(f"{node.metrics}/metrics").text.splitlines()
    return pages


def total(lines: Sequence[str], *starts: str) -> float:
    """Returns the sum of the samples whose lines begin with one of these; 0 if one of them is no number."""
    with suppress(ValueError):
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(starts))
    return 0.0
