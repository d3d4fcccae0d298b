"""R1, R16, R17b, R17c for one core: the leader of a view, its time, and how long a leader is passed over.

Invariants: virtual time only; a committee of four in which view v is led by member v mod 4.
"""

import pytest
from core_harness import GENESIS, Core, block, finalization, notarization, nullification, of, ready

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.schedule import Schedule, permuted
from rustorium.consensus.vocabulary import (
    BlockSeen,
    Effect,
    EnterView,
    NullifiesSeen,
    PayloadStatus,
    PeerSilence,
    Proposed,
    SendWork,
    Vote,
    VoteKind,
    WorkSeen,
)

FLOOR_MS = 100
MUTE = 1
TERM_MS = 2 * 4 * 4 * FLOOR_MS
"""The first term, by the clock, of a leader whose last turn took four Δ."""


class Story:
    """A core that always has work, and is told the result of each view. It is member 0."""

    def __init__(self) -> None:
        self.core = Core(me=0)
        self.core.feed(WorkSeen(True))
        self.tip = GENESIS
        self.entering: list[Effect] = []

    def nullified(self, view: int) -> None:
        """Lets other members end the view."""
        self.entering = self.core.feed(nullification(view))

    def loses(self, view: int) -> int:
        """Waits until this node's own timer ends the view; returns the ms that it took."""
        start = self.core.now
        while not nullifies(self.core.wait(1)):
            assert self.core.now - start < 60_000 * NS_PER_MS
        waited = (self.core.now - start) // NS_PER_MS
        self.nullified(view)
        return waited

    def wins(self, view: int, after_ms: float = 0, final_after_ms: float = 0) -> None:
        """Makes the view's block notarized and final."""
        facts = block(view, self.tip)
        self.core.wait(after_ms)
        self.core.feed(ready(facts))
        effects = self.core.feed(notarization(facts))
        self.core.wait(final_after_ms)
        self.core.feed(finalization(facts))
        self.tip, self.entering = facts, effects

    def rests(self, ms: int) -> None:
        """Takes the core's work away for this long."""
        self.core.feed(WorkSeen(False))
        self.core.wait(ms)
        self.core.feed(WorkSeen(True))

    def lists_the_mute(self) -> None:
        """Goes to view 8; the mute leader loses views 1 and 5."""
        for view in range(1, 9):
            if view % 4 == MUTE:
                self.loses(view)
            else:
                self.wins(view)

    def cycles(self, first: int, last: int) -> None:
        """Goes through whole cycles, counted from 0, in which only the mute leader's views are nullified."""
        for view in range(4 * first + 1, 4 * last + 5):
            if view % 4 == MUTE:
                self.nullified(view)
            else:
                self.wins(view)


def nullifies(effects: list[Effect]) -> list[int]:
    return [vote.view for vote in of(effects, Vote) if vote.kind is VoteKind.NULLIFY]


