"""Makers of transactions and networks, for scenarios and flaws."""

from collections.abc import Callable, Sequence
from typing import Any

from rustorium.sharding.conservation import Conserved
from rustorium.sharding.crossings import Crossing
from rustorium.sharding.explore import Model
from rustorium.sharding.invariants import Checked
from rustorium.sharding.ledgers import Act, Operation, Transaction
from rustorium.sharding.network import Happening, Network

Watched = str | tuple[str, ...]


def act(sender: int, nonce: int, *operations: tuple[Act, int]) -> Transaction:
    """Returns a transaction of any operations."""
    return Transaction(sender, nonce, tuple(Operation(kind, to) for kind, to in operations))


def pay(sender: int, nonce: int, *accounts: int) -> Transaction:
    """Returns a payment of one unit to each account."""
    return act(sender, nonce, *((Act.PAY, account) for account in accounts))


def issue(sender: int, nonce: int, *accounts: int) -> Transaction:
    """Returns an issue of one unit to each account."""
    return act(sender, nonce, *((Act.ISSUE, account) for account in accounts))


def opens(sender: int, nonce: int, account: int) -> Transaction:
    """Returns a transaction that makes an account."""
    return act(sender, nonce, (Act.OPEN, account))


def net(
    ranges: Sequence[tuple[int, int]], events: Sequence[Happening] = (), watched: Watched = "", **options: Any
) -> Callable[[], Model[Any]]:
    """Returns a maker of a scenario of terms and orders."""
    return lambda: Checked(Network(ranges, events, **options), watched)


def cross(
    places: tuple[int, ...],
    plan: Sequence[Transaction] = (),
    events: Sequence[Any] = (),
    watched: Watched = "",
    **options: Any,
) -> Callable[[], Model[Any]]:
    """Returns a maker of a scenario of transfers: the shard of each account, transactions and events."""
    return lambda: Conserved(Crossing(places, plan, events, **options), watched)


UNBORN = (0, 0)
TWO = [(0, 1), (1, 2)]
THREE = [(0, 1), (1, 2), (2, 3)]
SPLIT = [(0, 1), (1, 3), UNBORN]
