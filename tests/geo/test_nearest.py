"""Which nodes of the directory a client asks, and how often the choice misses the nearest region.

The matrix of round trips between real regions says which one is the nearest; the choice knows coordinates alone, and a
probe decides between its candidates.
"""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from rustorium.access.zone import zone_place
from rustorium.client.directory import ListedNode, choose, newest, usable
from rustorium.client.endpoints import Endpoints
from rustorium.errors import UsageError
from rustorium.geo.places import PLACES, distance, parse_place, place_of_region
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.regions import KNOWN, region_byte

TOKYO = (35.7, 139.7)


def listed(region: str, number: int = 0, url: str = "", made_ms: int = 0, until_ms: int = 10) -> ListedNode:
    byte, name = region_byte(region), f"{region}-{number}"
    return ListedNode(
        name, byte, place_of_region(byte), url or f"https://{name}.example", made_ms, until_ms, b"", f"owner of {name}"
    )


def test_distances_are_those_of_a_globe() -> None:
    assert distance((0, 0), (0, 180)) == pytest.approx(4), "the other side"
    assert distance((0, 179), (0, -179)) < distance((0, 179), (0, 170)), "across the date line"
    assert distance((90, 0), (90, 123)) == pytest.approx(0), "a pole is one place"
    assert distance((0, 0), (90, 50)) == pytest.approx(2)


def test_places_are_read_from_degrees_and_regions() -> None:
    assert parse_place("35.7,139.7") == parse_place("asia-northeast") == TOKYO
    assert place_of_region(region_byte("ap-northeast-1")) == TOKYO
    assert place_of_region(0) is None
    assert place_of_region(200) is None
    for wrong in ("", "Tokyo", "35.7", "91,0", "0,181", "nan,0", "1,2,3", "inf,inf"):
        with pytest.raises(UsageError, match="is no place: give degrees north and east"):
            parse_place(wrong)


def test_a_time_zone_is_a_place_unless_it_is_none(tmp_path: Path) -> None:
    table = "# comment\nJP,AU\t+353916+1394441\tAsia/Tokyo\tEyre\nBR\t-2332-04637\tAmerica/Sao_Paulo\n"
    (tmp_path / "zone1970.tab").write_text(table)
    (tmp_path / "zoneinfo" / "America").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "America" / "Sao_Paulo").touch()
    link = tmp_path / "localtime"
    link.symlink_to(tmp_path / "zoneinfo" / "America" / "Sao_Paulo")
    assert zone_place({"TZ": "Asia/Tokyo"}, tmp_path, link) == pytest.approx((35.6544, 139.7447), abs=1e-3)
    assert zone_place({}, tmp_path, link) == pytest.approx((-23.5333, -46.6167), abs=1e-3)
    assert zone_place({"TZ": "UTC"}, tmp_path, link) is None
    assert zone_place({}, tmp_path / "nowhere", link) is None


def test_two_nodes_of_each_of_the_three_nearest_places_are_candidates() -> None:
    regions = ("ap-northeast-1", "ap-northeast-2", "ap-southeast-1", "eu-west-1", "us-east-1")
    nodes = [listed(region, number) for region in regions for number in range(4)]
    chosen, rest = choose(nodes, TOKYO, Random(1))
    assert [KNOWN[one.region] for one in chosen] == [region for region in regions[:3] for _ in range(2)]
    assert len(rest) == 14
    draws = {tuple(one.node_key for one in choose(nodes, TOKYO, Random(seed))[0]) for seed in range(20)}
    assert len(draws) > 10, "clients draw different nodes"


def test_a_client_without_a_place_spreads_and_nodes_without_one_come_last() -> None:
    nodes = [listed(region, number) for region in list(PLACES)[25:37] for number in range(5)]
    chosen, rest = choose(nodes, None, Random(1))
    assert len({one.place for one in chosen}) == len(chosen) == 8
    assert len(rest) == len(nodes) - 8
    nowhere = [listed("local", number) for number in range(5)]
    assert len(choose(nowhere, None, Random(1))[0]) == 5
    assert [one.region for one in choose([*nowhere, listed("eu-west-1")], TOKYO, Random(1))[0]].index(34) == 0
    assert len(choose(nowhere, TOKYO, Random(1))[0]) == 3


def test_the_newest_record_of_a_node_counts_until_it_expires() -> None:
    old, new = listed("eu-west-1", url="https://old"), listed("eu-west-1", url="https://new", made_ms=1)
    assert newest([new, old], 5) == newest([old, new], 5) == [new]
    assert newest([old], 10) == []


