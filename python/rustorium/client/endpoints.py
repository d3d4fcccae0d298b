"""Which node to ask: the nearest that answers.

Invariants: no input or output; a node that failed is asked last until its time is over; the order depends only on what
was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SMOOTHING = 0.2
DOWN_S_MIN = 0.25
DOWN_S_MAX = 10.0


@dataclass(slots=True)
class Endpoint:
    """One node's URL and how it did."""

    url: str
    token: str | None = field(default=None, repr=False)
    """What is shown to it, and to no other."""
    rtt_s: float | None = None
    """Smoothed; None before the first answer."""
    down_until: float = 0.0
    failures: int = 0


class Endpoints:
    """All nodes that a client knows."""

    def __init__(self, tokens: Mapping[str, str | None]) -> None:
        """`tokens`: by their URLs; None for a node that asks for none."""
        self.all = [Endpoint(url, token) for url, token in {url.rstrip("/"): tokens[url] for url in tokens}.items()]

    def order(self, now: float) -> list[Endpoint]:
        """Nearest first; those that failed lately come last, the one that has waited longest before the others."""
        up = [endpoint for endpoint in self.all if endpoint.down_until <= now]
        down = [endpoint for endpoint in self.all if endpoint.down_until > now]
        up.sort(key=lambda endpoint: endpoint.rtt_s if endpoint.rtt_s is not None else float("inf"))
        down.sort(key=lambda endpoint: endpoint.down_until)
        return up + down

    @staticmethod
    def answered(endpoint: Endpoint, seconds: float | None) -> None:
        """It answered; `seconds` where the answer didn't wait for anything but the network."""
        endpoint.failures, endpoint.down_until = 0, 0.0
        if seconds is not None:
            old = endpoint.rtt_s
            endpoint.rtt_s = seconds if old is None else old + SMOOTHING * (seconds - old)

    @staticmethod
    def failed(endpoint: Endpoint, now: float, seconds: float | None = None) -> None:
        """It did not, or it is busy (for `seconds`): leave it alone for a while."""
        endpoint.failures += 1
        pause = min(DOWN_S_MIN * 2 ** (endpoint.failures - 1), DOWN_S_MAX) if seconds is None else seconds
        endpoint.down_until = now + pause
