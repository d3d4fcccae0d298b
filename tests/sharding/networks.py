"""Makers of transactions and networks, for scenarios and flaws."""

from collections.abc import Callable, Sequence
from typing import Any

from rustorium.sharding.explore import Model
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Happening, Network
from rustorium.sharding.vocabulary import Group, Op, Transaction


def pay(sender: int, nonce: int, *accounts: int) -> Transaction:
    """Returns a payment of one unit to each account."""
    return Transaction(sender, nonce, tuple(Group(Op.CREDIT, account) for account in accounts))


def act(sender: int, nonce: int, *groups: tuple[Op, int]) -> Transaction:
    """Returns a transaction of any groups."""
    return Transaction(sender, nonce, tuple(Group(op, account) for op, account in groups))


def net(
    ranges: Sequence[tuple[int, int]],
    plan: Sequence[Transaction] = (),
    events: Sequence[Happening] = (),
    watched: str | tuple[str, ...] = "",
    **options: Any,
) -> Callable[[], Model[Any]]:
    """Returns a maker of a scenario."""
    return lambda: Checked(Network(ranges, plan, events, **options), watched)


UNBORN = (0, 0)
TWO = [(0, 1), (1, 2)]
THREE = [(0, 1), (1, 2), (2, 3)]
SPLIT = [(0, 1), (1, 3), UNBORN]
