"""Each invariant of transfers can fail: one wrong fact in a good state is found, and nothing else is.

Invariants: the facts are written into the state by hand, so that no rule of the model is asked.
"""

from collections.abc import Callable

import pytest
from networks import issue, pay

from rustorium.sharding.channels import Channel, append
from rustorium.sharding.conservation import Conserved
from rustorium.sharding.crossings import Crossing, World
from rustorium.sharding.ledgers import Account, Act, Credit, Event, Limits, Note

Spoil = Callable[[World], World]
NETWORK = Crossing((0, 1), [pay(0, 0, 1), issue(0, 1, 1)], limits=Limits(open_max=1))
SENT, DELIVERED, REFUSED = (Note(event, 0) for event in (Event.SENT, Event.DELIVERED, Event.REFUSED))
RETURNED, ARRIVED = Note(Event.RETURNED, 0), Note(Event.ARRIVED, 0)


def noted(*notes: Note) -> Spoil:
    """Writes lines into shard 0's witness."""
    return lambda world: world.with_shard(world.shards[0]._replace(log=tuple(sorted(notes))))


def with_account(account: Account) -> Spoil:
    """Replaces shard 0's account."""
    return lambda world: world.with_shard(world.shards[0].with_account(0, account))


def with_channel(channel: Channel) -> Spoil:
    """Replaces shard 0's channel."""
    return lambda world: world.with_shard(world.shards[0].with_channel(channel))


CREDIT = Credit(0, 0, Act.PAY, 1, 1)
CASES: tuple[tuple[str, Spoil], ...] = (
    ("I2: 3 units are there, and 2 should be", with_account(Account(0, 4, 2))),
    ("I2: 1 units are there, and 2 should be", with_account(Account(0, 5))),
    ("I2: storage of 13 is there, and 12 should be", with_account(Account(0, 5, 1))),
    ("I2: 3 units are there, and 2 should be", with_channel(append(Channel(1), (CREDIT,), 0))),
    ("I2: 2 units are there, and 3 should be", noted(Note(Event.SENT, 1), Note(Event.DELIVERED, 1))),
    ("I3: shard 0's channel with shard 1 is broken", with_channel(Channel(1, broken=True))),
    ("I3: shard 1 took other chunks", with_channel(Channel(1, acked=1, acked_tip=7))),
    ("I4: credit 0 of transaction 0 was delivered 2 times", noted(SENT, DELIVERED, DELIVERED)),
    ("I4: credit 0 of transaction 0 came back 2 times", noted(SENT, REFUSED, RETURNED, RETURNED)),
    ("I4: credit 0 of transaction 0 was delivered and came back", noted(SENT, DELIVERED, RETURNED)),
    ("I4: credit 0 of transaction 0 ended twice", noted(SENT, REFUSED, RETURNED, ARRIVED)),
    ("I4: credit 0 of transaction 0 counts as delivered", noted(SENT, REFUSED, ARRIVED)),
    ("I7: credit 0 of transaction 0 was executed, and nobody", noted(DELIVERED)),
    ("I7: account 0 was opened with other keys", with_account(Account(9, 4, 1))),
    ("T8: 2 credits wait", with_channel(append(Channel(1), (CREDIT, CREDIT), 0))),
)


@pytest.mark.parametrize(("fault", "spoil"), CASES)
def test_wrong_fact_breaks_its_invariant(fault: str, spoil: Spoil) -> None:
    model = Conserved(NETWORK)
    assert model.broken(model.start()) is None
    spoiled = spoil(model.start())
    assert Conserved(NETWORK, fault).broken(spoiled) is not None, f"found instead: {model.broken(spoiled)}"


ENDS: tuple[tuple[str, Spoil], ...] = (
    ("I8: chunk 0 of shard 0 for shard 1 stays", with_channel(append(Channel(1), (), 0))),
    ("I8: shard 0 is never recovered", lambda world: world.with_shard(world.shards[0]._replace(lost=True))),
    ("I3: the channel of shards 0 and 1 is broken on one side", with_channel(Channel(1, broken=True))),
    ("I3: shards 0 and 1 contradict each other", with_channel(Channel(1, acked=1, acked_tip=7))),
)


@pytest.mark.parametrize(("fault", "spoil"), ENDS)
def test_open_matter_at_the_end_is_found(fault: str, spoil: Spoil) -> None:
    model = Conserved(NETWORK)
    assert model.unfinished(model.start()) is None
    spoiled = spoil(model.start())
    assert Conserved(NETWORK, fault).unfinished(spoiled) is not None, f"found instead: {model.unfinished(spoiled)}"
