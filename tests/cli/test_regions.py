"""Names of region bytes."""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import regions
from rustorium.errors import UsageError
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.net.generate import Listen, NetPlan, generate


def test_names_keep_their_bytes() -> None:
    # Names are only appended, so that a byte on a chain keeps its name.
    assert [
        regions.region_byte(name) for name in ("local", "us-east", "asia-northeast", "us-east-1", "asia-northeast1")
    ] == [0, 1, 16, 26, 88]
    assert len(set(regions.KNOWN)) == len(regions.KNOWN) < regions.OWN_FIRST
    assert set(read_matrix(RTT_MATRIX).regions) <= set(regions.KNOWN)
    assert [regions.region_byte(regions.region_name(byte)) for byte in range(len(regions.KNOWN))] == list(
        range(len(regions.KNOWN))
    )
    assert regions.region_name(len(regions.KNOWN)) == str(len(regions.KNOWN))


def test_a_nets_own_labels_are_separate_from_region_names() -> None:
    net = ["b", "us-east-1", "a", "b"]
    assert [regions.region_byte(name, net) for name in net] == [192, regions.region_byte("us-east-1"), 193, 192]
    assert [regions.region_name(byte, net) for byte in (192, 193, 194)] == ["b", "a", "194"]
    with pytest.raises(UsageError, match="there is no region 'c'"):
        regions.region_byte("c", net)


@pytest.mark.parametrize("name", ["Asia-Northeast", " asia-northeast", "asia_northeast", "asia-northest"])
def test_an_unknown_name_gets_the_nearest_one(name: str) -> None:
    with pytest.raises(UsageError, match="asia-northeast"):
        regions.region_byte(name)


def test_a_net_has_the_bytes_of_its_names(tmp_path: Path) -> None:
    listen = [Listen(*["127.0.0.1:1"] * 4)] * 3
    generate(tmp_path, NetPlan("net", listen, ["eu-west-1", "rack-a"], accounts=2), b"secret word")
    genesis = json.loads((tmp_path / "genesis.json").read_text())
    west = regions.region_byte("eu-west-1")
    assert [one["region"] for one in genesis["validators"]] == [west, 192, west]
    assert {one["region"] for one in genesis["accounts"]} == {west, 192}


def test_keys_are_made_in_named_regions(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    secret = ("--passphrase-file", passphrase)
    made = cli("keys", "new", tmp_path / "one.key", "--region", "asia-northeast", *secret, "-o", "json")
    assert json.loads(made.out)["region"] == 16
    cli("keys", "new", tmp_path / "two.key", "--region", "asia", *secret).fails(2, "asia-")
    cli("keys", "new", tmp_path / "two.key", "--region", "256", *secret).fails(2, "0 to 255")
    assert not (tmp_path / "two.key").exists()
