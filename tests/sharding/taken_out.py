"""Mends of the rules of shards that are taken out, one at a time: each flaw must be found, by the scenario beside it.

Invariants: a row changes one rule. With the rule in place the same scenario holds in all its states. The flaws are
those that a review of the design named (C, H, M), those that the model found (N, docs/adr/0064), and S20, without
which nothing works. `test_taken_out.py` plays the table.

Not in the table, since a model of agreed states can't express them:

- H11, M3, M4, M8, M11: costs in signatures, polls, bytes and disk. The model counts none of these.
- H12: which version a network of files is in. The rule is version 2's, and its own tests cover it.
- H14: what one fault ends in a process. Tests with real hosts cover it.
- M1: forwarding was taken out of the protocol. M13 and N3 show what must hold in its place (S38).
- M5: two wishes at one boundary. The model serves one at each boundary, so proposers and voters can't differ.
- M7: an entry that fits no chunk. Entries have no size here.
- M10: rows moved between stores, which cryptography refuses.
- M14, M16, M17, M19: an index, a client's belief, copies of followers and budgets of nodes. None is agreed state.
- M18: whether a leader that isn't filled makes empty blocks. That is inside one view of consensus.
- L2: which term record a node takes from a snapshot. The model has no snapshots.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import flawed
import pytest

from rustorium.sharding import atomic, channels, groups, happenings, network, nodes, terms
from rustorium.sharding.chains import Leaf, Shard
from rustorium.sharding.explore import Model
from rustorium.sharding.happenings import captured, close, copy, epoch, forged, halt, leak, lie, recall, restore, split
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Happening, Network
from rustorium.sharding.vocabulary import Entry, Group, Kind, Op, Transaction


@dataclass(frozen=True)
class TakenOut:
    """A flaw: what is taken out, and the scenario and the invariant that show it."""

    finding: str
    rule: str
    without: str
    """What the network does instead."""
    changes: tuple[tuple[Any, str, Any], ...]
    """Owner, attribute, replacement."""
    scenario: Callable[[], Model[Any]]
    breaks: str
    """How the fault begins."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Takes the mend out for as long as the context lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, attribute, now in self.changes:
                patch.setattr(owner, attribute, now)
            yield


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
    watched: str = "",
    **options: Any,
) -> Callable[[], Model[Any]]:
    """Returns a maker of a scenario."""
    return lambda: Checked(Network(ranges, plan, events, **options), watched)


UNBORN = (0, 0)
TWO = [(0, 1), (1, 2)]
THREE = [(0, 1), (1, 2), (2, 3)]
SPLIT = [(0, 1), (1, 3), UNBORN]


# ---- the table -------------------------------------------------------------------------------------------------------

