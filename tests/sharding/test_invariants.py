"""Each invariant of terms and orders can fail: one wrong fact in a good state is found, and nothing else is.

Invariants: the facts are written into the state by hand, so that no rule of the model is asked.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from networks import SPLIT, THREE, TWO

from rustorium.sharding.chains import Change, Order, Root, State, Wish
from rustorium.sharding.channels import Channel, append
from rustorium.sharding.happenings import epoch, split
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Network, World
from rustorium.sharding.terms import root_of
from rustorium.sharding.vocabulary import NOBODY, Entry, Kind

Spoil = Callable[[World], World]


def with_shard(shard: int, **now: object) -> Spoil:
    """Changes a shard."""
    return lambda world: world.with_shard(world.shard(shard)._replace(**now))  # type: ignore[arg-type]


def with_channel(channel: Channel) -> Spoil:
    """Replaces a channel of shard 1."""
    return lambda world: world.with_shard(world.shard(1).with_channel(channel))


def with_root(**now: object) -> Spoil:
    """Changes what root keeps for all."""

    def spoil(world: World) -> World:
        root = world.shard(0)
        changed: Root = root_of(root)._replace(**now)  # type: ignore[arg-type]
        return world.with_shard(root._replace(root=changed))

    return spoil


SAFETY: tuple[tuple[str, Spoil], ...] = (
    ("I1: account 2 is in shards []", with_shard(2, accounts=frozenset())),
    ("I1: account 1 is in shards [1, 2]", with_shard(2, accounts=frozenset({1, 2}))),
    ("I1: account 1 is in the charters of shards [0, 1]", with_shard(0, high=2)),
    ("I1: account 1 is in the charters of shards []", with_shard(1, high=1)),
    ("I3: shard 1's channel with shard 2 is broken", with_channel(Channel(2, broken=True))),
    ("I6: change 3 has 2 answers", with_shard(1, answered=(3, 3))),
)


@pytest.mark.parametrize(("fault", "spoil"), SAFETY, ids=[case[0] for case in SAFETY])
def test_wrong_fact_breaks_its_invariant(fault: str, spoil: Spoil) -> None:
    model = Checked(Network(THREE))
    assert model.broken(model.start()) is None
    spoiled = spoil(model.start())
    assert replace(model, watched=fault).broken(spoiled) is not None, f"found instead: {model.broken(spoiled)}"


ENDS: tuple[tuple[str, Spoil], ...] = (
    ("I8: change 0, for shard 1, is never answered", with_root(orders=(Order(0, 0, 1, 3, 1),))),
    ("I8: shard 2 never comes to the end", with_shard(2, state=State.CLOSING)),
    ("I8: shard 2 never comes to the end", with_shard(2, wish=Wish(Change.BIRTH, 0, 3))),
    ("I8: shard 2 never writes its term", with_shard(2, writes=())),
    ("I8: shard 2 keeps a key that was replaced", with_root(keys=1)),
    ("I8: shard 2 never gets the newest map", with_shard(2, owners=(NOBODY,) * 3)),
    ("I8: the map says that account 1 is in shard 2", lambda w: moved(w, (0, 2, 2))),
    ("I8: shard 1 keeps its channel with shard 2, which ended", with_shard(2, state=State.CLOSED)),
    ("I8: chunk 0 of shard 1 for shard 2 stays", with_channel(append(Channel(2), (Entry(Kind.ANSWER),), 0))),
)


def moved(world: World, owners: tuple[int, ...]) -> World:
    """Gives every shard this map, which no boundary made."""
    for shard in world.alive():
        world = world.with_shard(shard._replace(owners=owners))
    return world


@pytest.mark.parametrize(("fault", "spoil"), ENDS)
def test_open_matter_at_the_end_is_found(fault: str, spoil: Spoil) -> None:
    model = Checked(Network(THREE))
    assert model.unfinished(model.start()) is None
    spoiled = spoil(model.start())
    assert replace(model, watched=fault).unfinished(spoiled) is not None, f"found instead: {model.unfinished(spoiled)}"


def test_wanted_change_that_can_never_happen_is_found() -> None:
    model = Checked(Network(SPLIT, [split(1, 2, 2)]))
    assert model.unfinished(model.start()) is None
    blocked = with_root(orders=(Order(0, 0, 1, 2, 2),))(model.start())
    assert "can never happen" in str(model.unfinished(blocked))


def test_event_that_needs_not_happen_may_stay_away() -> None:
    model = Checked(Network(TWO, [epoch(1)]))
    assert model.unfinished(model.start()) is None