def test_r16_own_timer_gives_its_leader_twice_the_time_and_all_of_them_after_two_cycles_without_a_final_block() -> None:
    story = Story()
    waited = []
    for view in range(1, 16):
        if view % 4:
            waited.append(story.loses(view) // FLOOR_MS)
        else:
            story.nullified(view)
    # Views 5 to 7 are their leaders' second lost views. From view 8 on, all count from the start again, and each own
    # timer doubles for all leaders.
    assert waited == [2, 2, 2, 4, 4, 4, 2, 4, 8, 16, 16, 16]


def test_r16_only_a_quick_final_block_halves() -> None:
    story = Story()
    for view in range(1, 10):
        if view % 4:
            story.loses(view)
        else:
            story.nullified(view)
    late_ms = 3 * FLOOR_MS + 1  # more than half of the 600 ms that view 10 would have had
    story.wins(10, final_after_ms=late_ms)
    assert story.loses(11) == 4 * FLOOR_MS - late_ms
    story.wins(12)
    story.wins(13)
    assert story.loses(14) == 2 * FLOOR_MS


def test_r16_an_early_proposal_takes_the_leaders_own_doubling_back_and_a_late_one_does_not() -> None:
    story = Story()
    story.loses(1)
    story.wins(2)
    story.wins(3)
    story.wins(4)
    story.wins(5, after_ms=FLOOR_MS)
    story.wins(6)
    story.wins(7)
    story.wins(8)
    assert story.loses(9) // FLOOR_MS == 2, "it had 200 ms to propose, and needed 100"
    story.wins(10)
    story.wins(11)
    story.wins(12)
    story.core.wait(3 * FLOOR_MS)
    story.core.feed(ready(block(13, story.tip)))
    story.wins(13, after_ms=1)
    story.wins(14)
    story.wins(15)
    story.wins(16)
    assert story.loses(17) // FLOOR_MS == 4, "it needed 300"


@pytest.mark.parametrize("proposed_ms", [FLOOR_MS + 1, 2 * FLOOR_MS + 50])
def test_r16_a_leader_keeps_its_own_doubling_if_its_proposal_takes_more_than_half_of_the_time_without_it(
    proposed_ms: int,
) -> None:
    """Its block arrives within half of the doubled timer. Without the doubling the leader would have had 2Δ to
    propose.
    """
    story = Story()
    story.loses(1)
    for view in (2, 3, 4):
        story.wins(view)
    story.wins(5, after_ms=proposed_ms)
    for view in (6, 7, 8):
        story.wins(view)
    assert story.loses(9) // FLOOR_MS == 4


def test_r15_a_late_leader_gets_time_only_for_a_proposal_that_others_can_fetch() -> None:
    """Otherwise a leader whose proposals nobody can vote for stops the chain for six times the smallest timeout."""
    for proposed_ms, given_up_ms in [(0, 300), (150, 300), (250, 350), (399, 499)]:
        story = Story()
        story.loses(1)
        for view in (2, 3, 4):
            story.wins(view)
        story.core.wait(proposed_ms)
        story.core.feed(BlockSeen(block(5, story.tip), PayloadStatus.PENDING))
        assert story.loses(5) == given_up_ms - proposed_ms


def test_r16_views_nullified_by_others_leave_the_timers_alone() -> None:
    story = Story()
    for view in range(1, 9):
        story.nullified(view)
    assert story.loses(9) // FLOOR_MS == 2


def test_r17b_a_leader_that_lost_two_turns_is_passed_over_at_once_and_without_a_resend() -> None:
    story = Story()
    story.lists_the_mute()
    assert nullifies(story.entering) == [9]
    assert not of(story.entering, SendWork)
    assert of(story.entering, EnterView)[0].passed_over == (MUTE,)
    again = story.core.wait(FLOOR_MS)
    assert of(again, SendWork) == [SendWork(None)], "R18: what only this node knows is told after all"


def test_r17b_nobody_is_passed_over_without_work() -> None:
    story = Story()
    story.lists_the_mute()
    story.core.feed(WorkSeen(False))
    story.cycles(2, 2)
    assert not nullifies(story.entering)


def test_r17b_a_turn_that_others_ended_counts_for_nothing() -> None:
    story = Story()
    story.cycles(0, 1)
    story.loses(9)
    story.wins(10)
    story.wins(11)
    story.wins(12)
    story.cycles(3, 3)
    assert not nullifies(story.entering), "one of three was lost"
    story.loses(17)
    story.wins(18)
    story.wins(19)
    story.wins(20)
    assert nullifies(story.entering) == [21]


def test_r17b_at_most_f_leaders_are_listed_those_that_lost_last() -> None:
    story = Story()
    for view in range(1, 9):
        if view % 4 in (1, 2):
            story.loses(view)
        else:
            story.wins(view)
    assert of(story.entering, EnterView)[0].passed_over == (2,)
    assert not nullifies(story.entering)


def test_r17b_a_full_cycle_gives_everybody_a_turn() -> None:
    story = Story()
    story.lists_the_mute()
    for cycle in range(2, 31):
        assert nullifies(story.entering), cycle
        if cycle == 30:
            story.rests(TERM_MS)
        story.cycles(cycle, cycle)
    assert not nullifies(story.entering), "cycle 31 goes over all"
    story.cycles(31, 31)
    assert nullifies(story.entering), "it was ended by others, and changed nothing"


def test_r17b_a_full_cycle_skips_a_leader_whose_term_is_not_over_by_the_clock() -> None:
    """A chain of fast views goes through 32 cycles in less time than one lost turn takes."""
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS - 1)
    story.cycles(2, 30)
    assert nullifies(story.entering) == [125]
    story.cycles(31, 31)
    story.rests(1)
    story.cycles(32, 62)
    assert not nullifies(story.entering)