TABLE: tuple[TakenOut, ...] = (
    TakenOut(
        "C1 split",
        "S47",
        "the first block of a term writes and answers, and nobody owes it",
        ((terms, "clock_is_due", flawed.never), (terms, "hear_term", flawed.nothing)),
        net(SPLIT, (), [split(1, 2, 2)]),
        "I8: ",
    ),
    TakenOut(
        "C1 dedicated root",
        "S47",
        "the first block of a term writes, and nobody owes it",
        ((terms, "clock_is_due", flawed.never),),
        net([(0, 3), UNBORN], (), [split(0, 1, 1)]),
        "I8: ",
    ),
    TakenOut(
        "C1 merge",
        "S55",
        "a frozen shard ends when somebody owes the claim of an empty boundary's root",
        ((terms, "frozen_end_is_due", flawed.never),),
        net(THREE, (), [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "C3",
        "S30",
        "a head of a lower height than one before is void",
        ((channels, "believes", flawed.younger_heads_only), (channels, "acknowledge", flawed.acknowledge_with_height)),
        net(
            TWO,
            [pay(1, 0, 0), pay(1, 1, 1), pay(1, 2, 1), pay(1, 3, 1), pay(1, 1, 0)],
            [copy(1), restore(1)],
            counts_heights=True,
            disturbed=True,
            balance=2,
        ),
        "I8: shard 1's DO",
    ),
    TakenOut(
        "C4",
        "S70",
        "a shard executes what any shard says in the name of any account",
        ((groups, "speaks_for", flawed.always),),
        net(THREE, [act(1, 0, (Op.PUT, 0))], [captured(2, 0, forged(1, 0))], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "C5 strangers",
        "S75",
        "class B locks what it requires of strangers",
        ((atomic, "may_write", flawed.always),),
        net(THREE, [act(1, 0, (Op.REQUIRE, 2), (Op.CREDIT, 0))]),
        "I7: transaction 0 locked",
    ),
    TakenOut(
        "C5 promises",
        "S77",
        "a credit counts in the receiver's limit when it is applied",
        ((atomic, "reserve", flawed.nothing),),
        net(THREE, [pay(1, 0, 0, 2), pay(2, 0, 0)], balance=2),
        "I5: transaction 0 was voted for",
    ),
    TakenOut(
        "C5 unknown",
        "S77",
        "a participant that voted no doesn't answer the decision",
        ((atomic, "take_decide", flawed.silent_if_unknown),),
        net(THREE, [pay(1, 0, 0, 2)], balance=3),
        "I8: transaction 0 is never decided",
    ),
    TakenOut(
        "H1",
        "S24",
        "a head acknowledges numbers",
        ((channels, "acknowledges", flawed.numbers_alone),),
        net(
            THREE,
            [pay(1, 0, 0), pay(1, 1, 0), pay(1, 0, 0, 2)],
            [restore(1, unasked=True)],
            watched="I3: an entry",
            disturbed=True,
            balance=2,
        ),
        "I3: an entry",
    ),
    TakenOut(
        "H2 keys",
        "S29",
        "keys of a peer are believed until its next term comes",
        ((channels, "believes", flawed.whoever_sat_once),),
        net(
            THREE, [pay(1, 0, 2)], [epoch(1), leak(1, 0), lie(1, 0, 2, Entry(Kind.DO, 0, detail=(0,)))], disturbed=True
        ),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H2 map",
        "S15",
        "the map names the committee that was ordered",
        ((terms, "named_epoch", flawed.ordered_epoch),),
        net(
            [(0, 1), (1, 2), (2, 4), UNBORN],
            [pay(1, 0, 3)],
            [split(2, 3, 3), happenings.refused(1, 3, Entry(Kind.DO, 0, detail=(0,)))],
            disturbed=True,
        ),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H6 instants",
        "S52",
        "each shard is restored as far as its own backup goes",
        ((happenings, "may_restore", flawed.always),),
        net(TWO, [pay(1, 0, 0)], [copy(1), copy(0), restore(0, 1)], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H6 birth",
        "S52",
        "a parent is restored to before a birth, and the child stays",
        ((happenings, "may_restore", flawed.always),),
        net(SPLIT, (), [split(1, 2, 2), copy(1), restore(1)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "H6 witnesses",
        "S53",
        "owners restore a shard and ask no peer",
        ((happenings, "may_restore", flawed.always),),
        net(TWO, [pay(1, 0, 0)], [copy(1), restore(1)], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H7",
        "S6",
        "an order that a dead shard doesn't answer counts forever",
        ((terms, "recall", flawed.recall_without_limit),),
        net(
            [(2, 3), (0, 2), (3, 5), UNBORN, UNBORN],
            (),
            [split(1, 1, 3), split(2, 4, 4), recall(1, fair=True)],
            asleep=frozenset({1}),
            dead=frozenset({1}),
        ),
        "I8: root orders shard 2",
    ),
    TakenOut(
        "H9",
        "S37",
        "channels stay when their peer has ended",
        ((Shard, "without_channel", flawed.keep_channel),),
        net(THREE, (), [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "H13 written",
        "S33",
        "entries are written in the sender's own version, and consumed unread",
        ((channels, "written_in", flawed.in_own_version), (network, "undecoded", flawed.consumed_unread)),
        net(TWO, [pay(1, 0, 0)], [happenings.upgrade(0)]),
        "I8: shard 1's DO",
    ),
    TakenOut(
        "M2",
        "S32",
        "a channel's limit counts chunks of anybody",
        ((groups, "is_full", flawed.full_by_chunks),),
        net([(0, 1), (1, 3)], [pay(1, 0, 0), pay(1, 1, 0), pay(2, 0, 0)], balance=2),
        "S32: transaction 2",
    ),
    TakenOut(
        "M6",
        "S42",
        "root doesn't compare a birth with the registry",
        ((terms, "compare_keys", flawed.nothing),),
        net(SPLIT, (), [split(1, 2, 2), happenings.replace_keys()]),
        "I8: shard 2 keeps a key",
    ),
    TakenOut(
        "M12",
        "S72",
        "a failed issue comes back",
        ((groups, "returned_groups", flawed.issues_too),),
        net(TWO, [act(1, 0, (Op.ISSUE, 0))], balance=3),
        "I2: ",
    ),
    TakenOut(
        "M13",
        "S38",
        "a write is sent again like a credit",
        ((groups, "may_go_on", flawed.any_group_again),),
        net(SPLIT, [act(0, 0, (Op.PUT, 2)), act(0, 1, (Op.PUT, 2))], [split(1, 2, 2)]),
        "I4: transaction 0's value replaced",
    ),
    TakenOut(
        "M15",
        "S69",
        "a local credit of a class A transaction is made at its start",
        ((groups, "credit_early", flawed.credits_at_once), (groups, "waiting_credits", flawed.none_waits)),
        net([(0, 1), (1, 3)], [pay(1, 0, 2, 0), pay(2, 0, 0)], balance=3),
        "I4: transaction 0 was executed and came back",
    ),
    TakenOut(
        "S20",
        "S20",
        "the parent keeps the accounts that it gave away",
        ((terms, "left_with_parent", flawed.leaf_in_both),),
        net(SPLIT, (), [split(1, 2, 2)]),
        "I1: account 2",
    ),
    TakenOut(
        "N1",
        "S95",
        "a delivery always has a chunk",
        ((terms, "head_alone_is_due", flawed.never),),
        net(THREE, [pay(0, 0, 2)], [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "N2",
        "S94",
        "a shard that has drained takes chunks until its boundary",
        ((terms, "may_claim", flawed.claim_of_what_is), (terms, "takes_chunks", flawed.until_the_boundary)),
        net(THREE, [pay(0, 0, 2)], [close(2, 1)]),
        "I2: transaction 0",
    ),
    TakenOut(
        "N3",
        "S50",
        "a refund for an account that moved on is answered like a request",
        ((groups, "take_refund", flawed.dropped_refund),),
        net([(0, 1), (1, 4), UNBORN, UNBORN], [pay(3, 0, 0)], [split(1, 2, 2), split(2, 3, 3)], balance=3),
        "I2: transaction 0",
    ),
    TakenOut(
        "N4",
        "S5",
        "a map replaces what a shard knows of its own last boundary",
        ((groups, "route", flawed.by_the_map_alone),),
        net(SPLIT, [pay(2, 0, 0)], [split(1, 2, 2)], balance=3),
        "I8: ",
    ),
    TakenOut(
        "N5",
        "S94",
        "an order can be recalled until its boundary is final",
        ((terms, "may_keep", flawed.always),),
        net(SPLIT, (), [split(1, 2, 2), recall(1)]),
        "I6: change 0",
    ),
    TakenOut(
        "N6",
        "S72",
        "value that comes back is added above the greatest balance",
        ((Leaf, "with_unit_back", flawed.above_the_limit),),
        net(THREE, [pay(1, 0, 0, 2), pay(0, 0, 2), pay(2, 0, 1)], balance=3),
        "I5: transaction 0",
    ),
    TakenOut(
        "N7",
        "S97",
        "root tells the map only when a range changes",
        ((terms, "name_anew", flawed.nothing),),
        net(THREE, [pay(1, 0, 2)], [epoch(1), leak(1, 0)]),
        "I8: shard 1's DO",
    ),
    TakenOut(
        "N8",
        "S96",
        "root learns of a birth by its parent's answer alone",
        ((terms, "hear_term", flawed.nothing),),
        net([(0, 1), (1, 3), UNBORN], (), [split(1, 2, 2), halt(1)], dead=frozenset({1})),
        "I8: shard 2 never",
    ),
    TakenOut(
        "N10",
        "S98",
        "a coordinator waits for a participant that ended",
        ((atomic, "waits_for", flawed.never),),
        net(THREE, [pay(1, 0, 0, 2)], [close(2, 1)], balance=2),
        "I8: change 0",
    ),
    TakenOut(
        "C2",
        "S28",
        "a host takes deliveries from others",
        ((nodes, "takes_forwarded", flawed.always),),
        nodes.Slots,
        "I8: chunk 0",
    ),
    TakenOut(
        "H3",
        "S25",
        "a member signs its newest executed height",
        ((nodes, "heights_to_sign", flawed.newest_height),),
        nodes.Stamping,
        "I8: height",
    ),
    TakenOut(
        "H4",
        "S27",
        "deliveries need a place in the pool",
        ((nodes, "has_room", flawed.never),),
        nodes.Slots,
        "I8: chunk 0",
    ),
    TakenOut(
        "H5",
        "S46",
        "each birth makes a journal",
        ((nodes, "may_be_born", flawed.always),),
        nodes.Births,
        "I7: a key that voted",
    ),
    TakenOut(
        "H8 cache",
        "S56",
        "caches outlive a change of the charter",
        ((nodes, "cache_after", bool),),
        nodes.Absorbing,
        "I1: after the boundary the node reads the old",
    ),
    TakenOut(
        "H8 marker",
        "S56",
        "the absorbing boundary is executed without a whole copy",
        ((nodes, "may_execute", flawed.always),),
        nodes.Absorbing,
        "I1: after the boundary the node reads the none",
    ),
    TakenOut(
        "H10",
        "S84",
        "silence means that nothing changed",
        ((nodes, "believed", flawed.last_report),),
        nodes.Reporting,
        "I8: an idle shard",
    ),
    TakenOut(
        "M9",
        "S44",
        "the copy isn't checked before the rename",
        ((nodes, "is_whole", flawed.always),),
        nodes.Births,
        "I7: B opens",
    ),
    TakenOut(
        "N9",
        "S46",
        "a shard is named before its journal is made",
        ((nodes, "names_before_journal", flawed.always),),
        nodes.Births,
        "I8: a crash",
    ),
)
"""All flaws, in the order of the review."""
