"""`geo plan`: floors, outages, and what can't be planned."""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

FOUR = "us-east-1,eu-west-1,sa-east-1,ap-northeast-1"


def test_a_committee_of_four_regions(cli: Cli) -> None:
    out = cli("geo", "plan", "--regions", FOUR).out
    for line in (
        "Committee: 4 members in us-east-1, eu-west-1, sa-east-1, ap-northeast-1; 3 must vote.",
        "Finality floor: 270 ms for one transaction at a time, 332 ms under load; a block each 124 ms.",
        "Outages: any one region may fail; any two stop the chain.",
        "  ca-central-1 in place of ap-northeast-1: 177 ms (16 ms from us-east-1)",
    ):
        assert line in out.splitlines()
    row = next(line for line in out.splitlines() if line.startswith("eu-west-1 "))
    assert row.split() == ["eu-west-1", "eu-west-1", "269", "331", "182", "406", "–", "296", "262"]


def test_the_plan_as_json(cli: Cli) -> None:
    found = json.loads(cli("geo", "plan", "--regions", FOUR, "--clients", "eu-west-1=2,af-south-1", "-o", "json").out)
    assert (found["regions"], found["quorum"]) == (FOUR.split(","), 3)
    assert [(row["region"], row["weight"], row["via"]) for row in found["clients"]] == [
        ("eu-west-1", 2, "eu-west-1"),
        ("af-south-1", 1, "eu-west-1"),
    ]
    near, far = found["clients"]
    assert found["alone_us"] == (2 * near["alone_us"] + far["alone_us"]) // 3


def test_members_that_share_a_region(cli: Cli) -> None:
    out = cli("geo", "plan", "--regions", "us-east-1,eu-west-1,sa-east-1", "--validators", "4").out
    assert "Committee: 4 members in us-east-1 (2), eu-west-1, sa-east-1; 3 must vote." in out
    assert "Outages: without us-east-1 the chain stands; any other one may fail." in out
    assert "stands" in out.split("clients of", 1)[1]
    alone = cli("geo", "plan", "--regions", "us-east-1", "--validators", "4").out
    assert "Outages" not in alone


def test_the_best_regions_for_clients(cli: Cli) -> None:
    out = cli("geo", "plan", "--choose", "7", "--apart", "60", "-o", "json").out
    assert json.loads(out)["regions"] == [
        "us-east-1", "ap-south-1", "ap-northeast-1", "ap-southeast-2", "us-west-2", "eu-west-2", "ap-southeast-1",
    ]  # fmt: skip


def test_own_round_trips(cli: Cli, tmp_path: Path) -> None:
    times = tmp_path / "times.json"
    times.write_text(json.dumps({"regions": ["a", "b", "c", "d"], "p50": [[10] * 4] * 4}))
    out = cli("geo", "plan", "--rtt-matrix", times).out
    # Half of 10 ms a hop: three hops where the client's node leads, four otherwise.
    assert "Finality floor: 19 ms for one transaction at a time" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--regions", "eu-wst-1"], "did you mean eu-west-1"),
        (["--regions", ","], "names each region once"),
        (["--regions", "eu-west-1,eu-west-1"], "add --validators"),
        (["--regions", FOUR, "--validators", "2"], "2 members can't stand in 4 regions"),
        (["--validators", "129"], "1 to 128 members"),
        (["--clients", "eu-west-1=0"], "a whole number above 0"),
        (["--clients", "eu-west-1=2,eu-west-1"], "names each region once"),
        (["--clients", "mars"], "there are no round-trip times for region 'mars'"),
        (["--apart", "20"], "add --choose"),
        (["--regions", FOUR, "--choose", "5"], "5 of 4 regions can't be chosen"),
        (["--choose", "4", "--apart", "inf"], "not inf"),
        (["--choose", "4", "--apart", "nan"], "greater than or equal to 0"),
        (["--clients", f"eu-west-1={'9' * 5000}"], "up to nine digits"),
        (["--rtt-matrix", "/nowhere/times.json"], "/nowhere/times.json is not a matrix"),
    ],
)
def test_what_can_not_be_planned(cli: Cli, words: list[str], sentence: str) -> None:
    cli("geo", "plan", *words).fails(2, sentence)
