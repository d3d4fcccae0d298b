"""Bounds on what a node keeps, asserted at the end of every run: one table, with the rule that each follows from.

Invariants: a bound is computed from the committee's size, the node's views without a final block, and clients'
submissions under way, never from a measurement. Reading the figures changes nothing that the run's log covers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustorium.sim.actors.attacks import CHURNED
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import read_header

if TYPE_CHECKING:
    from rustorium.sim.port import ReleasePort
    from rustorium.sim.terms import Terms
    from rustorium.sim.world import World

VIEW_WINDOW = 64
"""Views above the current one, or below the newest certified one, that a node accepts."""
LANE_WINDOW = 64
"""Batches of a lane above its final cursor."""
BLOCK_LISTS = 64
"""Batches of one lane that one block can list: its window."""
KINDS = 3
"""Kinds of votes and certificates."""
CERTIFICATE_MEMORY_BYTES, CERTIFICATES_MIN = 4 << 20, 256
WANTS_MAX = 4_096
JOURNAL_BYTES_MAX = 16 << 20
KEPT_VIEWS = 600
"""Views that become final between two syncs of the store, by which the journal is trimmed."""
CLOCKS_APART_MS = 1_000
EPOCH_MS = 24 * 3_600_000
"""Length of an epoch in a run that sets no other."""


@dataclass(frozen=True, slots=True)
class State:
    """The values that a bound may depend on."""

    n: int
    open_views: int
    """Views above the newest block that the node has on its disk, up to its current one."""
    settled: bool
    """`True` if every client has its answers and the chain is at rest."""
    under_way: int
    """Submissions that may still wait for their end."""
    abandoned: int = 0
    """Submissions whose clients wait no more, of transactions that may never end."""

    @property
    def quorum(self) -> int:
        return self.n - (self.n - 1) // 3


@dataclass(frozen=True, slots=True)
class Bound:
    """The most of something that a node keeps."""

    name: str
    """The name of the figure in `SimNode.held`."""
    rule: str
    most: Callable[[State], int]


def _certificates(state: State) -> int:
    one = 85 + 66 * state.quorum
    return max(CERTIFICATE_MEMORY_BYTES // one, CERTIFICATES_MIN) + KINDS * VIEW_WINDOW


def _journal_records(state: State) -> int:
    """Returns the bound on records: own votes, certificates and blocks of each view, and the lanes."""
    views = state.open_views + KEPT_VIEWS
    return views * (2 * KINDS + 2) + state.n * 3 * LANE_WINDOW


BOUNDS = (
    Bound("journal_bytes", "R36: what is live, twice, and 4 MiB", lambda _: JOURNAL_BYTES_MAX),
    Bound("journal_records", "R36, R42: no batch and no old record pins the journal", _journal_records),
    Bound("certificates", "R10: whole ones in memory", _certificates),
    Bound("votes", "R10: of the window, of each member and kind",
          lambda s: KINDS * s.n * (s.open_views + 4 * VIEW_WINDOW)),
    Bound("blocks", "R41: the leader's of v and v + 1, certified and own-notarized ones",
          lambda s: 2 * s.open_views + 4),
    Bound("lane_batches_max", "R42: the window, and what two living proposals list",
          lambda _: LANE_WINDOW + 2 * BLOCK_LISTS),
    Bound("lane_bytes_max", "R42: 16 MiB, and a block's bytes for each of two proposals",
          lambda _: (16 << 20) + 2 * (8 << 20)),
    Bound("wants", "R41: 4n besides those of certified blocks, of which none is left at rest",
          lambda s: 4 * s.n + (0 if s.settled else WANTS_MAX)),
    Bound("own_views", "R18: own votes above the last final block",
          lambda s: s.open_views + VIEW_WINDOW),
    Bound("outbox", "R21: frames wait for one sync of the journal",
          lambda s: KINDS * (s.open_views + VIEW_WINDOW)),
    Bound("pool", "shares of the pool: no more than clients have under way", lambda s: s.under_way),
    Bound("waiters", "a submission ends with its transaction's", lambda s: s.under_way + s.abandoned),
)  # fmt: skip
"""All bounds."""


def judge_bounds(world: "World", *, settled: bool, under_way: int, abandoned: int = 0) -> None:
    """Asserts all bounds at every running honest node."""
    for port in world.ports():
        state, held = _state(world, port, settled, under_way, abandoned), port.native.held()
        for bound in BOUNDS:
            if held[bound.name] > bound.most(state):
                raise BreachError(
                    f"node {port.number} keeps {held[bound.name]} {bound.name.replace('_', ' ')}, "
                    f"{bound.most(state)} at most ({bound.rule})"
                )


def _state(world: "World", port: "ReleasePort", settled: bool, under_way: int, abandoned: int) -> State:
    tip = world.nodes[port.number].disk.tip()
    final = read_header(tip[2])[0].view if tip is not None else 0
    members = world.committee_of(world.nodes[port.number], max(port.epoch, 0))
    return State(len(members), max(port.view - final, 0), settled, under_way, abandoned)


def judge_epochs(world: "World", terms: "Terms | None") -> None:
    """Asserts that epochs ended no more often than operators and the clock required. Chains of version 1 have no
    minimum age of epochs (R45), so there owners' requests count too."""
    asked = sum(count for kind, count in world.counts.items() if kind.startswith("asked to "))
    asked += world.counts[CHURNED] if world.net.version == 1 else 0
    jumps_ms = max((abs(node.clock_ms) for node in world.nodes), default=0)
    epoch_ms = (terms.epoch_ms if terms is not None else None) or EPOCH_MS
    by_clock = int((world.now / 1e6 + jumps_ms + CLOCKS_APART_MS) // epoch_ms)
    if world.checkers.epoch > asked + by_clock:
        raise BreachError(
            f"{world.checkers.epoch} epochs have ended in {world.now / 1e6:.0f} ms, {asked} were asked for and "
            f"{by_clock} are over by the clock"
        )