def test_r17b_a_full_cycle_does_not_keep_r17_from_silent_leaders() -> None:
    story = Story()
    story.cycles(0, 30)
    assert nullifies(story.core.feed(PeerSilence(MUTE, True))) == [125]


def test_r17b_a_good_turn_in_a_full_cycle_ends_the_list_but_one_more_loss_begins_it_again() -> None:
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS)
    story.cycles(2, 30)
    for view in range(125, 129):
        story.wins(view)
    assert not nullifies(story.entering)
    story.loses(129)
    story.wins(130)
    story.wins(131)
    story.wins(132)
    # The leader was listed once before, and the good turn took it off the list: it is listed again after two lost
    # turns.
    assert not nullifies(story.entering)
    story.loses(133)
    story.wins(134)
    story.wins(135)
    story.wins(136)
    assert nullifies(story.entering) == [137]


@pytest.mark.parametrize(("after_ms", "comes_back"), [(0, True), (4 * FLOOR_MS, True), (4 * FLOOR_MS + 1, False)])
def test_r17b_a_proposal_in_time_after_the_term_gives_the_next_turn(after_ms: int, comes_back: bool) -> None:
    """The phrase "in time" refers to the leader's next turn, where it has its own doubling again."""
    story = Story()
    story.lists_the_mute()  # in cycle 1, for two cycles
    story.core.feed(Proposed(9))
    story.cycles(2, 2)
    assert nullifies(story.entering) == [13]
    story.rests(TERM_MS)
    story.core.feed(Proposed(13))
    story.cycles(3, 3)
    assert nullifies(story.entering) == [17], "its term is over only now"
    story.core.wait(after_ms)
    story.core.feed(Proposed(17))
    story.cycles(4, 4)
    assert nullifies(story.entering) == ([] if comes_back else [21])


def test_r17b_a_leader_that_comes_back_in_its_own_view_has_its_own_doubling_there() -> None:
    """The leader lost that turn because its time was too short. Since it had been listed before, it would also lose all
    turns of the next term."""
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS)
    story.cycles(2, 4)
    story.core.feed(WorkSeen(False))
    story.nullified(21)
    for view in (22, 23, 24):
        story.wins(view)
    assert not nullifies(story.entering), "there is no work in view 25"
    story.core.feed(Proposed(21))
    story.core.feed(WorkSeen(True))
    assert story.loses(25) // FLOOR_MS == 4


def test_r16_a_leader_that_was_listed_before_keeps_its_own_doubling_after_an_early_proposal() -> None:
    """A proposal is early by chance if the others hear of the work only with the proposal."""
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS)
    story.cycles(2, 4)
    story.core.feed(Proposed(21))
    for view in range(22, 25):
        story.wins(view)
    assert not nullifies(story.entering)
    for view in range(25, 29):
        story.wins(view)
    assert story.loses(29) // FLOOR_MS == 4


def test_r17b_a_term_outlasts_quick_views_by_the_clock() -> None:
    """Otherwise a leader whose proposals nobody can get has its next turn before the chain has recovered from the last
    one."""
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS - 1)
    story.cycles(2, 3)
    story.core.feed(Proposed(17))
    story.cycles(4, 4)
    assert nullifies(story.entering) == [21]
    story.rests(1)
    story.core.feed(Proposed(21))
    story.cycles(5, 5)
    assert not nullifies(story.entering)


def test_r17b_a_proposal_that_comes_when_its_view_is_over_and_final_counts_too() -> None:
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS)
    story.cycles(2, 3)
    story.nullified(17)
    story.wins(18)
    story.wins(19)
    story.core.feed(Proposed(17))
    story.wins(20)
    assert not nullifies(story.entering)


