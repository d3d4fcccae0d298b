"""Plans of committees: where members could stand, what their clients would wait, and which outages stop the chain.

Invariants: PURE; the same question gets the same plan; no plan names a region without round trips.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rustorium.consensus.schedule import FULL_EVERY
from rustorium.errors import UsageError
from rustorium.geo.floor import Committee, quorum
from rustorium.geo.matrix import Matrix

MEMBERS_MAX = 128
REGIONS_MAX = 32
"""Regions in which members stand: the work grows with their square, and that of members."""
MOVES_MEMBERS_MAX = 16
"""Members of the largest committee for which other regions are tried, and of the largest that is chosen: the work grows
with the fourth power."""
MOVES_SHOWN = 3
NOT_LEADING_MAX = 16
"""Members that a chain's parameters can keep from leading."""


@dataclass(frozen=True, slots=True)
class ClientFloor:
    """What clients of a region wait at least, microseconds."""

    region: str
    weight: int
    via: str
    """The region of the nearest member, which is their node."""
    alone_us: int
    """With one transaction under way."""
    loaded_us: int
    """Under load, where a transaction waits for half a block's time."""
    own_us: int
    """With one transaction under way, if their node leads."""
    without_us: Mapping[str, int | None]
    """`alone_us` while each region of members is away: `None` if that stops the chain. Clients of that region are away,
    too."""


@dataclass(frozen=True, slots=True)
class Move:
    """Another region for the members of one."""

    source: str
    target: str
    alone_us: int
    """The mean floor of all clients after it."""
    nearest: str
    """The region nearest to the target that keeps members."""
    nearest_us: int
    """The round trip to it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A committee, and what follows from where it stands."""

    regions: tuple[str, ...]
    """The region of each member."""
    quorum: int
    alone_us: int
    """The mean of the clients by their weights, as `loaded_us`."""
    loaded_us: int
    interval_us: int
    """The mean time between blocks under load."""
    clients: tuple[ClientFloor, ...]
    best_leader: str
    """The region of the leader with the least mean finality."""
    worst_leader: str
    leaders: tuple[str, ...]
    """The regions of the members that should lead: with fewer leaders, f that lie could be most of them."""
    led_us: int
    """The mean of the clients if these lead alone, except in one cycle of 32, with one transaction under way."""
    stop_alone: tuple[str, ...]
    """Regions with more members than may fail: the chain stands while one of them is away."""
    stop_together: tuple[tuple[str, ...], ...]
    """Pairs of other regions that have more together."""
    moves: tuple[Move, ...]
    """The moves of one region's members by which clients gain most, the best first."""


def spread(regions: Sequence[str], members: int) -> tuple[str, ...]:
    """Returns the region of each of so many members: the regions in turn. Errors: UsageError."""
    if not 1 <= members <= MEMBERS_MAX:
        raise UsageError(f"a committee has 1 to {MEMBERS_MAX} members, not {members}")
    if len(regions) > REGIONS_MAX:
        raise UsageError(f"members can be planned in up to {REGIONS_MAX} regions, not {len(regions)}: name fewer")
    if members < len(regions):
        raise UsageError(f"{members} members can't stand in {len(regions)} regions: name fewer, or use --choose")
    return tuple(regions[place % len(regions)] for place in range(members))


def plan(matrix: Matrix, regions: Sequence[str], clients: Mapping[str, int]) -> Plan:
    """Returns the plan of a committee. `regions`: that of each member. `clients`: weights of their regions. Errors:
    UsageError."""
    votes = quorum(len(regions))
    committee = Committee(matrix.delays_us(regions), votes, regions)
    of_all = committee.floors()
    counts = Counter(regions)
    spare = len(regions) - votes
    stop_alone = tuple(region for region in counts if counts[region] > spare)
    others = [region for region in counts if region not in stop_alone]
    pairs = tuple(pair for pair in combinations(others, 2) if counts[pair[0]] + counts[pair[1]] > spare)
    remaining = {away: _without(matrix, regions, clients, away, votes) for away in counts}
    nearest = {client: _nearest(matrix, regions, client) for client in clients}
    rows = tuple(
        ClientFloor(
            region=client,
            weight=weight,
            via=regions[node],
            alone_us=extra + of_all.alone_us[node],
            loaded_us=extra + of_all.loaded_us(node),
            own_us=extra + of_all.own_us[node],
            without_us={away: found[client] for away, found in remaining.items() if away != client},
        )
        for (client, weight), (node, extra) in zip(clients.items(), nearest.values(), strict=True)
    )
    ranked = sorted(range(len(regions)), key=lambda leader: of_all.leaders_us[leader])
    weighted = [(*nearest[client], weight) for client, weight in clients.items()]
    leaders, led_us = _leaders(committee, len(regions), weighted)
    return Plan(
        regions=tuple(regions),
        quorum=votes,
        alone_us=_weighted((row.alone_us, row.weight) for row in rows),
        loaded_us=_weighted((row.loaded_us, row.weight) for row in rows),
        interval_us=of_all.interval_us,
        clients=rows,
        best_leader=regions[ranked[0]],
        worst_leader=regions[ranked[-1]],
        leaders=tuple(regions[leader] for leader in leaders),
        led_us=led_us,
        stop_alone=stop_alone,
        stop_together=pairs,
        moves=_moves(matrix, regions, clients),
    )


