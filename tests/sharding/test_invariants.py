"""Each invariant of the model of shards can fail: one wrong fact in a good state is found, and nothing else is.

Invariants: the facts are written into the state by hand, so that no rule of the model is asked.
"""

from collections.abc import Callable

import pytest
from networks import SPLIT, THREE, TWO, act, pay

from rustorium.sharding.chains import Change, Intent, Order, Root, State, Wish
from rustorium.sharding.channels import Channel, Waiting
from rustorium.sharding.happenings import epoch, split
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Network, World
from rustorium.sharding.terms import root_of
from rustorium.sharding.vocabulary import NOBODY, Entry, Event, Kind, Note, Op, Transaction

Spoil = Callable[[World], World]
PAYS_TWO = pay(1, 0, 0, 2)
WRITES_TWO = act(1, 0, (Op.PUT, 0), (Op.PUT, 2))


def noted(*notes: Note) -> Spoil:
    """Writes lines into shard 1's witness."""
    return lambda world: world.with_shard(world.shard(1)._replace(log=tuple(sorted(notes))))


def with_leaf(shard: int, account: int, **now: int) -> Spoil:
    """Changes an account."""

    def spoil(world: World) -> World:
        leaf = world.shard(shard).leaves[account]
        assert leaf is not None
        return world.with_shard(world.shard(shard).with_leaf(account, leaf._replace(**now)))

    return spoil


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


def with_shard(shard: int, **now: object) -> Spoil:
    """Changes a shard."""
    return lambda world: world.with_shard(world.shard(shard)._replace(**now))  # type: ignore[arg-type]


def copied(world: World, account: int, shard: int) -> World:
    """Gives an account to another shard, too."""
    return world.with_shard(world.shard(shard).with_leaf(account, world.shard(1).leaves[account]))


START, REFUSED = Note(Event.STARTED, 0), Note(Event.FAILED, 0)
FIRST, SECOND = Note(Event.EFFECT, 0, 0), Note(Event.EFFECT, 0, 1)
BACK, SECOND_BACK = Note(Event.RETURNED, 0, 0), Note(Event.RETURNED, 0, 1)
SAFETY: tuple[tuple[str, Transaction, Spoil], ...] = (
    ("I1: account 2 is in shards []", PAYS_TWO, lambda w: w.with_shard(w.shard(2).with_leaf(2, None))),
    ("I1: account 1 is in shards [1, 2]", PAYS_TWO, lambda w: copied(w, 1, 2)),
    ("I1: account 1 is in the charters of shards [0, 1]", PAYS_TWO, with_shard(0, high=2)),
    ("I1: account 1 is in the charters of shards []", PAYS_TWO, with_shard(1, high=1)),
    ("I2: 4 units are there, and 3 should be", PAYS_TWO, with_leaf(2, 2, balance=2)),
    ("I2: 2 units are there, and 3 should be", PAYS_TWO, with_leaf(2, 2, balance=0)),
    ("I2: transaction 0 was paid for, and neither", PAYS_TWO, noted(START, FIRST)),
    ("I3: shard 1's channel with shard 2 is broken", PAYS_TWO, with_channel(Channel(2, 0, broken=True))),
    ("I3: an entry was deleted", PAYS_TWO, noted(Note(Event.LOST, 0))),
    ("I4: transaction 0 started more than once", PAYS_TWO, noted(START, REFUSED)),
    ("I4: a group of transaction 0 was executed 2 times", WRITES_TWO, noted(START, FIRST, FIRST, SECOND)),
    ("I4: value of transaction 0 came back 2 times", PAYS_TWO, noted(START, BACK, BACK)),
    ("I4: transaction 0 was executed and came back", PAYS_TWO, noted(START, FIRST, SECOND_BACK)),
    ("I4: transaction 0's value replaced one", WRITES_TWO, noted(Note(Event.OVERTAKEN, 0))),
    ("I5: transaction 0 is committed at one shard", PAYS_TWO, noted(Note(Event.COMMITTED, 0), Note(Event.ABORTED, 0))),
    ("I5: transaction 0 was voted for, decided", PAYS_TWO, noted(Note(Event.HALF, 0))),
    ("I6: change 3 has 2 answers", PAYS_TWO, noted(*[Note(Event.ANSWERED, 3)] * 2)),
    ("I7: transaction 0 was executed, and no shard", WRITES_TWO, noted(FIRST, SECOND)),
    ("I7: transaction 0 locked an account", PAYS_TWO, noted(Note(Event.FROZEN, 0))),
    ("I9: transaction 0 was refused and has an effect", WRITES_TWO, noted(REFUSED, FIRST, SECOND)),
    ("I9: transaction 0 is settled, and only a part", WRITES_TWO, noted(START, FIRST)),
    ("S32: transaction 0 met a channel", PAYS_TWO, noted(Note(Event.STARVED, 0))),
)


