"""Which node a client asks: one for submissions and for what only that node says, any of the nearest for what is
proven, and others when these fail.

Invariants: no input or output; a node that failed is asked last until it has answered again, and a busy one for as long
as it demands; the choice depends on measurements and on the client's own random numbers, so many clients don't move at
one moment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

SMOOTHING = 0.2
DOWN_S_MIN = 0.25
DOWN_S_MAX = 10.0
DOUBLINGS_MAX = 6
JITTER = 0.5
"""Pauses and intervals are up to this part shorter or longer."""
NEAR_SHARE, NEAR_S = 0.2, 0.005
"""Two nodes are equally near if their round trips differ by at most this share or this time."""
BETTER_TIMES = 2
"""Measurements in a row by which a node must be nearer before submissions go to it."""
PROBE_S = 60.0
"""Time after which one other node is measured anew."""
RESERVE_EVERY = 10
"""Every so often a node of the reserve is measured instead: the way to it may have become shorter."""
HEDGES_MAX = 10.0
HEDGE_SHARE = 0.1
"""A request allows this part of another one for a second opinion; so many are saved up."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One node's URL and its measurements."""

    url: str
    token: str | None = field(default=None, repr=False)
    """The token for this endpoint only."""
    listed: bool = False
    """The directory named it, and not the user."""
    rtt_s: float | None = None
    """Smoothed round trip time; `None` before the first answer."""
    down_until: float = 0.0
    busy_until: float = 0.0
    failures: int = 0
    in_flight: int = 0
    better: int = 0
    """Measurements in a row by which it is clearly nearer than the node to which submissions go."""


