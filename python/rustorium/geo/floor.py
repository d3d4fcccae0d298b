"""The least time in which a committee can make a transaction final, by its distances alone.

A transaction goes from its client's node to the leader, in the leader's proposal to all, in votes to all (notarize),
and again in votes to all (finalize). No work, no queue and no timer is counted. `docs/geography.md` has the formulas
(G14).

Invariants: PURE; whole numbers; a longer delay never makes a floor shorter.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Delays = Sequence[Sequence[int]]
"""One-way delays between nodes, microseconds: from the row's node to the column's, and 0 from each to itself."""


def quorum(members: int) -> int:
    """Returns how many members of a committee must vote."""
    return members - (members - 1) // 3


def heard_us(delays: Delays, client: int, leader: int) -> list[int]:
    """Returns when each node can vote for the block with a transaction, after the client's node has taken it: once it
    has the leader's proposal and the batch, which the client's node sends to all."""
    nodes = range(len(delays))
    return [max(delays[client][leader] + delays[leader][node], delays[client][node]) for node in nodes]


def notarized_us(delays: Delays, heard: Sequence[int], votes: int) -> list[int]:
    """Returns when each node has a notarization: by as many votes, or from another node, since each node sends it on
    (R2). Each node votes at its time in `heard`."""
    nodes = range(len(delays))
    times = [sorted(heard[voter] + delays[voter][node] for voter in nodes)[votes - 1] for node in nodes]
    while True:
        sooner = [min(times[source] + delays[source][node] for source in nodes) for node in nodes]
        if sooner == times:
            return times
        times = sooner


def final_us(delays: Delays, client: int, leader: int, votes: int) -> int:
    """Returns when the client's node knows that a transaction is final, if this leader proposes it."""
    notarized = notarized_us(delays, heard_us(delays, client, leader), votes)
    return sorted(notarized[voter] + delays[voter][client] for voter in range(len(delays)))[votes - 1]


def interval_us(delays: Delays, leader: int, following: int, votes: int) -> int:
    """Returns the time from a leader's proposal to that of the leader that follows it, if there is work for both."""
    return notarized_us(delays, delays[leader], votes)[following]


@dataclass(frozen=True, slots=True)
class Floors:
    """The floors of a committee whose leaders take equal turns in random order (R1). All microseconds."""

    alone_us: tuple[int, ...]
    """For a client at each node that has one transaction under way: the mean over the leaders."""
    own_us: tuple[int, ...]
    """The same where the client's own node leads."""
    interval_us: int
    """The mean time between blocks under load."""
    leaders_us: tuple[int, ...]
    """With each leader: the mean over the clients' nodes."""

    def loaded_us(self, node: int) -> int:
        """Returns the floor for a client at a node under load: a transaction then waits for half a block's time."""
        return self.alone_us[node] + self.interval_us // 2


class Committee:
    """The floors of one committee. Nodes of one kind have equal delays to all others, so that each pair of kinds is
    looked at once."""

    def __init__(self, delays: Delays, votes: int, kinds: Sequence[Hashable] | None = None) -> None:
        """`votes`: the quorum, at most as many as nodes. `kinds`: of each node; `None` if all differ."""
        self._delays, self._votes = delays, votes
        self._kinds = range(len(delays)) if kinds is None else kinds
        self._final: dict[Hashable, int] = {}
        self._interval: dict[Hashable, int] = {}

    def final_us(self, client: int, leader: int) -> int:
        """Returns the time to finality for a client's node with one leader."""
        pair = (self._kinds[client], self._kinds[leader], client == leader)
        if pair not in self._final:
            self._final[pair] = final_us(self._delays, client, leader, self._votes)
        return self._final[pair]

    def alone_us(self, client: int) -> int:
        """Returns the mean over the leaders for a client's node."""
        return _mean([self.final_us(client, leader) for leader in range(len(self._delays))])

    def floors(self) -> Floors:
        """Returns all floors."""
        nodes = range(len(self._delays))
        between = [
            self._interval_us(leader, following) for leader in nodes for following in nodes if leader != following
        ]
        return Floors(
            alone_us=tuple(self.alone_us(node) for node in nodes),
            own_us=tuple(self.final_us(node, node) for node in nodes),
            interval_us=_mean(between) if between else 0,
            leaders_us=tuple(_mean([self.final_us(client, leader) for client in nodes]) for leader in nodes),
        )

    def _interval_us(self, leader: int, following: int) -> int:
        pair = (self._kinds[leader], self._kinds[following])
        if pair not in self._interval:
            self._interval[pair] = interval_us(self._delays, leader, following, self._votes)
        return self._interval[pair]


def _mean(values: Sequence[int]) -> int:
    """Returns the mean, rounded down."""
    return sum(values) // len(values)
