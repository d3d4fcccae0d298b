"""The flaws of the rules of shards: which mends are switched off for each, and the scenario that must find it.

Invariants: with all mends on, the same scenario holds in all its states. The flaws are those that a review of the
design named (C, H, M), those that the model found (N, docs/adr/0064), and S20, without which nothing works.
`test_taken_out.py` plays the table, and compares it with the one in docs/spec/shards.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mends import Mend
from networks import SPLIT, THREE, TWO, UNBORN, act, net, pay

from rustorium.sharding import happenings, nodes
from rustorium.sharding.explore import Model
from rustorium.sharding.happenings import (
    captured,
    close,
    epoch,
    forged,
    grow_old,
    halt,
    leak,
    lie,
    recall,
    remember,
    split,
)
from rustorium.sharding.restores import copy, drop, make_void, recover, restore
from rustorium.sharding.vocabulary import Entry, Kind, Op, Outcome


@dataclass(frozen=True)
class TakenOut:
    """A flaw: the mends that are switched off, and the scenario and the invariant that show it."""

    finding: str
    mends: tuple[Mend, ...]
    """The first one is the flaw's own; others would hide it."""
    without: str
    """What the network does instead."""
    scenario: Callable[[], Model[Any]]
    breaks: str
    """How the fault begins."""


# ---- the table -------------------------------------------------------------------------------------------------------

