"""Floors of finality: against a simulation of each message, by laws, and against published figures."""

from heapq import heappop, heappush
from itertools import count, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustorium.geo.floor import Committee, Floors, final_us, interval_us, quorum
from rustorium.net.distances import RTT_MATRIX, read_matrix

FOUR = ["us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"]
EUROPE = ["eu-west-1", "eu-west-2", "eu-central-1", "eu-north-1"]
WORLD = [
    "us-east-1", "us-west-1", "sa-east-1", "eu-west-1", "eu-central-1", "eu-north-1", "ap-south-1", "ap-northeast-1",
    "ap-northeast-2", "ap-southeast-2",
]  # fmt: skip


@st.composite
def delays(draw: st.DrawFn, least: int = 1, most: int = 7) -> list[list[int]]:
    n = draw(st.integers(least, most))
    one = st.integers(0, 300_000)
    return [[0 if a == b else draw(one) for b in range(n)] for a in range(n)]


def floors(of: list[list[int]], votes: int) -> Floors:
    return Committee(of, votes).floors()


class Messages:
    """A committee that sends each message by itself, in the order of time."""

    def __init__(self, delays: list[list[int]], votes: int) -> None:
        self.delays, self.votes, self.nodes = delays, votes, range(len(delays))
        self._order = count()
        self._wait: list[tuple[int, int, str, int, int]] = []
        self._has: list[set[str]] = [set() for _ in self.nodes]
        self._votes: list[dict[str, set[int]]] = [{"notarize": set(), "finalize": set()} for _ in self.nodes]
        self.final: dict[int, int] = {}
        self.notarized: dict[int, int] = {}

    def to_all(self, now: int, source: int, what: str) -> None:
        for target in self.nodes:
            heappush(self._wait, (now + self.delays[source][target], next(self._order), what, source, target))

    def play(self, leader: int) -> None:
        while self._wait:
            now, _, what, source, node = heappop(self._wait)
            if what in ("notarize", "finalize"):
                self._votes[node][what].add(source)
                if len(self._votes[node][what]) >= self.votes:
                    if what == "notarize":
                        self._enter(now, node)
                    else:
                        self.final.setdefault(node, now)
                continue
            if what == "notarization":
                self._enter(now, node)
                continue
            self._has[node].add(what)
            if what == "batch" and node == leader:
                self.to_all(now, node, "proposal")
            if self._has[node] >= {"batch", "proposal"} and "voted" not in self._has[node]:
                self._has[node].add("voted")
                self.to_all(now, node, "notarize")

    def _enter(self, now: int, node: int) -> None:
        if node not in self.notarized:
            self.notarized[node] = now
            self.to_all(now, node, "notarization")
            self.to_all(now, node, "finalize")


@given(delays(), st.data())
def test_the_floor_is_the_time_that_messages_take(of: list[list[int]], data: st.DataObject) -> None:
    client, leader = (data.draw(st.sampled_from(range(len(of)))) for _ in range(2))
    played = Messages(of, quorum(len(of)))
    played.to_all(0, client, "batch")
    played.play(leader)
    assert final_us(of, client, leader, quorum(len(of))) == played.final[client]


@given(delays(), st.data())
def test_the_next_leader_begins_when_it_has_the_notarization(of: list[list[int]], data: st.DataObject) -> None:
    leader, following = (data.draw(st.sampled_from(range(len(of)))) for _ in range(2))
    played = Messages(of, quorum(len(of)))
    for node in played.nodes:
        played._has[node].add("batch")
    played.to_all(0, leader, "proposal")
    played.play(leader)
    assert interval_us(of, leader, following, quorum(len(of))) == played.notarized[following]


@given(delays(), st.data())
def test_a_longer_delay_never_makes_a_floor_shorter(of: list[list[int]], data: st.DataObject) -> None:
    source, target = (data.draw(st.sampled_from(range(len(of)))) for _ in range(2))
    longer = [list(row) for row in of]
    if source != target:
        longer[source][target] += data.draw(st.integers(1, 100_000))
    before, after = floors(of, quorum(len(of))), floors(longer, quorum(len(of)))
    assert all(one >= other for one, other in zip(after.alone_us, before.alone_us, strict=True))
    assert all(one >= other for one, other in zip(after.own_us, before.own_us, strict=True))
    assert after.interval_us >= before.interval_us


@given(st.integers(3, 40), st.integers(0, 200_000))
def test_equal_delays_take_three_hops_and_one_more_to_the_leader(n: int, one_way: int) -> None:
    of = [[0 if a == b else one_way for b in range(n)] for a in range(n)]
    assert final_us(of, 0, 0, quorum(n)) == 3 * one_way
    assert final_us(of, 0, 1, quorum(n)) == 4 * one_way


@given(delays(least=3, most=4), st.data())
def test_the_order_of_nodes_changes_no_floor(of: list[list[int]], data: st.DataObject) -> None:
    order = data.draw(st.sampled_from(list(permutations(range(len(of))))))
    moved = [[of[a][b] for b in order] for a in order]
    before, after = floors(of, quorum(len(of))), floors(moved, quorum(len(of)))
    assert after.alone_us == tuple(before.alone_us[place] for place in order)
    assert after.own_us == tuple(before.own_us[place] for place in order)
    assert after.leaders_us == tuple(before.leaders_us[place] for place in order)
    assert after.interval_us == before.interval_us


@pytest.mark.parametrize(
    ("regions", "alone_ms", "interval_ms"),
    [(FOUR, 270, 124), (EUROPE, 43, 21), (WORLD, 362, 180)],
    ids=["four", "europe", "world"],
)
def test_floors_of_known_nets(regions: list[str], alone_ms: int, interval_ms: int) -> None:
    """The figures of an earlier program. Its leaders stood in the order of their places, so its intervals were 127, 22
    and 195 ms."""
    found = floors(read_matrix(RTT_MATRIX).delays_us(regions), quorum(len(regions)))
    assert round(sum(found.alone_us) / len(regions) / 1000) == alone_ms
    assert round(found.interval_us / 1000) == interval_ms


def test_each_client_of_four_regions() -> None:
    found = floors(read_matrix(RTT_MATRIX).delays_us(FOUR), 3)
    assert [round(time_us / 1000) for time_us in found.alone_us] == [233, 269, 283, 296]
    assert [round(time_us / 1000) for time_us in found.own_us] == [182, 182, 182, 211]


def test_nodes_of_one_region_are_looked_at_once() -> None:
    regions = [*FOUR, *FOUR, "us-east-1"]
    of = read_matrix(RTT_MATRIX).delays_us(regions)
    assert Committee(of, quorum(9), regions).floors() == floors(of, quorum(9))