@pytest.mark.parametrize(("fault", "tx", "spoil"), SAFETY, ids=[case[0] for case in SAFETY])
def test_wrong_fact_breaks_its_invariant(fault: str, tx: Transaction, spoil: Spoil) -> None:
    model = Checked(Network(THREE, [tx]))
    assert model.broken(model.start()) is None
    spoiled = spoil(model.start())
    watched = Checked(Network(THREE, [tx]), fault)
    assert watched.broken(spoiled) is not None, f"found instead: {model.broken(spoiled)}"


def waiting(kind: Kind) -> Spoil:
    """Lets an entry wait in shard 1's channel with shard 2."""
    return with_channel(Channel(2, 0, out_next=1, out=(Waiting(0, Entry(kind), 1),)))


ENDS: tuple[tuple[str, Spoil], ...] = (
    ("I8: change 0, for shard 1, is never answered", with_root(orders=(Order(0, 0, 1, 3, 1),))),
    ("I8: shard 2 never comes to the end", with_shard(2, state=State.CLOSING)),
    ("I8: shard 2 never comes to the end", with_shard(2, wish=Wish(Change.BIRTH, 0, 0, 3))),
    ("I8: shard 2 never writes its term", with_shard(2, writes=())),
    ("I8: transaction 0 is never decided everywhere", with_shard(2, intents=(Intent(0, 1, ()),))),
    ("I8: shard 2 keeps a key that was replaced", with_root(keys=1)),
    ("I8: shard 2 never gets the newest map", with_shard(2, owners=(NOBODY,) * 3)),
    ("I8: the map says that account 1 is in shard 2", lambda w: moved(w, (0, 2, 2))),
    ("I8: shard 1 keeps its channel with shard 2, which ended", with_shard(2, state=State.CLOSED)),
    ("I8: shard 1's DO to shard 2 is never answered", waiting(Kind.DO)),
    ("I8: shard 1's DONE is never taken by shard 2", waiting(Kind.DONE)),
)


def moved(world: World, owners: tuple[int, ...]) -> World:
    """Gives every shard this map, which no boundary made."""
    for shard in world.alive():
        world = world.with_shard(shard._replace(owners=owners))
    return world


@pytest.mark.parametrize(("fault", "spoil"), ENDS)
def test_open_matter_at_the_end_is_found(fault: str, spoil: Spoil) -> None:
    model = Checked(Network(THREE, [pay(1, 0, 2)]), fault)
    assert Checked(model.network).unfinished(model.start()) is None
    assert model.unfinished(spoil(model.start())) is not None, (
        f"found instead: {Checked(model.network).unfinished(spoil(model.start()))}"
    )


def test_wanted_change_that_can_never_happen_is_found() -> None:
    model = Checked(Network(SPLIT, (), [split(1, 2, 2)]))
    assert model.unfinished(model.start()) is None
    blocked = with_root(orders=(Order(0, 0, 1, 2, 2),))(model.start())
    assert "can never happen" in str(model.unfinished(blocked))


def test_event_that_needs_not_happen_may_stay_away() -> None:
    model = Checked(Network(TWO, (), [epoch(1)]))
    assert model.unfinished(model.start()) is None
