"""A shard with more than f traitors makes value and stops itself, and can do nothing else (S7, S36, T11, T13).

Invariants: the captured shard says one chunk of any entries to one other shard, at any moment. It isn't root.
"""

import pytest
from networks import THREE, UNBORN, cross, net, opens, pay

from rustorium.sharding import disturbances, happenings
from rustorium.sharding.explore import explore
from rustorium.sharding.happenings import close, split
from rustorium.sharding.ledgers import Act, Answer, Credit, Result
from rustorium.sharding.network import Happening
from rustorium.sharding.vocabulary import Entry, Kind, Map, Outcome

REFUSED, USED = Result.REFUSED, Result.STORAGE_USED
OF_TRANSFERS = (
    (Answer(0, ((0, REFUSED),)),),
    (Answer(0, ((0, REFUSED),)),) * 2,
    (Answer(0, ((0, USED),)), Answer(0, ((0, REFUSED),))),
    (Answer(0, ((7, REFUSED),)),),
    (Answer(9, ((0, REFUSED),)),),
    (Credit(9, 0, Act.PAY, 0, 1), Credit(9, 0, Act.PAY, 1, 1), Credit(9, 0, Act.ISSUE, 3, 1)),
    (Credit(9, 0, Act.OPEN, 1, 2, keys=3),),
    (Credit(9, 0, Act.OPEN, 3, 2, keys=0),),
)
OWN_CREDITS = ("I4: credit 0 of transaction 1", "I4: credit 0 of transaction 2", "I7: account", "I7: credit 0 of t")
"""Faults that no captured shard may cause: those of credits between others, and of accounts that aren't its own."""
TWICE = tuple(f"I4: credit 0 of transaction 0 {fault}" for fault in ("came back", "ended twice"))
"""Of its own credits it may say what it likes, once."""


@pytest.mark.parametrize("says", OF_TRANSFERS, ids=str)
@pytest.mark.parametrize("took", [0, 1, 9])
def test_captured_shard_says_what_it_likes_of_transfers(says: tuple[Answer | Credit, ...], took: int) -> None:
    plan = [pay(0, 0, 2), pay(0, 1, 1), opens(1, 0, 3)]
    for other in (0, 1):
        lie = disturbances.captured(2, other, *says, took=took)
        report = explore(
            cross((0, 1, 2, 0), plan, [lie], OWN_CREDITS + TWICE, balance=2, missing=frozenset({3}), disturbed=True)()
        )
        assert report.fault is None, f"{says} to shard {other}: {report}"
        assert report.complete


OTHERS = ("I1", "I6", "I8: the map")
"""Faults that the captured shard may not cause. Its own channels may break."""
MAP = Map(9, (2, 2, 2, 2), (-1,) * 4, (5,) * 4)
OF_CHANGES = [
    *(Entry(Kind.ORDER, 5, order) for order in ((0, 0, 2, 1), (1, 0, 0, -1), (3, 0, -1, 7))),
    Entry(Kind.ORDER, 0, (2,)),
    Entry(Kind.MAP, map=MAP),
    Entry(Kind.ANSWER, 0, (Outcome.DONE, 0, 1, 0)),
    *(Entry(Kind.ANSWER, 0, (outcome,)) for outcome in (Outcome.REFUSED, Outcome.KEPT)),
]
CHANGES: dict[str, tuple[list[tuple[int, int]], list[Happening]]] = {
    "no order": (THREE, []),
    "a split": ([(0, 1), (1, 3), (3, 4), UNBORN], [split(1, 2, 3)]),
    "an end": (THREE, [close(1, 0)]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_captured_shard_says_what_it_likes_of_changes(case: str) -> None:
    ranges, events = CHANGES[case]
    for entry in OF_CHANGES:
        for other in (0, 1):
            lie = happenings.captured(2, other, entry)
            report = explore(net(ranges, [*events, lie], OTHERS, disturbed=True)())
            assert report.fault is None, f"{entry} to shard {other}: {report}"
            assert report.complete