def test_r17b_a_proposal_counts_that_comes_before_its_view() -> None:
    story = Story()
    story.lists_the_mute()
    story.rests(TERM_MS)
    story.cycles(2, 2)
    story.nullified(13)
    story.wins(14)
    story.wins(15)
    story.core.feed(Proposed(17))
    story.wins(16)
    assert not nullifies(story.entering)


def test_r17b_two_cycles_without_a_final_block_empty_the_list() -> None:
    story = Story()
    story.lists_the_mute()
    for view in range(9, 17):
        story.nullified(view)
    assert of(story.entering, EnterView)[0].passed_over == (), "view 17 is 9 above the last final one"
    assert not nullifies(story.entering)


def test_r1_each_cycle_has_a_new_order_and_every_32nd_includes_all_members() -> None:
    drawn = Schedule(7, (0, 2, 4, 5), seed=7, boundary_view=100)
    cycles = [[drawn.turn(101 + 4 * cycle + place) for place in range(4)] for cycle in range(31)]
    assert all(sorted(turn.leader for turn in cycle) == [0, 2, 4, 5] for cycle in cycles)
    assert [turn.cycle for cycle in cycles for turn in cycle] == [number for number in range(31) for _ in range(4)]
    assert len({tuple(turn.leader for turn in cycle) for cycle in cycles}) > 10
    full = [drawn.turn(101 + 4 * 31 + place) for place in range(7)]
    assert sorted(turn.leader for turn in full) == list(range(7))
    assert all(turn.full and turn.cycle == 31 for turn in full)
    assert drawn.turn(101 + 4 * 31 + 7).cycle == 32


def test_r1_without_a_seed_members_lead_by_place_whatever_the_boundary() -> None:
    by_place = Schedule(5, boundary_view=3)
    assert [by_place.leader(view) for view in range(12)] == [view % 5 for view in range(12)]
    assert [view for view in range(4, 400) if by_place.turn(view).full] == list(range(4 + 155, 4 + 160)) + list(
        range(4 + 315, 4 + 320)
    )


def test_r1_every_order_is_as_likely_as_every_other() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(6_000):
        order = permuted((0, 1, 2), seed)
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert all(880 < count < 1_120 for count in counts.values()), counts


@pytest.mark.parametrize(("after_ms", "listed"), [(FLOOR_MS, True), (FLOOR_MS - 1, False)])
def test_r17b_turns_that_others_end_count_after_half_of_the_timer(after_ms: int, listed: bool) -> None:
    """With a vote of the mute leader itself, a turn is over as soon as n - 2f of the others gave it up, always just
    before this node's own timer ends."""
    story = Story()
    for view in range(1, 9):
        if view % 4 == MUTE:
            assert not nullifies(story.core.wait(after_ms))
            story.nullified(view)
        else:
            story.wins(view)
    assert nullifies(story.entering) == ([9] if listed else [])


def test_r17b_a_turn_that_this_node_lost_before_others_end_it_counts_once() -> None:
    story = Story()
    story.loses(1)
    for view in (2, 3, 4):
        story.wins(view)
    assert not nullifies(story.entering)


@pytest.mark.parametrize("shown", [False, True], ids=["no proposal", "one that nobody completes"])
def test_r17c_a_leader_that_was_late_is_given_up_with_f_plus_1_others(shown: bool) -> None:
    story = Story()
    story.loses(1)
    for view in (2, 3, 4):
        story.wins(view)
    if shown:
        story.core.feed(BlockSeen(block(5, story.tip), PayloadStatus.PENDING))
    assert nullifies(story.core.feed(NullifiesSeen(5))) == [5]


def test_r17c_a_leader_that_was_not_late_keeps_its_time() -> None:
    story = Story()
    for view in range(1, 5):
        story.wins(view)
    assert not nullifies(story.core.feed(NullifiesSeen(5)))
    assert story.loses(5) // FLOOR_MS == 2


def test_r17c_turns_that_are_given_up_with_others_count_after_half_of_the_timer() -> None:
    story = Story()
    story.loses(1)
    for view in (2, 3, 4):
        story.wins(view)
    story.core.wait(2 * FLOOR_MS)
    story.core.feed(NullifiesSeen(5))
    story.nullified(5)
    for view in (6, 7, 8):
        story.wins(view)
    assert nullifies(story.entering) == [9]
