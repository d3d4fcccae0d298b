"""The rules of shards that can be switched off in the model, alone or with others.

Invariants: the model itself knows no switches, so its rules are read without them (docs/adr/0063). A rule is switched
off by replacing the functions in which it stands by flawed ones.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import flawed
import pytest

from rustorium.sharding import channels, crossings, disturbances, nodes, restores, terms, transfers
from rustorium.sharding.chains import Shard
from rustorium.sharding.explore import Model


class Mend(Enum):
    """A rule: its number in docs/spec/shards.md, and what it says."""

    ENTRIES_ARE_TAKEN_BACK = "T3", "a transaction that fails takes its entries back"
    ANSWERS_ARE_UNLIMITED = "T8", "answers are never limited"
    KEYS_EXPIRE = "T9", "keys of a peer expire by themselves"
    STAMPS_OF_THE_KNOWN_TERM = "T9", "only the committee of the newest known term stamps"
    HEADS_NAME_THEIR_CHANNEL = "T9", "a head names its shard and its peer"
    TIPS_ARE_COMPARED = "T9", "chunks lead from the own tip to the stamped one"
    CURSORS_MOVE = "T9", "taking a chunk moves the cursor"
    IDS_ARE_COMPUTED = "T11", "the id of a new account is computed from its authority"
    USED_STORAGE_STAYS = "T13", "storage that the receiver used doesn't come back"
    ISSUES_ARE_DESTROYED = "T13", "what a refused issue would have made is destroyed"
    ONE_ANSWER = "T13", "only an open chunk is settled by an answer"
    HEADS_HAVE_TIPS = "T14", "a head acknowledges contents: its tip is compared with the own one"
    CONTRADICTIONS_BREAK = "T14", "a contradiction breaks the channel"
    LEADERS_BREAK_NOTHING = "T14", "what a leader adds to a head never breaks a channel"
    ANSWERS_COME_FIRST = "T15", "an acknowledgement settles credits once all answers that it implies are taken"
    TOOK_COVERS_ANSWERS = "T15a", "`took` covers only chunks whose answers stand in this chunk or in earlier ones"
    TERMS_OF_ANY_AGE = "T16", "a term is taken whatever its age"
    HEADS_COME_ALONE = "T18", "a head that acknowledges a chunk is listed alone"
    RESTORED_TOGETHER = "T26", "shards are restored to heights that fit each other"
    PEERS_ARE_ASKED = "T26", "owners who restore a shard ask its peers"
    TERMS_ARE_COMPARED = "T26", "terms are compared as well as cursors"
    STAMPS_ARE_STOPPED = "T26", "stamps of a stopped epoch count no more before owners choose a base"
    TERMS_ARE_STOPPED = "T26", "a stopped epoch is followed only by a term of the owners"
    BASE_OF_THE_STOPPED_EPOCH = "T26", "the base is of the epoch that was stopped"
    RESTORED_STOP_EACH_OTHER = "T26", "shards that are restored together have each other's `Stop`"
    NEVER_BY_TIME = "T27", "nothing returns because time passed"
    OLDER_VERSION = "T29", "entries are written in the older of both versions"
    UNREAD_IS_NOT_TAKEN = "T29", "a chunk that doesn't decode isn't taken"
    TERM_WRITES_ARE_DUE = "S47", "a clock transaction is due until a term's first payload block has written it"
    FROZEN_END = "S55", "the final boundary of a frozen shard is the block that claims the root of b1"
    ONE_OWNER_AFTER_RESTORE = "S52", "a parent isn't restored to before a birth while the child stays"
    OVERDUE_ORDERS_STEP_ASIDE = "S6", "an overdue order counts no more in `changes_max`"
    CHANNELS_END = "S37", "both sides remove the channel of a peer that has ended"
    KEYS_OF_BIRTHS_COMPARED = "S42", "root compares the keys of a birth with the registry"
    OWN_ANSWERS_ONLY = "S36", "an order is answered by its own shard"
    LEAVES_MOVE = "S20", "a leaf is in one charter"
    SEALED_ORDERS_STAY = "S94", "a sealed order can't be recalled"
    TERMS_ANSWER = "S96", "a term with a birth or an absorption is the order's answer"
    STORES_OUTLIVE_BACKUPS = "S58", "a store stays until its heir can't be restored to before the absorption"
    KNOWN_ENDS_STAY = "S52", "no shard is restored to before its end once its heir has the closing term"
    EACH_HEIGHT_IS_STAMPED = "T7", "a member signs each executed height whose heads changed"
    ROOM_FOR_DELIVERIES = "T17", "deliveries have room of their own in each block"
    COURIERS_CHECK = "T21", "a courier offers only what it has verified"
    BORN_ONCE = "S46", "a birth makes a journal only for a shard that isn't named in `safety/hosted`"
    CACHES_ARE_EMPTIED = "S56", "caches are emptied at each boundary that changes the charter"
    COPIES_HAVE_MARKERS = "S56", "the absorbing boundary is executed only where the marker of a whole copy is"
    SILENCE_IS_ZERO = "S84", "a minute without a report counts as zero work"
    COPIES_ARE_CHECKED = "S44", "the copy's tip is compared with b* before the rename"
    NAMED_AFTER_THE_RENAME = "S46", "a shard is named after the rename and before its first signature"

    @property
    def rule(self) -> str:
        """The rule's number."""
        return self.value[0]

    @property
    def says(self) -> str:
        """What the rule says."""
        return self.value[1]


