"""R1, R16, R17b: the cost of leaders that are alive and don't propose; and no leader is passed over forever.

Invariants: virtual time and fixed seeds; unless a test says otherwise, the mute members never vote either, so the other
members are just a quorum.
"""

import random
from collections.abc import Callable

import pytest
from virtual_links import Guile, Links

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.turns import TERM_NS_MAX

SIZES = [4, 7, 16, 31]
FULL_EVERY = 32


def seeded(seeds: dict[int, int]) -> list[tuple[int, int]]:
    """Returns (n, seed) for as many seeds of each n: large committees take long."""
    return [(n, seed) for n, count in seeds.items() for seed in range(count)]


def faults(n: int) -> int:
    return (n - 1) // 3


def adjacent(n: int) -> list[int]:
    return list(range(faults(n)))


def spread(n: int) -> list[int]:
    return [number * n // faults(n) for number in range(faults(n))]


def views_per_second(links: Links, after_cycles: int, cycles: int) -> float:
    links.run(1e9, lambda: links.views() > after_cycles * links.n)
    first, start = links.views(), links.now
    links.run(1e9, lambda: links.views() >= first + cycles * links.n)
    return (links.views() - first) * 1e9 / (links.now - start)


@pytest.mark.parametrize("where", [adjacent, spread])
@pytest.mark.parametrize("n", SIZES)
def test_f_mute_leaders_cost_at_most_half_the_views(n: int, where: Callable[[int], list[int]]) -> None:
    calm = views_per_second(Links(n), 1, 4)
    assert views_per_second(Links(n, where(n)), 4, FULL_EVERY) >= calm / 2


@pytest.mark.parametrize(
    ("n", "after_cycles", "guile"),
    [
        (4, 64, Guile.SKIPPED),
        (7, 64, Guile.SKIPPED),
        (16, 64, Guile.SKIPPED),
        (31, 48, Guile.SKIPPED),
        (4, 64, Guile.OBLIGING),
        (7, 64, Guile.OBLIGING),
        (16, 64, Guile.OBLIGING),
    ],
)
def test_f_leaders_that_propose_only_to_avoid_the_list_cost_at_most_two_thirds(
    n: int, after_cycles: int, guile: Guile
) -> None:
    """R17b: terms and full cycles bound the cost, also of a leader that behaves well in full cycles so that its terms
    are forgotten."""
    calm = views_per_second(Links(n), 1, 4)
    assert views_per_second(Links(n, adjacent(n), guile=guile), after_cycles, 2 * FULL_EVERY) >= calm / 3


@pytest.mark.parametrize("guile", [Guile.SPOILING, Guile.PARTIAL, Guile.HOSTILE])
@pytest.mark.parametrize(("n", "seed"), seeded({4: 6, 7: 6, 16: 3, 31: 1}))
def test_f_mute_leaders_that_vote_against_views_cost_at_most_half_the_views(n: int, seed: int, guile: Guile) -> None:
    """With their votes a view ends once n - 2f of the others give it up, before the timers of the rest."""
    calm = views_per_second(uneven(Links(n, seed=seed), seed), 1, 4)
    spoiled = uneven(Links(n, spread(n), guile=guile, seed=seed), seed)
    assert views_per_second(spoiled, 4, FULL_EVERY) >= calm / 2


@pytest.mark.parametrize("guile", list(Guile))
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [4, 7])
def test_f_mute_ones_of_2f_plus_1_leaders_do_not_stop_the_chain(n: int, seed: int, guile: Guile) -> None:
    """R1: operators may keep f members from leading, and the mute ones be among those that lead."""
    rng = random.Random(seed)
    leaders = tuple(range(2 * faults(n) + 1))
    links = uneven(Links(n, adjacent(n), guile=guile, seed=seed, leaders=leaders), seed)
    links.run(rng.uniform(50, 3_000))
    scatter(links, rng)
    for _ in range(3):
        later = links.views()
        assert links.run(3_600_000, lambda later=later: links.final_view() > later), "no final block in an hour"
        assert links.views() - later <= 4 * len(leaders) + faults(n) + 3


def uneven(links: Links, seed: int) -> Links:
    """Lets members see work one after the other, so that timers end so, too."""
    rng = random.Random(seed)
    links.work_after_ns = {member: rng.randrange(6 * NS_PER_MS) for member in range(links.n)}
    return links


@pytest.mark.parametrize("seed", [None, 2, 3])
@pytest.mark.parametrize("n", [4, 7, 16])
def test_drawn_orders_cost_no_more_than_the_order_by_place(n: int, seed: int | None) -> None:
    calm = views_per_second(Links(n, seed=seed), 1, 4)
    assert views_per_second(Links(n, spread(n), seed=seed), 4, FULL_EVERY) >= calm / 2


def scatter(links: Links, rng: random.Random) -> None:
    """Gives each core an arbitrary list, backoffs and terms, even ones that no run leads to; the terms never end."""
    for me in links.members:
        machine, others = links.machine(me), [place for place in range(links.n) if place != me]
        turns, pace = machine._turns, machine._pace
        turns._listed = dict.fromkeys(rng.sample(others, rng.randrange(faults(links.n) + 1)), 10**6)
        turns._until = dict.fromkeys(turns._listed, links.now + rng.randrange(TERM_NS_MAX))
        turns._late = {place for place in others if rng.random() < 0.5}
        turns._lost = {place: 1 for place in others if rng.random() < 0.5}
        turns._lost_at = dict.fromkeys(others, 0)
        turns._terms = {place: rng.randrange(1, 7) for place in others if rng.random() < 0.5}
        turns._listed_anew()
        pace.backoff = rng.randrange(pace.backoff_max + 1) if rng.random() < 0.7 else 0


@pytest.mark.parametrize(("n", "seed"), seeded({4: 12, 7: 12, 16: 4, 31: 1}))
def test_the_chain_goes_on_with_any_lists_of_leaders(n: int, seed: int) -> None:
    """R17b (a): f members are mute, all others are needed, and no two lists are alike."""
    rng = random.Random(1_000 * n + seed)
    mute = rng.sample(range(n), faults(n)) if seed % 2 else adjacent(n)
    links = Links(n, mute, guile=rng.choice(list(Guile)), seed=rng.choice([None, seed]))
    links.run(rng.uniform(50, 3_000))
    scatter(links, rng)
    start, final = links.views(), links.final_view()
    assert links.run(3_600_000, lambda: links.final_view() > start), "no final block in an hour"
    assert links.views() - final <= 2 * n + faults(n) + 3
    later = links.views()
    assert links.run(3_600_000, lambda: sum(view > later for view in links.final_at) >= 3)
    assert links.views() - later <= 2 * n + faults(n) + 3


@pytest.mark.parametrize(("n", "seed"), seeded({4: 6, 7: 6, 16: 2}))
def test_after_a_bad_spell_the_first_final_block_comes_within_a_few_views(n: int, seed: int) -> None:
    rng = random.Random(seed)
    links = Links(n, rng.sample(range(n), faults(n)), seed=rng.choice([None, seed]))
    slow = {(a, b): rng.choice([1, 20, 150, 400, 900]) for a in range(n) for b in range(n)}
    loss = rng.choice([0.3, 0.6, 0.8])

    def spell(source: int, target: int) -> int | None:
        lost = source != target and rng.random() < loss
        return None if lost else int(slow[source, target] * rng.uniform(0.5, 1.5) * NS_PER_MS)

    links.delay = spell
    links.run(30_000)
    links.delay = None
    start = links.views()
    assert links.run(60_000, lambda: links.final_view() >= start)
    assert links.views() - start <= faults(n) + 4
