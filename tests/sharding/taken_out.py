"""The flaws of the rules of shards: those of transfers, of terms and orders, and of single nodes.

Invariants: with all rules on, the same scenario holds in all its states. The flaws C, H and M were named by a review,
the flaws N were found by the model. `test_taken_out.py` plays the table, and compares it with docs/spec/shards.md.
"""

from mends import Mend, TakenOut
from networks import SPLIT, THREE, UNBORN, net
from transfer_flaws import TRANSFER_FLAWS

from rustorium.sharding import nodes
from rustorium.sharding.happenings import captured, close, halt, recall, replace_keys, split
from rustorium.sharding.restores import copy, drop, restore
from rustorium.sharding.vocabulary import Entry, Kind, Outcome

ORDER_FLAWS: tuple[TakenOut, ...] = (
    TakenOut(
        "C1 split",
        (Mend.TERM_WRITES_ARE_DUE, Mend.TERMS_ANSWER),
        "the first block of a term writes and answers, and nobody owes it",
        net(SPLIT, [split(1, 2, 2)]),
        "I8: ",
    ),
    TakenOut(
        "C1 dedicated root",
        (Mend.TERM_WRITES_ARE_DUE,),
        "the first block of a term writes, and nobody owes it",
        net([(0, 3), UNBORN], [split(0, 1, 1)]),
        "I8: ",
    ),
    TakenOut(
        "C1 merge",
        (Mend.FROZEN_END,),
        "a frozen shard ends when somebody owes the claim of an empty boundary's root",
        net(THREE, [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "H6 birth",
        (Mend.ONE_OWNER_AFTER_RESTORE,),
        "a parent is restored to before a birth, and the child stays",
        net(SPLIT, [split(1, 2, 2), copy(1), restore(1)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "H7",
        (Mend.OVERDUE_ORDERS_STEP_ASIDE,),
        "an order that a dead shard doesn't answer counts forever",
        net(
            [(2, 3), (0, 2), (3, 5), UNBORN, UNBORN],
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
        net(THREE, [close(2, 1)]),
        "I8: ",
    ),
    TakenOut(
        "M6",
        (Mend.KEYS_OF_BIRTHS_COMPARED,),
        "root doesn't compare a birth with the registry",
        net(SPLIT, [split(1, 2, 2), replace_keys()]),
        "I8: shard 2 keeps a key",
    ),
    TakenOut(
        "S20",
        (Mend.LEAVES_MOVE,),
        "the parent keeps the accounts that it gave away",
        net(SPLIT, [split(1, 2, 2)]),
        "I1: account 2",
    ),
    TakenOut(
        "S36",
        (Mend.OWN_ANSWERS_ONLY,),
        "a captured shard answers an order of another one",
        net(
            [(0, 1), (1, 3), (3, 4), UNBORN],
            [split(1, 2, 3), captured(2, 0, Entry(Kind.ANSWER, 0, (Outcome.REFUSED,)))],
            "I8: the map",
            disturbed=True,
        ),
        "I8: the map",
    ),
    TakenOut(
        "N5",
        (Mend.SEALED_ORDERS_STAY,),
        "an order can be recalled until its boundary is final",
        net(SPLIT, [split(1, 2, 2), recall(1)]),
        "I6: change 0",
    ),
    TakenOut(
        "N8",
        (Mend.TERMS_ANSWER,),
        "root learns of a birth by its parent's answer alone",
        net(SPLIT, [split(1, 2, 2), halt(1)], dead=frozenset({1})),
        "I8: shard 2 never",
    ),
    TakenOut(
        "N11",
        (Mend.STORES_OUTLIVE_BACKUPS,),
        "a store is dropped as soon as its heir has absorbed it",
        net(THREE, [close(2, 1), copy(1), drop(2), restore(1)], disturbed=True),
        "I1: account 2",
    ),
    TakenOut(
        "N12",
        (Mend.KNOWN_ENDS_STAY,),
        "a shard is restored to before its end while its heir is about to absorb it",
        net(THREE, [close(2, 1), copy(2), restore(2)], disturbed=True),
        "I1: account 2",
    ),
)
NODE_FLAWS: tuple[TakenOut, ...] = (
    TakenOut(
        "C2",
        (Mend.COURIERS_CHECK,),
        "a courier keeps what somebody sends it",
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
        (Mend.ROOM_FOR_DELIVERIES,),
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
TABLE = (*TRANSFER_FLAWS, *ORDER_FLAWS, *NODE_FLAWS)
