"""The flaws of transfers: which rule is switched off for each, and the scenario that must find it.

Invariants: with all rules on, the same scenario holds in all its states.
"""

from mends import Mend, TakenOut
from networks import cross, issue, opens, pay

from rustorium.sharding.disturbances import (
    captured,
    copy,
    epoch,
    garbage,
    keep,
    leak,
    lie,
    pause_account,
    recover,
    restore,
    stop,
    stop_again,
    upgrade,
)
from rustorium.sharding.ledgers import Act, Answer, Credit, Limits, Result

FORGED = Credit(9, 0, Act.PAY, 1, 1)
"""A credit that no transaction of a scenario makes."""
OTHER_KEYS = Credit(0, 0, Act.OPEN, 2, 2, keys=3)
RECOVERY = (copy(0), epoch(0), keep(0, 1), stop(0), stop_again(0), recover(0))

TRANSFER_FLAWS: tuple[TakenOut, ...] = (
    TakenOut(
        "failed entries",
        (Mend.ENTRIES_ARE_TAKEN_BACK,),
        "a failed transaction keeps its entries",
        cross((0, 1), [pay(0, 0, 1, 1)]),
        "I2: ",
    ),
    TakenOut(
        "full both ways",
        (Mend.ANSWERS_ARE_UNLIMITED,),
        "a shard whose channel is full takes nothing that it may have to answer",
        cross((0, 1), [pay(0, 0, 1), pay(1, 0, 0)], limits=Limits(open_max=1)),
        "I8: ",
    ),
    TakenOut(
        "old keys",
        (Mend.KEYS_EXPIRE,),
        "keys of a peer are believed until its next term comes",
        cross((0, 1), [], [epoch(0), leak(0, 0), lie(0, 0, 1, FORGED)], disturbed=True),
        "I2: ",
    ),
    TakenOut(
        "stamp of the epoch before",
        (Mend.STAMPS_OF_THE_KNOWN_TERM,),
        "stamps of earlier committees count",
        cross((0, 1), [], [epoch(0), leak(0, 0), lie(0, 0, 1, FORGED)], disturbed=True),
        "I2: ",
    ),
    TakenOut(
        "head of another channel",
        (Mend.HEADS_NAME_THEIR_CHANNEL,),
        "a head counts in any channel of its shard",
        cross((0, 1, 2), [pay(0, 0, 1)], [keep(0, 1, 2)]),
        "I3: ",
    ),
    TakenOut(
        "wrong chunk",
        (Mend.TIPS_ARE_COMPARED,),
        "the numbers of chunks are compared, and not their tips",
        cross((0, 1), [pay(0, 0, 1)], [garbage(0, 1, FORGED)]),
        "I2: ",
    ),
    TakenOut(
        "replay",
        (Mend.CURSORS_MOVE,),
        "the cursor stays where it was",
        cross((0, 1), [pay(0, 0, 1)]),
        "I2: ",
    ),
    TakenOut(
        "other keys",
        (Mend.IDS_ARE_COMPUTED,),
        "a new account gets the id that the entry names",
        cross((0, 1, 1, 1), [], [captured(0, 1, OTHER_KEYS)], "I7: account", missing=frozenset({2, 3}), disturbed=True),
        "I7: account 2 was opened",
    ),
    TakenOut(
        "used storage",
        (Mend.USED_STORAGE_STAYS,),
        "all storage comes back, also what a new leaf took",
        cross((0, 1, 1), [opens(0, 0, 2)], missing=frozenset({2})),
        "I2: storage",
    ),
    TakenOut(
        "M12",
        (Mend.ISSUES_ARE_DESTROYED,),
        "a refused issue comes back",
        cross((0, 1), [issue(0, 0, 1)], [pause_account(1)]),
        "I2: ",
    ),
    TakenOut(
        "second answer",
        (Mend.ONE_ANSWER,),
        "an answer settles a chunk that another answer has settled",
        cross(
            (0, 1),
            [pay(0, 0, 1)],
            [captured(1, 0, *[Answer(0, ((0, Result.REFUSED),))] * 2)],
            ("I4: credit 0 of transaction 0 came back",),
            disturbed=True,
        ),
        "I4: credit 0 of transaction 0 came back",
    ),
    TakenOut(
        "H1",
        (Mend.HEADS_HAVE_TIPS,),
        "a head acknowledges numbers",
        cross(
            (0, 1),
            [pay(0, 0, 1), pay(0, 0, 1, 1), pay(0, 1, 1)],
            [copy(0), restore(0, unasked=True)],
            "I4: credit 0 of transaction 1 counts",
            balance=3,
            disturbed=True,
        ),
        "I4: credit 0 of transaction 1 counts as delivered and wasn't",
    ),
    TakenOut(
        "silent contradiction",
        (Mend.CONTRADICTIONS_BREAK,),
        "a contradiction is skipped",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), restore(0, unasked=True)], "I3: ", disturbed=True),
        "I3: ",
    ),
    TakenOut(
        "broken by a leader",
        (Mend.LEADERS_BREAK_NOTHING,),
        "a wrong chunk under a true head breaks the channel",
        cross((0, 1), [pay(0, 0, 1)], [garbage(0, 1, FORGED)]),
        "I3: ",
    ),
    TakenOut(
        "acknowledged before the answer",
        (Mend.ANSWERS_COME_FIRST,),
        "an acknowledgement settles at once all that the peer took",
        cross((0, 1), [pay(0, 0, 1)], [pause_account(1)]),
        "I4: credit 0 of transaction 0 counts as delivered and wasn't",
    ),
    TakenOut(
        "N15",
        (Mend.TOOK_COVERS_ANSWERS,),
        "each chunk of a block says that all chunks that the block took are answered",
        cross(
            (0, 1),
            [pay(0, 0, 1), pay(0, 1, 1)],
            [pause_account(1)],
            balance=2,
            limits=Limits(chunk_max=1),
        ),
        "I4: credit 0 of transaction 1 counts as delivered and wasn't",
    ),
    TakenOut(
        "terms of long ago",
        (Mend.TERMS_OF_ANY_AGE,),
        "a term is taken only while the keys that it is checked with are current",
        cross((0, 1), [pay(0, 0, 1)], [epoch(0), leak(0, 0)]),
        "I8: ",
    ),
    TakenOut(
        "N1",
        (Mend.HEADS_COME_ALONE,),
        "a delivery always has a chunk",
        cross((0, 1), [pay(0, 0, 1)]),
        "I8: ",
    ),
    TakenOut(
        "H6 instants",
        (Mend.RESTORED_TOGETHER,),
        "each shard is restored as far as its own backup goes",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), copy(1), restore(0, 1)]),
        "I7: ",
    ),
    TakenOut(
        "H6 witnesses",
        (Mend.PEERS_ARE_ASKED,),
        "owners restore a shard and ask no peer",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), restore(0)]),
        "I7: ",
    ),
    TakenOut(
        "restore to before a term",
        (Mend.TERMS_ARE_COMPARED,),
        "owners compare cursors, and not terms",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), epoch(0), restore(0)]),
        "I8: ",
    ),
    TakenOut(
        "N13",
        (Mend.STAMPS_ARE_STOPPED,),
        "stamps under way count while owners recover a shard",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), keep(0, 1), stop(0), recover(0)]),
        "I7: ",
    ),
    TakenOut(
        "N16",
        (Mend.TERMS_ARE_STOPPED,),
        "a term of the lost time line is taken after the stop",
        cross((0, 1), [pay(0, 0, 1)], RECOVERY),
        "I8: ",
    ),
    TakenOut(
        "N17",
        (Mend.BASE_OF_THE_STOPPED_EPOCH,),
        "owners stop the newest epoch, and choose a base of an earlier one",
        cross((0, 1), [pay(0, 0, 1)], [copy(0), epoch(0), keep(0, 1), stop(0, newest=True), recover(0)]),
        "I8: ",
    ),
    TakenOut(
        "N18",
        (Mend.RESTORED_STOP_EACH_OTHER,),
        "stamps of the lost time line count between shards that are restored together",
        cross((0, 1), [pay(0, 0, 1)], [copy(0, 1), epoch(0), keep(0, 1), restore(0, 1)]),
        "I7: ",
    ),
    TakenOut(
        "time-out",
        (Mend.NEVER_BY_TIME,),
        "a credit that waits too long comes back",
        cross((0, 1), [pay(0, 0, 1)]),
        "I4: ",
    ),
    TakenOut(
        "H13 written",
        (Mend.OLDER_VERSION,),
        "entries are written in the sender's own version",
        cross((0, 1), [pay(0, 0, 1)], [upgrade(0)]),
        "I8: ",
    ),
    TakenOut(
        "H13 read",
        (Mend.UNREAD_IS_NOT_TAKEN, Mend.OLDER_VERSION),
        "a chunk that doesn't decode is consumed",
        cross((0, 1), [pay(0, 0, 1)], [upgrade(0), upgrade(1)]),
        "I2: ",
    ),
)
