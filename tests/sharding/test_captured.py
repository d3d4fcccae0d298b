"""A shard with more than f traitors makes value and stops itself, and can do nothing else (S7, S36, S70, S81).

Invariants: the captured shard says one entry of any kind to one other shard, at any moment. It isn't root.
"""

from collections.abc import Sequence

import pytest
from networks import THREE, UNBORN, act, net, pay

from rustorium.sharding.explore import explore
from rustorium.sharding.happenings import captured, close, split
from rustorium.sharding.network import Happening
from rustorium.sharding.vocabulary import Entry, Kind, Map, Op, Outcome, Transaction

OTHERS = ("I1", "I3: an entry", "I4", "I5", "I6", "I7", "I8: the map", "I9")
"""Faults that the captured shard may not cause. It may make value (I2), and its own channels may break."""
MAP = Map(9, (2, 2, 2, 2), (-1,) * 4, (0,) * 4, (5,) * 4, (-1,) * 4)
DECIDED = [Entry(kind, 0, 0, detail=(outcome,)) for kind in (Kind.VOTE, Kind.DECIDE) for outcome in (0, 1)]
OF_TRANSACTIONS = [
    *DECIDED,
    *(Entry(Kind.DO, 0, detail=(group,)) for group in (0, 1)),
    *(Entry(Kind.PREPARE, 0, detail=(group,)) for group in (0, 1)),
    *(Entry(Kind.FAILED, 0, 0, detail=(code,)) for code in (0, 1, 2)),
    Entry(Kind.DONE, 0, 0),
    Entry(Kind.FINISHED, 0),
]
OF_CHANGES = [
    *(Entry(Kind.ORDER, 5, detail=order) for order in ((0, 0, 2, 1), (1, 0, 0, -1), (3, 0, -1, 7))),
    Entry(Kind.ORDER, 0, detail=(2,)),
    Entry(Kind.MAP, map=MAP),
    Entry(Kind.ANSWER, 0, 0, detail=(Outcome.DONE, 0, 1, 0)),
    *(Entry(Kind.ANSWER, 0, 0, detail=(outcome,)) for outcome in (Outcome.REFUSED, Outcome.KEPT)),
    Entry(Kind.ACK, ref=0),
]
PAYS_BOTH = act(1, 0, (Op.CREDIT, 1), (Op.CREDIT, 0))
Ranges = Sequence[tuple[int, int]]
CASES: dict[str, tuple[Ranges, list[Transaction], list[Happening], list[Entry]]] = {
    "class A": (THREE, [PAYS_BOTH], [], OF_TRANSACTIONS),
    "class B": (THREE, [act(1, 0, (Op.PUT, 1), (Op.CREDIT, 0))], [], OF_TRANSACTIONS),
    "a payment, and no order": (THREE, [pay(1, 0, 0)], [], OF_CHANGES),
    "a split": ([(0, 1), (1, 3), (3, 4), UNBORN], [], [split(1, 2, 3)], OF_CHANGES),
    "an end": (THREE, [], [close(1, 0)], OF_CHANGES),
}


@pytest.mark.parametrize("case", CASES)
def test_captured_shard_says_what_it_likes(case: str) -> None:
    ranges, plan, happenings, says = CASES[case]
    for entry in says:
        for other in (0, 1):
            report = explore(net(ranges, plan, [*happenings, captured(2, other, entry)], OTHERS, disturbed=True)())
            assert report.fault is None, f"{entry} to shard {other}: {report}"
            assert report.complete
