"""Which node a client asks first, as its measurements and its own random numbers decide.

The herd is 400 clients of three nodes, of which the nearest becomes slow as more ask it.
"""

from collections import Counter
from random import Random

import pytest

from rustorium.client.endpoints import BETTER_TIMES, HEDGES_MAX, PROBE_S, Endpoint, Endpoints

URLS = ("http://a", "http://b", "http://c")


def endpoints(*round_trips_s: float, seed: int = 1) -> Endpoints:
    """Nodes that were measured once."""
    made = Endpoints(dict.fromkeys(URLS[: len(round_trips_s)]), Random(seed))
    for endpoint, seconds in zip(made.all, round_trips_s, strict=True):
        made.answered(endpoint, seconds)
    return made


def named(order: list[Endpoint]) -> str:
    return "".join(endpoint.url[-1] for endpoint in order)


def test_the_nearest_comes_first_and_what_failed_comes_last() -> None:
    made = endpoints(0.3, 0.1, 0.2)
    assert named(made.order(0.0)) == named(made.order(0.0, sticky=True)) == "bca"
    made.failed(made.all[1], 0.0)
    assert named(made.order(0.1)) == "cab"


def test_reads_are_spread_over_nodes_that_are_equally_near() -> None:
    made = endpoints(0.010, 0.012, 0.2)
    first = Counter(named(made.order(0.0))[0] for _ in range(200))
    assert set(first) == {"a"}, "of two the nearer one, if both are idle"
    made.all[0].in_flight = 1
    assert {named(made.order(0.0))[0] for _ in range(50)} == {"b"}, "and the idle one, if one is busy"
    assert {named(endpoints(0.010, 0.011, 0.012, seed=seed).order(0.0))[0] for seed in range(30)} == {"a", "b"}


def test_submissions_stay_until_another_node_is_clearly_nearer_twice() -> None:
    made = endpoints(0.050, 0.060)
    a, b = made.all
    assert made.order(0.0, sticky=True)[0] is a
    for _ in range(20):
        made.answered(b, 0.045)
    assert made.order(0.0, sticky=True)[0] is a, "10 % nearer isn't clearly nearer"
    for _ in range(20):
        made.answered(b, 0.048)
        made.answered(a, 0.052)
    for _ in range(40):
        made.answered(a, 0.006)
        made.answered(b, 0.002)
    assert made.order(0.0, sticky=True)[0] is a, "4 ms are less than anybody notices"
    while b.better == 0:
        made.answered(a, 0.050)
        made.answered(b, 0.002)
    assert made.order(0.0, sticky=True)[0] is a, "once is chance"
    for _ in range(BETTER_TIMES - 1):
        made.answered(b, 0.002)
    assert made.order(0.0, sticky=True)[0] is b


def test_a_submission_goes_elsewhere_while_its_node_is_down_and_then_stays_there() -> None:
    made = endpoints(0.010, 0.012)
    a, b = made.all
    assert made.order(0.0, sticky=True)[0] is a
    made.failed(a, 0.0)
    assert made.order(0.1, sticky=True)[0] is b
    assert made.order(5.0, sticky=True)[0] is b


def test_pauses_are_jittered_and_a_busy_node_has_the_time_that_it_wants() -> None:
    ends = {round(_after_a_failure(seed).down_until, 6) for seed in range(20)}
    assert len(ends) == 20
    assert all(0.125 <= end <= 0.375 for end in ends)
    for seed in range(20):
        made = endpoints(0.01, 0.01, seed=seed)
        made.busy(made.all[0], 1.0, 2.0)
        assert 3.0 <= made.all[0].down_until <= 4.0


def _after_a_failure(seed: int) -> Endpoint:
    made = endpoints(0.01, seed=seed)
    made.failed(made.all[0], 0.0)
    return made.all[0]


def test_second_opinions_are_a_tenth_of_the_requests_and_none_while_a_node_is_busy() -> None:
    made = endpoints(0.01, 0.01)
    assert sum(made.may_hedge(0.0) for _ in range(100)) == HEDGES_MAX
    for _ in range(100):
        made.asked()
    made.busy(made.all[1], 0.0, 1.0)
    assert not made.may_hedge(0.5)
    made.answered(made.all[1], None)
    assert sum(made.may_hedge(0.5) for _ in range(100)) in (9, 10)