def test_a_node_is_not_taken_from_its_owner_by_whoever_lists_it_too() -> None:
    honest = [listed("ap-northeast-1"), listed("ap-northeast-2"), listed("ap-southeast-1")]
    copies = [replace(one, owner="a liar") for one in honest]
    own = [replace(listed("sa-east-1", number), owner="a liar") for number in range(2)]
    for seed in range(20):
        chosen, _ = choose(newest([*copies, *honest, *own], 5), TOKYO, Random(seed))
        assert {one.node_key for one in chosen} == {one.node_key for one in honest}
    older = replace(honest[0], owner="a liar", url="https://old.example", made_ms=-1)
    assert newest([older, honest[0]], 5) == [honest[0]], "of a node that was moved only the new record counts"


@pytest.mark.parametrize(
    "url",
    [
        "http://node.example", "ftp://node.example", "https://node.example/path", "https://node.example?x",
        "https://user@node.example", "https://169.254.169.254", "https://10.0.0.7", "https://127.0.0.1:8443",
        "http://127.0.0.1:8443", "https://[::1]", "https://[fe80::1]", "https://localhost", "https://", "", "node",
        "https://node.example:99999", "https://127.1",
        "https://2130706433", "https://0x7f.1", "https://100.64.0.1", "https://0.0.0.0", "https://[::ffff:10.0.0.1]",
    ],
)  # fmt: skip
def test_an_address_that_clients_must_not_ask_is_left_out(url: str) -> None:
    node = listed("eu-west-1", url=url or "x")
    assert usable([node], ["https://own.example"]) == []
    good = listed("us-east-1", url="https://good.example:8443")
    assert usable([node, good], ["http://127.0.0.1:26651", "https://10.0.0.1"]) == [good], "also beside a node inside"


def test_nodes_of_a_net_inside_one_network_find_each_other() -> None:
    local = [listed("eu-west-1", url="http://127.0.0.1:1"), listed("us-east-1", url="https://localhost:2")]
    private = listed("eu-west-1", url="https://10.0.0.7")
    assert usable([*local, private], ["http://127.0.0.1:26651"]) == local
    assert usable([*local, private], ["https://10.0.0.1"]) == [private]


HELD_OUT = 200
"""Deployments, drawn by seeds that nothing was chosen by."""


def test_the_nearest_region_is_missed_in_few_cases() -> None:
    matrix = read_matrix(RTT_MATRIX)
    regions = [region for region in matrix.regions if region in PLACES]
    wrong = by_place_alone = cases = 0
    for seed in range(HELD_OUT):
        rng = Random(9_000 + seed)
        nodes = [listed(region) for region in rng.sample(regions, rng.randint(4, 10))]
        for client in regions:
            chosen, _ = choose(nodes, PLACES[client], rng)
            named = [KNOWN[one.region] for one in nodes]
            best = min(matrix.round_trip_us(client, region) for region in named)
            probed = min(matrix.round_trip_us(client, KNOWN[one.region]) for one in chosen)
            cases += 1
            wrong += probed > best
            by_place_alone += matrix.round_trip_us(client, KNOWN[chosen[0].region]) > best
    assert wrong / cases <= 0.03, wrong / cases
    assert by_place_alone / cases > wrong / cases, "the probe is worth it"


def test_a_node_at_false_coordinates_is_found_out_by_its_answers() -> None:
    """It says that it stands beside each client, and stands on the other side of the world."""
    real = {"ap-northeast-1": 0.004, "ap-northeast-2": 0.035, "eu-west-1": 0.21}
    nodes = [listed(region) for region in real]
    liar = replace(listed("sa-east-1"), place=TOKYO, url="https://liar.example")
    chosen, _ = choose([*nodes, liar], TOKYO, Random(1))
    assert liar in chosen, "coordinates are believed for a probe"
    endpoints = Endpoints({"https://own.example": None}, Random(1))
    endpoints.listed([one.url for one in chosen])
    for endpoint in endpoints.all:
        region = next((one for one in real if one in endpoint.url), None)
        endpoints.answered(endpoint, real[region] if region is not None else 0.25)
    order = endpoints.order(0.0, sticky=True)
    assert order[0].url == nodes[0].url
    assert order[-1].url in (liar.url, "https://own.example")
    assert {endpoints.order(0.0)[0].url for _ in range(50)} == {nodes[0].url}


def test_an_owner_fills_neither_a_place_nor_all_places_near_the_client() -> None:
    """It lists eight nodes, all beside the client or each at another place near it."""
    honest = [listed("ap-northeast-2"), listed("ap-southeast-1"), listed("eu-west-1")]
    apart = [(35.0 + number / 10, 139.0) for number in range(8)]
    for places in ([TOKYO] * 8, apart, [TOKYO, *apart[:2] * 3, apart[3]]):
        liars = [replace(listed("sa-east-1", number), place=place, owner="liar") for number, place in enumerate(places)]
        for seed in range(20):
            chosen, rest = choose([*liars, *honest], TOKYO, Random(seed))
            assert sum(one in liars for one in chosen) == 2
            assert [one for one in chosen if one in honest][:1] == honest[:1]
            assert honest[2] in rest
