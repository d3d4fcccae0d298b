"""The mended rules of shards, each of which can be switched off in the model, alone or with others.

Invariants: the model itself knows no switches, so its rules are read without them (docs/adr/0063). A mend is switched
off by replacing the functions in which its rule stands by flawed ones.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import flawed
import pytest

from rustorium.sharding import atomic, channels, groups, network, nodes, restores, terms
from rustorium.sharding.chains import Leaf, Shard


class Mend(Enum):
    """A mended rule: its number in docs/spec/shards.md, and what it says."""

    TERM_WRITES_ARE_DUE = "S47", "a clock transaction is due until a term's first payload block has written it"
    FROZEN_END = "S55", "the final boundary of a frozen shard is the block that claims the root of b1"
    HEIGHTS_NOT_COMPARED = "S30", "of a head only its cursors count, never the height of its stamp"
    SENDER_IS_THE_PEERS = "S70", "a group is executed only for an account of the shard that asks"
    SENDER_OF_A_PREPARE = "S70", "a vote is given only for an account of the shard that asks"
    OWN_LEAVES_ONLY = "S75", "class B touches only leaves that its sender may write"
    ROOM_IS_RESERVED = "S77", "a credit counts in the receiver's limit from the vote on"
    UNKNOWN_IS_FINISHED = "S77", "`Decide` of an unknown intent is answered `Finished`"
    HEADS_HAVE_TIPS = "S24", "a head acknowledges contents: its tip is compared with the own one"
    KEYS_EXPIRE = "S29", "keys of a peer expire by themselves"
    MAP_NAMES_IN_FORCE = "S15", "the map names the committee that was in force"
    RESTORED_TOGETHER = "S52", "shards are restored to heights that fit each other"
    ONE_OWNER_AFTER_RESTORE = "S52", "a parent isn't restored to before a birth while the child stays"
    PEERS_ARE_ASKED = "S53", "owners who restore a shard ask its peers' records"
    OVERDUE_ORDERS_STEP_ASIDE = "S6", "an overdue order counts no more in `changes_max`"
    CHANNELS_END = "S37", "both sides remove the channel of a peer that has ended"
    OLDER_VERSION = "S33", "entries are written in the older version, and a response that can't be read isn't consumed"
    CREDIT_PER_SENDER = "S32", "one sender has at most a quarter of a channel"
    KEYS_OF_BIRTHS_COMPARED = "S42", "root compares the keys of a birth with the registry"
    ISSUES_ARE_DESTROYED = "S72", "what a failed issue would have made is destroyed"
    CREDITS_ALONE_GO_ON = "S38", "only credits are sent again to where an account moved"
    LOCAL_CREDITS_WAIT = "S69", "local credits of a class A transaction wait for the verdict"
    OWN_ANSWERS_ONLY = "S36", "an order is answered by its own shard"
    VOTES_THAT_WERE_ASKED = "S79", "only a shard that was asked votes"
    COORDINATORS_DECIDE = "S81", "an intent is keyed by its coordinator"
    LEAVES_MOVE = "S20", "a leaf is in one charter"
    HEADS_ALONE = "S95", "a head is delivered alone while a shard or its peer is on its way to its end"
    SEALED_ENDS_TAKE_NOTHING = "S94", "a shard whose end is sealed takes no chunk"
    REFUNDS_ARE_PASSED_ON = "S50", "a refund is passed on to where its account moved"
    OWN_BOUNDARY_FIRST = "S5", "a shard's own last boundary goes before an older map"
    SEALED_ORDERS_STAY = "S94", "a sealed order can't be recalled"
    KEPT_BESIDE = "S72", "a unit that comes back without room is kept beside the balance"
    MAP_BY_THE_CLOCK = "S97", "root's clock tells the map"
    TERMS_ANSWER = "S96", "a term with a birth or an absorption is the order's answer"
    ENDED_PARTICIPANTS = "S98", "a closing term is a participant's no and its `Finished`"
    STORES_OUTLIVE_BACKUPS = "S58", "a store stays until its heir can't be restored to before the absorption"
    KNOWN_ENDS_STAY = "S52", "no shard is restored to before its end once its heir has the closing term"
    VOID_EPOCHS = "S53", "stamps of an epoch count no more before owners choose its end"
    LINEAGE_ENDS = "S70", "a parent speaks for what it gave away for a limited time"
    OWN_COURIER_ONLY = "S28", "a host lists only what its own courier verified"
    EACH_HEIGHT_IS_STAMPED = "S25", "a member signs each executed height whose heads changed"
    SLOTS_OUTSIDE_THE_POOL = "S27", "deliveries stand outside the pool"
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
    Mend.TERM_WRITES_ARE_DUE: ((terms, "clock_is_due", flawed.never),),
    Mend.FROZEN_END: ((terms, "frozen_end_is_due", flawed.never),),
    Mend.HEIGHTS_NOT_COMPARED: (
        (channels, "believes", flawed.younger_heads_only),
        (channels, "acknowledge", flawed.acknowledge_with_height),
    ),
    Mend.SENDER_IS_THE_PEERS: ((groups, "speaks_for", flawed.always),),
    Mend.SENDER_OF_A_PREPARE: ((atomic, "speaks_for", flawed.always),),
    Mend.OWN_LEAVES_ONLY: ((atomic, "may_write", flawed.always),),
    Mend.ROOM_IS_RESERVED: ((atomic, "reserve", flawed.nothing),),
    Mend.UNKNOWN_IS_FINISHED: ((atomic, "take_decide", flawed.silent_if_unknown),),
    Mend.HEADS_HAVE_TIPS: ((channels, "acknowledges", flawed.numbers_alone),),
    Mend.KEYS_EXPIRE: ((channels, "believes", flawed.whoever_sat_once),),
    Mend.MAP_NAMES_IN_FORCE: ((terms, "named_epoch", flawed.ordered_epoch),),
    Mend.RESTORED_TOGETHER: ((restores, "fit_each_other", flawed.always),),
    Mend.ONE_OWNER_AFTER_RESTORE: ((restores, "own_each_account_once", flawed.always),),
    Mend.PEERS_ARE_ASKED: ((restores, "fit_their_peers", flawed.always),),
    Mend.OVERDUE_ORDERS_STEP_ASIDE: ((terms, "recall", flawed.recall_without_limit),),
    Mend.CHANNELS_END: ((Shard, "without_channel", flawed.keep_channel),),
    Mend.OLDER_VERSION: (
        (channels, "written_in", flawed.in_own_version),
        (network, "undecoded", flawed.consumed_unread),
    ),
    Mend.CREDIT_PER_SENDER: ((groups, "is_full", flawed.full_by_chunks),),
    Mend.KEYS_OF_BIRTHS_COMPARED: ((terms, "compare_keys", flawed.nothing),),
    Mend.ISSUES_ARE_DESTROYED: ((groups, "returned_groups", flawed.issues_too),),
    Mend.CREDITS_ALONE_GO_ON: ((groups, "may_go_on", flawed.any_group_again),),
    Mend.LOCAL_CREDITS_WAIT: (
        (groups, "credit_early", flawed.credits_at_once),
        (groups, "waiting_credits", flawed.none_waits),
    ),
    Mend.OWN_ANSWERS_ONLY: ((terms, "may_answer", flawed.always),),
    Mend.VOTES_THAT_WERE_ASKED: ((atomic, "may_vote", flawed.always),),
    Mend.COORDINATORS_DECIDE: ((atomic, "decides", flawed.always),),
    Mend.LEAVES_MOVE: ((terms, "left_with_parent", flawed.leaf_in_both),),
    Mend.HEADS_ALONE: ((terms, "head_alone_is_due", flawed.never),),
    Mend.SEALED_ENDS_TAKE_NOTHING: (
        (terms, "may_claim", flawed.claim_of_what_is),
        (terms, "takes_chunks", flawed.until_the_boundary),
    ),
    Mend.REFUNDS_ARE_PASSED_ON: ((groups, "take_refund", flawed.dropped_refund),),
    Mend.OWN_BOUNDARY_FIRST: ((groups, "route", flawed.by_the_map_alone),),
    Mend.SEALED_ORDERS_STAY: ((terms, "may_keep", flawed.always),),
    Mend.KEPT_BESIDE: ((Leaf, "with_unit_back", flawed.above_the_limit),),
    Mend.MAP_BY_THE_CLOCK: ((terms, "name_anew", flawed.nothing),),
    Mend.TERMS_ANSWER: ((terms, "hear_term", flawed.nothing),),
    Mend.ENDED_PARTICIPANTS: ((atomic, "waits_for", flawed.never),),
    Mend.STORES_OUTLIVE_BACKUPS: ((restores, "may_drop", flawed.always),),
    Mend.KNOWN_ENDS_STAY: ((restores, "undo_no_known_end", flawed.always),),
    Mend.VOID_EPOCHS: ((channels, "is_void", flawed.never),),
    Mend.LINEAGE_ENDS: ((groups, "speaks_for", flawed.by_lineage_forever),),
    Mend.OWN_COURIER_ONLY: ((nodes, "takes_forwarded", flawed.always),),
    Mend.EACH_HEIGHT_IS_STAMPED: ((nodes, "heights_to_sign", flawed.newest_height),),
    Mend.SLOTS_OUTSIDE_THE_POOL: ((nodes, "has_room", flawed.place_in_the_pool),),
    Mend.BORN_ONCE: ((nodes, "may_be_born", flawed.always),),
    Mend.CACHES_ARE_EMPTIED: ((nodes, "cache_after", bool),),
    Mend.COPIES_HAVE_MARKERS: ((nodes, "may_execute", flawed.always),),
    Mend.SILENCE_IS_ZERO: ((nodes, "believed", flawed.last_report),),
    Mend.COPIES_ARE_CHECKED: ((nodes, "is_whole", flawed.always),),
    Mend.NAMED_AFTER_THE_RENAME: ((nodes, "names_before_journal", flawed.always),),
}
"""For each mend the functions without it: owner, attribute, replacement."""


@contextmanager
def without(mends: Iterable[Mend]) -> Iterator[None]:
    """Switches mends off for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for mend in mends:
            for owner, attribute, flawed_form in FLAWED[mend]:
                patch.setattr(owner, attribute, flawed_form)
        yield