def test_one_other_node_is_measured_each_minute_and_one_of_the_reserve_now_and_then() -> None:
    made = endpoints(0.01, 0.2, 0.3)
    made.listed(["http://d"], ["http://e"])
    made.order(0.0, sticky=True)
    probed, now = Counter[str](), 0.0
    while sum(probed.values()) < 40:
        if (endpoint := made.to_probe(now)) is not None:
            probed[endpoint.url[-1]] += 1
        now += 1.0
    assert 0.8 * 40 * PROBE_S < now < 1.2 * 40 * PROBE_S
    assert probed["e"] == 4
    assert "a" not in probed, "submissions measure it"
    assert min(probed[name] for name in "bcd") >= 8


def test_a_node_of_the_reserve_joins_if_it_is_clearly_nearer() -> None:
    made = endpoints(0.05)
    made.listed([], ["http://e", "http://f"])
    e, f = made.reserve
    made.answered(e, 0.049)
    made.admit(e)
    made.answered(f, 0.01)
    made.admit(f)
    assert [endpoint.url for endpoint in made.all] == ["http://a", "http://f"]
    assert made.reserve == [e]


def test_a_new_directory_keeps_measurements_and_the_users_nodes() -> None:
    made = endpoints(0.05)
    made.listed(["http://d", "http://a"], ["http://e"])
    d = made.all[1]
    assert d.listed
    assert not made.all[0].listed, "the user's own stays the user's"
    made.answered(d, 0.02)
    assert made.order(0.0, sticky=True)[0] is d
    made.listed(["http://e"], ["http://d"])
    assert made.reserve == [d]
    assert [endpoint.url for endpoint in made.all] == ["http://a", "http://e"]
    assert made.order(0.0, sticky=True)[0] is made.all[0]


def test_a_submission_goes_from_a_listed_node_to_the_users() -> None:
    made = endpoints(0.3, 0.2)
    made.listed(["http://d", "http://e"])
    for endpoint, seconds in zip(made.all[2:], (0.01, 0.02), strict=True):
        made.answered(endpoint, seconds)
    assert named(made.order(0.0, sticky=True)) == "dbae"
    assert named(made.order(0.0))[2:] == "ba", "a read of a proven state may go to any"


CLIENTS, EACH_S = 400, 2.0
BASE_S = (0.010, 0.014, 0.040)


@pytest.mark.parametrize("seed", range(3))
def test_a_herd_does_not_move_at_one_moment(seed: int) -> None:
    """Each client makes a request each two seconds. A node is slower the more it is asked, and after 20 s the nearest
    one stops for 20 s: in no other second do more than a tenth of all requests go to another node than before."""
    rng = Random(seed)
    clients = [Endpoints(dict.fromkeys(URLS), Random(1000 * seed + number)) for number in range(CLIENTS)]
    begins = [rng.uniform(0, EACH_S) for _ in clients]
    last, moved, load = dict[int, str](), Counter[int](), Counter[str]()

    def seconds(endpoint: Endpoint) -> float:
        # An answer takes up to half as long again at random, and 60 % more where all ask one node.
        base = BASE_S[URLS.index(endpoint.url)]
        return base * rng.uniform(1.0, 1.5) * (1 + 0.6 * load[endpoint.url] / CLIENTS)

    for made in clients:
        for endpoint in made.all:
            made.answered(endpoint, seconds(endpoint))
    for second in range(80):
        before, load = load, Counter[str]()
        for number, made in enumerate(clients):
            if int(begins[number]) != second % int(EACH_S):
                continue
            now = float(second)
            order = made.order(now, sticky=True)
            if 20 <= second < 40 and order[0].url == URLS[0]:
                made.failed(order[0], now)
                order = made.order(now, sticky=True)
            load[order[0].url] += 2
            made.answered(order[0], seconds(order[0]))
            if (probe := made.to_probe(now)) is not None and not (20 <= second < 40 and probe.url == URLS[0]):
                made.answered(probe, seconds(probe))
            moved[second] += last.get(number, order[0].url) != order[0].url
            last[number] = order[0].url
        del before
    calm = [moved[second] / (CLIENTS / EACH_S) for second in range(80) if second not in (20, 21)]
    assert max(calm) <= 0.1, calm
    assert moved[20] + moved[21] > CLIENTS / 2, "all leave the node that stopped"