class Endpoints:
    """All nodes that a client may ask."""

    def __init__(self, tokens: Mapping[str, str | None], random: Random | None = None) -> None:
        """`tokens`: token by URL; `None` for a node that needs none."""
        self.own = [Endpoint(url, token) for url, token in {url.rstrip("/"): tokens[url] for url in tokens}.items()]
        """Those that the user named."""
        self.all = list(self.own)
        """Those, and the candidates of the directory."""
        self.reserve: list[Endpoint] = []
        """Other nodes of the directory, one of which is measured now and then."""
        self._random = random or Random()
        self._home: Endpoint | None = None
        """The node to which submissions go."""
        self._hedges = HEDGES_MAX
        self._next_probe = float("inf")
        self._probes = 0

    def listed(self, candidates: Iterable[str], reserve: Iterable[str] = ()) -> None:
        """Takes the directory's nodes, in place of those that it named before."""
        known = {endpoint.url: endpoint for endpoint in [*self.all, *self.reserve]}
        own = {endpoint.url for endpoint in self.own}

        def of(urls: Iterable[str]) -> list[Endpoint]:
            return [known.get(url) or Endpoint(url, listed=True) for url in dict.fromkeys(urls) if url not in own]

        self.all, self.reserve = [*self.own, *of(candidates)], of(reserve)
        if self._home not in self.all:
            self._home = None

    def order(self, now: float, *, sticky: bool = False) -> list[Endpoint]:
        """Returns the nodes in the order in which they are asked. `sticky`: the same node comes first as before unless
        another one is clearly nearer, and then those that the user named. A listed one may keep a submission to
        itself, and what another node says may be older. Nodes that failed lately come last, the earliest end of a
        pause first."""
        up = [endpoint for endpoint in self.all if endpoint.down_until <= now]
        down = [endpoint for endpoint in self.all if endpoint.down_until > now]
        # A node that hung takes long to fail again, so another one comes first until it has answered.
        up.sort(key=lambda endpoint: (endpoint.failures > 0, _round_trip(endpoint)))
        down.sort(key=lambda endpoint: endpoint.down_until)
        if up:
            first = self._sticky(up) if sticky else self._nearest(up)
            up.sort(key=lambda endpoint: (endpoint is not first, sticky and endpoint.listed))
        return up + down

    def _sticky(self, up: list[Endpoint]) -> Endpoint:
        nearer = next((endpoint for endpoint in up if endpoint.better >= BETTER_TIMES), None)
        if self._home not in up or nearer is not None:
            self._home = nearer or up[0]
            for endpoint in self.all:
                endpoint.better = 0
        assert self._home is not None
        return self._home

    def _nearest(self, up: list[Endpoint]) -> Endpoint:
        """Of two that are drawn from the nearest ones, returns the one that promises an answer sooner."""
        least, sound = up[0].rtt_s, up[0].failures == 0
        if least is None:
            return up[0]
        alike = (one for one in up if (one.failures == 0) == sound)
        near = [one for one in alike if one.rtt_s is not None and not _clearly_less(least, one.rtt_s)]
        drawn = self._random.sample(near, 2) if len(near) > 1 else near
        return min(drawn, key=lambda one: _round_trip(one) * (one.in_flight + 1))

    def answered(self, endpoint: Endpoint, seconds: float | None) -> None:
        """Notes an answer; `seconds` is its round trip time, `None` if the node waited for more than the network."""
        endpoint.failures, endpoint.down_until, endpoint.busy_until = 0, 0.0, 0.0
        if seconds is None:
            return
        old = endpoint.rtt_s
        endpoint.rtt_s = seconds if old is None else old + SMOOTHING * (seconds - old)
        if self._home is not None and endpoint is not self._home and self._home.rtt_s is not None:
            endpoint.better = endpoint.better + 1 if _clearly_less(endpoint.rtt_s, self._home.rtt_s) else 0

    def failed(self, endpoint: Endpoint, now: float) -> None:
        """Notes a failure: the node is asked last for a while."""
        pause_s = min(DOWN_S_MIN * 2 ** min(endpoint.failures, DOUBLINGS_MAX), DOWN_S_MAX)
        endpoint.failures += 1
        endpoint.better = 0
        endpoint.down_until = now + self._about(pause_s)
        if endpoint is self._home:
            self._home = None

    def busy(self, endpoint: Endpoint, now: float, seconds: float) -> None:
        """Notes that a node demands to be left alone for so long."""
        endpoint.down_until = endpoint.busy_until = now + seconds * self._random.uniform(1.0, 1.0 + JITTER)

    def asked(self) -> None:
        """Notes a request, which allows a part of a hedge."""
        self._hedges = min(HEDGES_MAX, self._hedges + HEDGE_SHARE)

    def may_hedge(self, now: float) -> bool:
        """Returns whether a second node may be asked while the first still may answer; notes it if so. Never while one
        of the user's nodes is busy: then all are slow, and more requests make them slower."""
        if self._hedges < 1 or any(endpoint.busy_until > now for endpoint in self.own):
            return False
        self._hedges -= 1
        return True

    def to_probe(self, now: float) -> Endpoint | None:
        """Returns a node that should be measured anew now; `None` if it isn't time yet."""
        if self._next_probe == float("inf"):
            self._next_probe = now + self._about(PROBE_S)
        if now < self._next_probe or len(self.all) + len(self.reserve) < 2:
            return None
        self._next_probe = now + self._about(PROBE_S)
        self._probes += 1
        if self.reserve and self._probes % RESERVE_EVERY == 0:
            return self._random.choice(self.reserve)
        others = [endpoint for endpoint in self.all if endpoint is not self._home]
        return others[self._probes % len(others)] if others else None

    def admit(self, endpoint: Endpoint) -> None:
        """Takes a measured node of the reserve if it is clearly nearer than all candidates."""
        measured = [one.rtt_s for one in self.all if one.rtt_s is not None]
        if endpoint not in self.reserve or not measured or endpoint.rtt_s is None:
            return
        if _clearly_less(endpoint.rtt_s, min(measured)):
            self.reserve.remove(endpoint)
            self.all.append(endpoint)

    def _about(self, seconds: float) -> float:
        return seconds * self._random.uniform(1.0 - JITTER, 1.0 + JITTER)


def _round_trip(endpoint: Endpoint) -> float:
    return endpoint.rtt_s if endpoint.rtt_s is not None else float("inf")


def _clearly_less(one_s: float, other_s: float) -> bool:
    return one_s < other_s * (1.0 - NEAR_SHARE) and one_s < other_s - NEAR_S
