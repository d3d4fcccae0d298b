"""The order in which a client asks nodes: the nearest that answers comes first.

Invariants: no input or output; a node that failed is asked last until its pause is over; the order depends only on
measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SMOOTHING = 0.2
DOWN_S_MIN = 0.25
DOWN_S_MAX = 10.0


@dataclass(slots=True)
class Endpoint:
    """One node's URL and its measurements."""

    url: str
    token: str | None = field(default=None, repr=False)
    """The token for this endpoint only."""
    rtt_s: float | None = None
    """Smoothed round trip time; `None` before the first answer."""
    down_until: float = 0.0
    failures: int = 0


class Endpoints:
    """All nodes that a client knows."""

    def __init__(self, tokens: Mapping[str, str | None]) -> None:
        """`tokens`: token by URL; `None` for a node that needs none."""
        self.all = [Endpoint(url, token) for url, token in {url.rstrip("/"): tokens[url] for url in tokens}.items()]

    def order(self, now: float) -> list[Endpoint]:
        """Returns the nearest nodes first. Nodes that failed lately come last, the earliest end of a pause first."""
        up = [endpoint for endpoint in self.all if endpoint.down_until <= now]
        down = [endpoint for endpoint in self.all if endpoint.down_until > now]
        up.sort(key=lambda endpoint: endpoint.rtt_s if endpoint.rtt_s is not None else float("inf"))
        down.sort(key=lambda endpoint: endpoint.down_until)
        return up + down

    @staticmethod
    def answered(endpoint: Endpoint, seconds: float | None) -> None:
        """Notes an answer; `seconds` is its round trip time, `None` if the node waited for more than the network."""
        endpoint.failures, endpoint.down_until = 0, 0.0
        if seconds is not None:
            old = endpoint.rtt_s
            endpoint.rtt_s = seconds if old is None else old + SMOOTHING * (seconds - old)

    @staticmethod
    def failed(endpoint: Endpoint, now: float, seconds: float | None = None) -> None:
        """Notes a failure, or that the node is busy (for `seconds`): it is asked last for a while."""
        endpoint.failures += 1
        pause = min(DOWN_S_MIN * 2 ** (endpoint.failures - 1), DOWN_S_MAX) if seconds is None else seconds
        endpoint.down_until = now + pause
