"""Queries on the certified views give the same results as a walk over all of them, at a cost that doesn't grow (R3, R5,
R25).

Invariants: the walk here is the rule as the specification words it.
"""

import pytest
from core_harness import GENESIS, Core, N, block, notarization, nullification, of, ready
from hypothesis import given
from hypothesis import strategies as st

from rustorium.consensus.chain import Chain, MissingBlock, MissingCertificates, Parent, Verdict
from rustorium.consensus.views import Runs
from rustorium.consensus.vocabulary import BlockFacts, FetchCertificates, Propose, WorkSeen

VIEWS = 24
views = st.integers(1, VIEWS)
NOTHING, NULLIFIED, NOTARIZED, BOTH = range(4)


def made(states: list[int], final: int) -> tuple[Chain, dict[int, bytes], set[int]]:
    """Returns a chain that has been told these certificates, and the same views above the final one as plain sets."""
    chain = Chain(GENESIS, 0)
    notarized: dict[int, bytes] = {}
    nullified: set[int] = set()
    for number, state in enumerate(states):
        view = (7 * number) % VIEWS + 1  # in another order than ascending
        if state in (NOTARIZED, BOTH):
            notarized[view] = block(view).digest
            chain.notarized.add(view, block(view).digest)
        if state in (NULLIFIED, BOTH):
            nullified.add(view)
            chain.nullified.add(view)
    if final:
        chain.finalize(final, block(final).digest)
    above = {view: digest for view, digest in notarized.items() if view > final}
    return chain, above, {view for view in nullified if view > final}


def walk(view: int, final: int, digest: bytes, notarized: dict[int, bytes], nullified: set[int]) -> object:
    """Applies R3 view by view."""
    for below in range(view - 1, final - 1, -1):
        if below == final or below in notarized:
            return Parent(below, digest if below == final else notarized[below])
        if below not in nullified:
            first = below
            while first - 1 > final and first - 1 not in nullified and first - 1 not in notarized:
                first -= 1
            return MissingCertificates(first, below)
    raise AssertionError


def lacking(facts: BlockFacts, final: int, notarized: dict[int, bytes], nullified: set[int]) -> list[int]:
    """Applies R5 view by view."""
    missing = [view for view in range(facts.parent_view + 1, facts.view) if view not in nullified]
    if facts.parent_view != final and facts.parent_view not in notarized:
        missing.insert(0, facts.parent_view)
    return missing


@given(st.lists(st.integers(NOTHING, BOTH), max_size=VIEWS), st.integers(0, 6), views, views)
def test_the_newest_parent_and_what_is_missing_are_those_of_the_walk(
    states: list[int], final: int, one: int, other: int
) -> None:
    chain, notarized, nullified = made(states, final)
    digest = chain.final_digest
    view = max(one, other, final + 1)
    assert chain.newest_parent(view) == walk(view, final, digest, notarized, nullified)
    assert chain.newest_certified() == max(notarized, default=final)
    parent_view = min(one, other)
    if parent_view < final or parent_view >= view:
        return
    parent = GENESIS if parent_view == 0 else block(parent_view)
    child = block(view, parent)
    if parent_view == final and digest != parent.digest:
        return
    missing = lacking(child, final, notarized, nullified)
    verdict = chain.judge(child)
    if missing:
        assert verdict == MissingCertificates(missing[0], missing[-1])
    else:
        assert verdict in (Verdict.ACCEPT, Verdict.REJECT) or isinstance(verdict, MissingBlock)


@given(st.lists(views, max_size=40), st.integers(0, VIEWS), views)
def test_runs_are_a_set(added: list[int], forgotten: int, asked: int) -> None:
    runs, plain = Runs(), set[int]()
    for view in added:
        runs.add(view)
        plain.add(view)
    runs.forget_through(forgotten)
    plain = {view for view in plain if view > forgotten}
    assert (asked in runs) == (asked in plain)
    start = end = asked
    while start - 1 in plain:
        start -= 1
    while end + 1 in plain:
        end += 1
    assert runs.run_start(asked) == (start if asked in plain else asked + 1)
    assert runs.run_end(asked) == (end if asked in plain else asked - 1)
    assert runs.newest_below(asked) == max((view for view in plain if view < asked), default=None)


@pytest.mark.parametrize("lost", [10, 10_000])
def test_a_range_of_any_length_is_asked_for_as_one(lost: int) -> None:
    core = Core(me=(lost + 1) % N)
    effects = core.feed(nullification(lost), WorkSeen(True))
    asked = of(effects, FetchCertificates)
    assert [(effect.first_view, effect.last_view) for effect in asked] == [(1, lost - 1)]
    assert not of(effects, Propose)


def test_all_nullifications_of_a_long_gap_make_the_last_final_block_the_parent() -> None:
    core = Core(me=1)
    effects = core.feed(*(nullification(view) for view in range(1_000, 0, -1)), WorkSeen(True))
    assert [(made.view, made.parent_view) for made in of(effects, Propose)] == [(1_001, 0)]
    one = block(2)
    core = Core(me=1)
    later = (nullification(view) for view in range(1_000, 2, -1))
    effects = core.feed(ready(one), notarization(one), *later, WorkSeen(True))
    assert [(made.view, made.parent_view) for made in of(effects, Propose)] == [(1_001, 2)]