FLAWED: dict[Mend, tuple[tuple[Any, str, Any], ...]] = {
    Mend.ENTRIES_ARE_TAKEN_BACK: ((transfers, "roll_back", flawed.keeps_entries),),
    Mend.ANSWERS_ARE_UNLIMITED: ((transfers, "may_answer", flawed.full_for_answers),),
    Mend.KEYS_EXPIRE: ((channels, "is_current", flawed.always),),
    Mend.STAMPS_OF_THE_KNOWN_TERM: ((channels, "is_stamped_by_peer", flawed.older_epochs_too),),
    Mend.HEADS_NAME_THEIR_CHANNEL: ((channels, "is_of_this_channel", flawed.always),),
    Mend.TIPS_ARE_COMPARED: ((channels, "leads", flawed.right_numbers),),
    Mend.CURSORS_MOVE: ((channels, "take", flawed.stays),),
    Mend.IDS_ARE_COMPUTED: ((transfers, "receiver_of", flawed.as_named),),
    Mend.USED_STORAGE_STAYS: ((transfers, "storage_back", flawed.all_storage),),
    Mend.ISSUES_ARE_DESTROYED: ((transfers, "value_back", flawed.issues_too),),
    Mend.ONE_ANSWER: ((transfers, "is_open", flawed.always),),
    Mend.HEADS_HAVE_TIPS: ((channels, "has_own_tip", flawed.always),),
    Mend.CONTRADICTIONS_BREAK: ((channels, "contradicts", flawed.never),),
    Mend.LEADERS_BREAK_NOTHING: ((channels, "breaks", flawed.by_what_leaders_add),),
    Mend.ANSWERS_COME_FIRST: ((transfers, "has_all_answers", flawed.always),),
    Mend.TOOK_COVERS_ANSWERS: ((transfers, "took", flawed.own_next),),
    Mend.TERMS_OF_ANY_AGE: ((crossings, "may_follow", flawed.while_keys_are_current),),
    Mend.HEADS_COME_ALONE: ((channels, "may_come_alone", flawed.never),),
    Mend.RESTORED_TOGETHER: ((disturbances, "fit_each_other", flawed.always),),
    Mend.PEERS_ARE_ASKED: ((disturbances, "fit_their_peers", flawed.always),),
    Mend.TERMS_ARE_COMPARED: ((disturbances, "fit", flawed.cursors_alone),),
    Mend.STAMPS_ARE_STOPPED: ((channels, "is_stopped", flawed.never),),
    Mend.TERMS_ARE_STOPPED: ((channels, "is_by_owners_if_stopped", flawed.always),),
    Mend.BASE_OF_THE_STOPPED_EPOCH: ((disturbances, "is_of_epoch", flawed.always),),
    Mend.RESTORED_STOP_EACH_OTHER: ((disturbances, "stop_each_other", flawed.unchanged),),
    Mend.NEVER_BY_TIME: ((transfers, "may_return_by_time", flawed.always),),
    Mend.OLDER_VERSION: ((transfers, "written_in", flawed.in_own_version),),
    Mend.UNREAD_IS_NOT_TAKEN: ((transfers, "reads", flawed.always), (transfers, "take_chunk", flawed.consumed_unread)),
    Mend.TERM_WRITES_ARE_DUE: ((terms, "clock_is_due", flawed.never),),
    Mend.FROZEN_END: ((terms, "frozen_end_is_due", flawed.never),),
    Mend.ONE_OWNER_AFTER_RESTORE: ((restores, "own_each_account_once", flawed.always),),
    Mend.OVERDUE_ORDERS_STEP_ASIDE: ((terms, "recall", flawed.recall_without_limit),),
    Mend.CHANNELS_END: ((Shard, "without_channel", flawed.keep_channel),),
    Mend.KEYS_OF_BIRTHS_COMPARED: ((terms, "compare_keys", flawed.nothing),),
    Mend.OWN_ANSWERS_ONLY: ((terms, "may_answer", flawed.always),),
    Mend.LEAVES_MOVE: ((terms, "left_with_parent", flawed.leaf_in_both),),
    Mend.SEALED_ORDERS_STAY: ((terms, "may_keep", flawed.always),),
    Mend.TERMS_ANSWER: ((terms, "hear_term", flawed.nothing),),
    Mend.STORES_OUTLIVE_BACKUPS: ((restores, "may_drop", flawed.always),),
    Mend.KNOWN_ENDS_STAY: ((restores, "undo_no_known_end", flawed.always),),
    Mend.EACH_HEIGHT_IS_STAMPED: ((nodes, "heights_to_sign", flawed.newest_height),),
    Mend.ROOM_FOR_DELIVERIES: ((nodes, "has_room", flawed.place_in_the_pool),),
    Mend.COURIERS_CHECK: ((nodes, "takes_unverified", flawed.always),),
    Mend.BORN_ONCE: ((nodes, "may_be_born", flawed.always),),
    Mend.CACHES_ARE_EMPTIED: ((nodes, "cache_after", bool),),
    Mend.COPIES_HAVE_MARKERS: ((nodes, "may_execute", flawed.always),),
    Mend.SILENCE_IS_ZERO: ((nodes, "believed", flawed.last_report),),
    Mend.COPIES_ARE_CHECKED: ((nodes, "is_whole", flawed.always),),
    Mend.NAMED_AFTER_THE_RENAME: ((nodes, "names_before_journal", flawed.always),),
}
"""For each rule the functions without it: owner, attribute, replacement."""


@dataclass(frozen=True)
class TakenOut:
    """A flaw: the rules that are switched off, and the scenario and the invariant that show it."""

    finding: str
    mends: tuple[Mend, ...]
    """The first one is the flaw's own; others would hide it."""
    without: str
    """What the network does instead."""
    scenario: Callable[[], Model[Any]]
    breaks: str
    """How the fault begins."""


@contextmanager
def without(mends: Iterable[Mend]) -> Iterator[None]:
    """Switches rules off for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for mend in mends:
            for owner, attribute, flawed_form in FLAWED[mend]:
                patch.setattr(owner, attribute, flawed_form)
        yield