TABLE: tuple[TakenOut, ...] = (
    TakenOut(
        "C1 split",
        (
            Mend.TERM_WRITES_ARE_DUE,
            Mend.TERMS_ANSWER,
        ),
        "the first block of a term writes and answers, and nobody owes it",
        net(SPLIT, (), [split(1, 2, 2)]),
        "I8: ",
    ),
    TakenOut(
        "C1 dedicated root",
        (Mend.TERM_WRITES_ARE_DUE,),
        "the first block of a term writes, and nobody owes it",
        net([(0, 3), UNBORN], (), [split(0, 1, 1)]),
        "I8: ",
    ),
    TakenOut(
        "C1 merge",
        (Mend.FROZEN_END,),
        "a frozen shard ends when somebody owes the claim of an empty boundary's root",
        net(THREE, (), [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "C3",
        (Mend.HEIGHTS_NOT_COMPARED,),
        "a head of a lower height than one before is void",
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
        (Mend.SENDER_IS_THE_PEERS,),
        "a shard executes what any shard says in the name of any account",
        net(THREE, [act(1, 0, (Op.PUT, 0))], [captured(2, 0, forged(1, 0))], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "C4 class B",
        (Mend.SENDER_OF_A_PREPARE,),
        "a shard votes for what any shard says in the name of any account",
        net(
            THREE,
            [act(1, 0, (Op.PUT, 0))],
            [
                captured(2, 0, Entry(Kind.PREPARE, 0, detail=(0,))),
                captured(2, 0, Entry(Kind.DECIDE, 0, detail=(1,))),
            ],
            watched="I7: ",
            disturbed=True,
        ),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "C5 strangers",
        (Mend.OWN_LEAVES_ONLY,),
        "class B locks what it requires of strangers",
        net(THREE, [act(1, 0, (Op.REQUIRE, 2), (Op.CREDIT, 0))]),
        "I7: transaction 0 locked",
    ),
    TakenOut(
        "C5 promises",
        (Mend.ROOM_IS_RESERVED,),
        "a credit counts in the receiver's limit when it is applied",
        net(THREE, [pay(1, 0, 0, 2), pay(2, 0, 0)], balance=2),
        "I5: transaction 0 was voted for",
    ),
    TakenOut(
        "C5 unknown",
        (Mend.UNKNOWN_IS_FINISHED,),
        "a participant that voted no doesn't answer the decision",
        net(THREE, [pay(1, 0, 0, 2)], balance=3),
        "I8: transaction 0 is never decided",
    ),
    TakenOut(
        "H1",
        (Mend.HEADS_HAVE_TIPS,),
        "a head acknowledges numbers",
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
        (Mend.KEYS_EXPIRE,),
        "keys of a peer are believed until its next term comes",
        net(
            THREE, [pay(1, 0, 2)], [epoch(1), leak(1, 0), lie(1, 0, 2, Entry(Kind.DO, 0, detail=(0,)))], disturbed=True
        ),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H2 map",
        (Mend.MAP_NAMES_IN_FORCE,),
        "the map names the committee that was ordered",
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
        (Mend.RESTORED_TOGETHER,),
        "each shard is restored as far as its own backup goes",
        net(TWO, [pay(1, 0, 0)], [copy(1), copy(0), restore(0, 1)], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H6 birth",
        (Mend.ONE_OWNER_AFTER_RESTORE,),
        "a parent is restored to before a birth, and the child stays",
        net(SPLIT, (), [split(1, 2, 2), copy(1), restore(1)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "H6 witnesses",
        (Mend.PEERS_ARE_ASKED,),
        "owners restore a shard and ask no peer",
        net(TWO, [pay(1, 0, 0)], [copy(1), restore(1)], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "H7",
        (Mend.OVERDUE_ORDERS_STEP_ASIDE,),
        "an order that a dead shard doesn't answer counts forever",
        net(
            [(2, 3), (0, 2), (3, 5), UNBORN, UNBORN],
            (),
            [split(1, 1, 3), split(2, 4, 4), recall(1, fair=True)],
            asleep=frozenset({1}),
            dead=frozenset({1}),
            changes_max=1,
        ),
        "I8: root orders shard 2",
    ),
    TakenOut(
        "H9",
        (Mend.CHANNELS_END,),
        "channels stay when their peer has ended",
        net(THREE, (), [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "H13 written",
        (Mend.OLDER_VERSION,),
        "entries are written in the sender's own version, and consumed unread",
        net(TWO, [pay(1, 0, 0)], [happenings.upgrade(0)]),
        "I8: shard 1's DO",
    ),
    TakenOut(
        "M2",
        (Mend.CREDIT_PER_SENDER,),
        "a channel's limit counts chunks of anybody",
        net([(0, 1), (1, 3)], [pay(1, 0, 0), pay(1, 1, 0), pay(2, 0, 0)], balance=2),
        "S32: transaction 2",
    ),
    TakenOut(
        "M6",
        (Mend.KEYS_OF_BIRTHS_COMPARED,),
        "root doesn't compare a birth with the registry",
        net(SPLIT, (), [split(1, 2, 2), happenings.replace_keys()]),
        "I8: shard 2 keeps a key",
    ),
    TakenOut(
        "M12",
        (Mend.ISSUES_ARE_DESTROYED,),
        "a failed issue comes back",
        net(TWO, [act(1, 0, (Op.ISSUE, 0))], balance=3),
        "I2: ",
    ),
    TakenOut(
        "M13",
        (Mend.CREDITS_ALONE_GO_ON,),
        "a write is sent again like a credit",
        net(SPLIT, [act(0, 0, (Op.PUT, 2)), act(0, 1, (Op.PUT, 2))], [split(1, 2, 2)]),
        "I4: transaction 0's value replaced",
    ),
    TakenOut(
        "M15",
        (Mend.LOCAL_CREDITS_WAIT,),
        "a local credit of a class A transaction is made at its start",
        net([(0, 1), (1, 3)], [pay(1, 0, 2, 0), pay(2, 0, 0)], balance=3),
        "I4: transaction 0 was executed and came back",
    ),
    TakenOut(
        "S20",
        (Mend.LEAVES_MOVE,),
        "the parent keeps the accounts that it gave away",
        net(SPLIT, (), [split(1, 2, 2)]),
        "I1: account 2",
    ),
    TakenOut(
        "S36",
        (Mend.OWN_ANSWERS_ONLY,),
        "a captured shard answers an order of another one",
        net(
            [(0, 1), (1, 3), (3, 4), UNBORN],
            (),
            [split(1, 2, 3), captured(2, 0, Entry(Kind.ANSWER, 0, detail=(Outcome.REFUSED,)))],
            watched="I8: the map",
            disturbed=True,
        ),
        "I8: the map",
    ),
    TakenOut(
        "S79",
        (Mend.VOTES_THAT_WERE_ASKED,),
        "a captured shard votes though nobody asked it",
        net(
            THREE,
            [act(1, 0, (Op.PUT, 1), (Op.CREDIT, 0))],
            [captured(2, 1, Entry(Kind.VOTE, 0, detail=(0,)))],
            watched="I7: ",
            disturbed=True,
        ),
        "I7: transaction 0 was decided",
    ),
    TakenOut(
        "S81",
        (Mend.COORDINATORS_DECIDE,),
        "a captured shard decides a transaction of another one",
        net(
            THREE,
            [act(1, 0, (Op.PUT, 1), (Op.CREDIT, 0))],
            [captured(2, 0, Entry(Kind.DECIDE, 0, detail=(0,)))],
            watched="I5: ",
            disturbed=True,
        ),
        "I5: transaction 0 is committed",
    ),
    TakenOut(
        "N1",
        (Mend.HEADS_ALONE,),
        "a delivery always has a chunk",
        net(THREE, [pay(0, 0, 2)], [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "N2",
        (Mend.SEALED_ENDS_TAKE_NOTHING,),
        "a shard that has drained takes chunks until its boundary",
        net(THREE, [pay(0, 0, 2)], [close(2, 1)]),
        "I2: transaction 0",
    ),
    TakenOut(
        "N3",
        (Mend.REFUNDS_ARE_PASSED_ON,),
        "a refund for an account that moved on is answered like a request",
        net([(0, 1), (1, 4), UNBORN, UNBORN], [pay(3, 0, 0)], [split(1, 2, 2), split(2, 3, 3)], balance=3),
        "I2: transaction 0",
    ),
    TakenOut(
        "N4",
        (Mend.OWN_BOUNDARY_FIRST,),
        "a map replaces what a shard knows of its own last boundary",
        net(SPLIT, [pay(2, 0, 0)], [split(1, 2, 2)], balance=3),
        "I8: ",
    ),
    TakenOut(
        "N5",
        (Mend.SEALED_ORDERS_STAY,),
        "an order can be recalled until its boundary is final",
        net(SPLIT, (), [split(1, 2, 2), recall(1)]),
        "I6: change 0",
    ),
    TakenOut(
        "N6",
        (Mend.KEPT_BESIDE,),
        "value that comes back is added above the greatest balance",
        net(THREE, [pay(1, 0, 0, 2), pay(0, 0, 2), pay(2, 0, 1)], balance=3),
        "I5: transaction 0",
    ),
    TakenOut(
        "N7",
        (Mend.MAP_BY_THE_CLOCK,),
        "root tells the map only when a range changes",
        net(THREE, [pay(1, 0, 2)], [epoch(1), leak(1, 0)]),
        "I8: shard 1's DO",
    ),
    TakenOut(
        "N8",
        (Mend.TERMS_ANSWER,),
        "root learns of a birth by its parent's answer alone",
        net([(0, 1), (1, 3), UNBORN], (), [split(1, 2, 2), halt(1)], dead=frozenset({1})),
        "I8: shard 2 never",
    ),
    TakenOut(
        "N10",
        (Mend.ENDED_PARTICIPANTS,),
        "a coordinator waits for a participant that ended",
        net(THREE, [pay(1, 0, 0, 2)], [close(2, 1)], balance=2),
        "I8: change 0",
    ),
    TakenOut(
        "N11",
        (Mend.STORES_OUTLIVE_BACKUPS,),
        "a store is dropped as soon as its heir has absorbed it",
        net(THREE, (), [close(2, 1), copy(1), drop(2), restore(1)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "N12",
        (Mend.KNOWN_ENDS_STAY,),
        "a shard is restored to before its end while its heir is about to absorb it",
        net(THREE, (), [close(2, 1), copy(2), restore(2)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "N13",
        (Mend.VOID_EPOCHS,),
        "stamps under way count while owners recover a shard",
        net(TWO, [pay(1, 0, 0)], [copy(1), remember(1, 0), make_void(1), recover(1)], disturbed=True),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "N14",
        (Mend.LINEAGE_ENDS,),
        "a parent speaks forever for the accounts that it gave away",
        net(
            SPLIT,
            [act(2, 0, (Op.PUT, 0))],
            [split(1, 2, 2), grow_old(1), captured(1, 0, forged(2, 0), late=True)],
            watched="I7: ",
            disturbed=True,
        ),
        "I7: transaction 0 was executed",
    ),
    TakenOut(
        "C2",
        (Mend.OWN_COURIER_ONLY,),
        "a host takes deliveries from others",
        nodes.Slots,
        "I8: chunk 0",
    ),
    TakenOut(
        "H3",
        (Mend.EACH_HEIGHT_IS_STAMPED,),
        "a member signs its newest executed height",
        nodes.Stamping,
        "I8: height",
    ),
    TakenOut(
        "H4",
        (Mend.SLOTS_OUTSIDE_THE_POOL,),
        "deliveries need a place in the pool",
        nodes.Slots,
        "I8: chunk 0",
    ),
    TakenOut(
        "H5",
        (Mend.BORN_ONCE,),
        "each birth makes a journal",
        nodes.Births,
        "I7: a key that voted",
    ),
    TakenOut(
        "H8 cache",
        (Mend.CACHES_ARE_EMPTIED,),
        "caches outlive a change of the charter",
        nodes.Absorbing,
        "I1: after the boundary the node reads the old",
    ),
    TakenOut(
        "H8 marker",
        (Mend.COPIES_HAVE_MARKERS,),
        "the absorbing boundary is executed without a whole copy",
        nodes.Absorbing,
        "I1: after the boundary the node reads the none",
    ),
    TakenOut(
        "H10",
        (Mend.SILENCE_IS_ZERO,),
        "silence means that nothing changed",
        nodes.Reporting,
        "I8: an idle shard",
    ),
    TakenOut(
        "M9",
        (Mend.COPIES_ARE_CHECKED,),
        "the copy isn't checked before the rename",
        nodes.Births,
        "I7: B opens",
    ),
    TakenOut(
        "N9",
        (Mend.NAMED_AFTER_THE_RENAME,),
        "a shard is named before its journal is made",
        nodes.Births,
        "I8: a crash",
    ),
)
"""All flaws, in the order of the review."""

UNSEEN: dict[str, str] = {
    "H11": "costs of a transfer in signatures (S26, S27): the model counts none",
    "H12": "activation by files (S91): which version a network is in isn't in the model; its own tests cover it",
    "H14": "what one fault ends in a process (S10): tests with real hosts cover it",
    "M1": "forwarding is no rule any more (S38); M13 and N3 show what holds in its place",
    "M3": "costs of polls and links (S13, S26): the model counts none",
    "M4": "sizes of births and maps (S37, S42): the model counts no bytes",
    "M5": "two wishes at one boundary (S4): the model serves one at each, so proposers and voters can't differ",
    "M7": "entries that fit no chunk (S23): entries have no size here",
    "M8": "bytes of the load record (S83): the model counts none",
    "M10": "rows that are moved between stores (S11): cryptography refuses them",
    "M11": "compaction of archives (S51): the model has no disk for it",
    "M14": "the index of ends (S73): it is each node's own, not agreed state",
    "M16": "a map version that nobody proved (S17): that is a client's belief",
    "M17": "copies of followers (S45): followers agree on nothing",
    "M18": "a leader that isn't filled (S56): that is inside one view of consensus",
    "M19": "budgets of nodes for strangers' transactions (S19): each node's own",
    "L2": "which term record a node takes from a snapshot (S52): the model has no snapshots",
}
"""Findings that a model of agreed states can't show, each with the reason."""
