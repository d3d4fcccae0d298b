"""The times that follow from measured round trips to the other members (R53).

Invariants: each time is at least that of `ConsensusConfig`, and equal to it while fewer peers are measured than a
quorum needs. No peer can make another leader's views longer than its own, or any time longer than these bounds.
"""

from collections.abc import Collection, Sequence

from rustorium.consensus.pacemaker import NS_PER_MS, NS_PER_US, ConsensusConfig

FLOOR_NS_MAX = 500 * NS_PER_MS
"""The highest lower bound of Δ that a round trip can set."""
DELAY_NS_MAX = 400 * NS_PER_MS
"""The longest grace or delay that round trips can set."""
SITE_NS, WIDE_NS = 10 * NS_PER_MS, 20 * NS_PER_MS
"""A quorum nearer than the first is in one site; one farther than the second isn't. In between the answer stays."""


class Reach:
    """How far the other members are, and the times that follow."""

    __slots__ = ("_config", "_graces", "_needed", "_quorum_ns", "_round_trips_ns", "_wide", "longest_ns")

    def __init__(self, config: ConsensusConfig, n: int, graces: bool) -> None:
        """`graces`: `True` if graces and delays are measured too, not Δ alone. That is so where all members know this
        rule."""
        self._config, self._graces = config, graces
        self._needed = n - (n - 1) // 3 - 1
        """Peers that make a quorum with this node."""
        self._round_trips_ns: Sequence[int] = ()
        self._quorum_ns = 0
        """Round trip to the farthest of the nearest peers that make a quorum with this node; 0 if unknown."""
        self.longest_ns = 0
        """The longest round trip to a peer that isn't silent; 0 if unknown."""
        self._wide = False

    def measured(self, round_trips_us: Sequence[int], silent: Collection[int]) -> None:
        """Takes the round trips by place, microseconds; 0 for a peer that isn't measured and for this node."""
        self._round_trips_ns = [us * NS_PER_US for us in round_trips_us]
        self.without(silent)

    def without(self, silent: Collection[int]) -> None:
        """Leaves the silent peers out."""
        known = sorted(ns for peer, ns in enumerate(self._round_trips_ns) if ns and peer not in silent)
        if not 0 < self._needed <= len(known):
            self._quorum_ns = self.longest_ns = 0
            return
        self._quorum_ns, self.longest_ns = known[self._needed - 1], known[-1]
        if not SITE_NS <= self._quorum_ns <= WIDE_NS:
            self._wide = self._quorum_ns > WIDE_NS

    def floor_ns(self, leader: int) -> int:
        """Returns the lower bound of Δ in a view of this leader: a quarter above the round trip to it, and to a quorum,
        whose votes come after its block."""
        least = self._config.delta_floor_ms * NS_PER_MS
        to_leader = self._round_trips_ns[leader] if leader < len(self._round_trips_ns) else 0
        wanted = 5 * max(to_leader, self._quorum_ns) // 4
        return max(least, min(wanted, FLOOR_NS_MAX))

    def grace_ns(self, leads: bool) -> int:
        """Returns the time after which unfinal content is work (R12), for the leader or for a voter."""
        return self._delay_ns(self._config.grace_ms, leads)

    def claim_delay_ns(self, leads: bool) -> int:
        """Returns the time after which an owed claim is work (R13), for the leader or for a voter."""
        return self._delay_ns(self._config.claim_delay_ms, leads)

    def parent_grace_ns(self) -> int:
        """Returns the time that a leader waits for its parent to become final (R4)."""
        return 0 if self._wide else self._config.parent_grace_ms * NS_PER_MS

    def _delay_ns(self, least_ms: int, leads: bool) -> int:
        measured = (self._quorum_ns if leads else self.longest_ns) if self._graces else 0
        return max(least_ms * NS_PER_MS, min(measured, DELAY_NS_MAX))