def choose(
    matrix: Matrix, among: Sequence[str], count: int, clients: Mapping[str, int], apart_us: int = 0
) -> tuple[str, ...]:
    """Returns regions of members with a low mean floor for these clients, in the order of `among`: no exchange of one
    of them for another would be better. `apart_us`: the least round trip between two of them. Errors: UsageError."""
    most = min(len(among), MOVES_MEMBERS_MAX)
    if not 1 <= count <= most:
        raise UsageError(f"{count} of {len(among)} regions can't be chosen: name 1 to {most}")
    chosen: list[str] = []
    while len(chosen) < count:
        free = [one for one in among if one not in chosen and _is_apart(matrix, chosen, one, apart_us)]
        if not free:
            raise UsageError(
                f"no {count} of these regions are {apart_us / 1000:g} ms apart: choose fewer, or name more regions"
            )
        chosen.append(min(free, key=lambda one: _cost(matrix, [*chosen, one], clients)))
    best = _cost(matrix, chosen, clients)
    while True:
        exchanged = [
            [*others, one]
            for place in range(count)
            for others in [chosen[:place] + chosen[place + 1 :]]
            for one in among
            if one not in chosen and _is_apart(matrix, others, one, apart_us)
        ]
        costs = [_cost(matrix, one, clients) for one in exchanged]
        if not costs or min(costs) >= best:
            return tuple(region for region in among if region in chosen)
        best = min(costs)
        chosen = exchanged[costs.index(best)]


def _leaders(committee: Committee, members: int, clients: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Returns the members that clients should have as leaders, 2f + 1 or more, and the clients' mean floor with them
    (R1). `clients`: the node of each, the round trip to it, and the weight."""
    costs = [
        _weighted((extra + committee.final_us(node, leader), weight) for node, extra, weight in clients)
        for leader in range(members)
    ]
    least = max(2 * (members - quorum(members)) + 1, members - NOT_LEADING_MAX)
    leaders = sorted(sorted(range(members), key=costs.__getitem__)[:least])
    ordinary, full = (FULL_EVERY - 1) * sum(costs[leader] for leader in leaders), sum(costs)
    return leaders, (ordinary + full) // ((FULL_EVERY - 1) * len(leaders) + members)


def _is_apart(matrix: Matrix, others: Iterable[str], region: str, apart_us: int) -> bool:
    return all(matrix.round_trip_us(region, other) >= apart_us for other in others)


def _cost(matrix: Matrix, regions: Sequence[str], clients: Mapping[str, int]) -> int:
    """Returns the mean floor of clients, one transaction at a time."""
    found = _alone(matrix, regions, clients, quorum(len(regions)))
    return _weighted((found[client], weight) for client, weight in clients.items())


def _alone(matrix: Matrix, regions: Sequence[str], clients: Iterable[str], votes: int) -> dict[str, int]:
    committee = Committee(matrix.delays_us(regions), votes, regions)
    nearest = {client: _nearest(matrix, regions, client) for client in clients}
    return {client: extra + committee.alone_us(node) for client, (node, extra) in nearest.items()}


def _without(
    matrix: Matrix, regions: Sequence[str], clients: Iterable[str], away: str, votes: int
) -> Mapping[str, int | None]:
    """Returns the floors of clients while the members of a region are away, and passed over as leaders."""
    left = [region for region in regions if region != away]
    return dict.fromkeys(clients) if len(left) < votes else dict(_alone(matrix, left, clients, votes))


def _nearest(matrix: Matrix, regions: Sequence[str], client: str) -> tuple[int, int]:
    """Returns the member nearest to clients, and the round trip to it: 0 if it is in their region."""
    trips = [0 if region == client else matrix.round_trip_us(client, region) for region in regions]
    node = min(range(len(trips)), key=trips.__getitem__)
    return node, trips[node]


def _moves(matrix: Matrix, regions: Sequence[str], clients: Mapping[str, int]) -> tuple[Move, ...]:
    """Returns the best exchanges of one region for another, of those that are better than what is."""
    if len(regions) > MOVES_MEMBERS_MAX or len(set(regions)) < 2:
        return ()
    present = _cost(matrix, regions, clients)
    moves = []
    for source in dict.fromkeys(regions):
        kept = [region for region in regions if region != source]
        for target in matrix.regions:
            if target in regions:
                continue
            alone_us = _cost(matrix, [target if region == source else region for region in regions], clients)
            if alone_us < present:
                nearest = min(kept, key=lambda region: matrix.round_trip_us(target, region))
                moves.append(Move(source, target, alone_us, nearest, matrix.round_trip_us(target, nearest)))
    return tuple(sorted(moves, key=lambda move: move.alone_us)[:MOVES_SHOWN])


def _weighted(values: Iterable[tuple[int, int]]) -> int:
    """Returns the mean of values by their weights, rounded down."""
    pairs = list(values)
    return sum(value * weight for value, weight in pairs) // sum(weight for _, weight in pairs)
