"""`status check` says if the net and its nodes are healthy, why not, and what to do.

Invariants: no node runs; the answers of nodes are constants of this file, and the test controls waiting.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli, CommandResult
from status_answers import ANSWER, GOVERNANCE

from rustorium.access.netfile import Net, NetNode
from rustorium.errors import BadResponse
from rustorium.home.paths import Home
from rustorium.net.probe import status_of
from rustorium.node.recovery.state import RecoveryState, one_supervisor

EVIDENCE = {
    "validator": 2, "name": "node-2", "validator_key": "ab" * 32, "kind": "two-notarizes", "first": "view 7",
    "first_ms": 1_800_000_000_000, "count": 3, "member": True,
}  # fmt: skip
FINDING = {
    "code": "disk-stalled",
    "severity": "not-ready",
    "evidence": "a write or sync has not finished: journal for 31 s",
    "advice": "look at the disk",
    "since_ms": 1,
}
PEERS_LOST = FINDING | {"code": "peers-lost", "evidence": "2 of the 3 validators", "advice": "check them"}
RETIRED = "the validator key is retired and signs nothing more"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.config.write_text("")
    return home


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The status that the node behind the admin socket returns."""
    answer = dict(ANSWER)
    monkeypatch.setattr("rustorium.node.admin.socket.call", lambda *_, **__: answer)
    return answer


def levels(ended: CommandResult) -> dict[str, str]:
    """Returns the level of the net and of each node in JSON output."""
    rows = json.loads(ended.out)
    return {"network": rows[0]["network"]["verdict"]} | {row["node"]: row["verdict"] for row in rows}


def problems(ended: CommandResult) -> list[str]:
    rows = json.loads(ended.out)
    found = [problem for row in (rows[0]["network"], *rows) for problem in row["problems"]]
    assert all(problem["evidence"] and problem["advice"] for problem in found)
    return [problem["code"] for problem in found]


def test_a_node_and_a_net_that_are_well(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    ended = cli("status", "check", "--home", home.path)
    lines = ended.out.splitlines()
    assert (ended.code, len(lines)) == (0, 5)
    assert lines[0] == "network  well       height 9, epoch 0, 4 of 4 validators connected, a quorum is 3"
    assert lines[1] == "node-0   well       validator, height 9, view 12, 3 links up"
    assert (lines[2], lines[3].split()[:2], lines[4].split()[0]) == ("", ["node", "role"], "node-0")
    assert "\x1b" not in ended.out


def test_a_missing_peer_and_evidence_leave_a_quorum_that_is_not_well(
    cli: Cli, answering: dict[str, Any], home: Home
) -> None:
    answering |= {"peers_up": 2, "unreachable": ["node-1"], "evidence": [EVIDENCE]}
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 1
    said = "node-2 signed two-notarizes in view 7 (3 in all, first at 2027-01-15T08:00:00Z), as node-0 saw"
    assert f"evidence: {said}" in ended.out
    # The row names who must act, and the command.
    assert f"`rustorium-node node remove {'ab' * 32} --key OPERATOR.key`" in " ".join(ended.out.split())
    assert "`rustorium-node node replace-key` on its home" in " ".join(ended.out.split())
    assert "peers-unreachable: the node has no link to node-1" in ended.out
    assert "no-spare: 3 of 4 validators are connected with node-0: if one more fails" in ended.out
    raw = cli("status", "check", "--home", home.path, "-o", "json")
    assert (raw.code, problems(raw)) == (1, ["no-spare", "evidence", "peers-unreachable"])
    assert json.loads(raw.out)[0]["evidence"] == [EVIDENCE]


def test_evidence_against_a_former_member_needs_no_action(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    answering |= {"evidence": [EVIDENCE | {"member": False}]}
    assert cli("status", "check", "--home", home.path).code == 0
    # Evidence of 0.2.0 has neither key nor time.
    old = {name: EVIDENCE[name] for name in ("validator", "name", "kind", "first", "count")}
    answering |= {"evidence": [old]}
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 1
    assert "`rustorium-node node remove node-2" in ended.out


def test_without_a_quorum_nothing_is_ready(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    answering |= {"peers_up": 1, "unreachable": ["node-1", "node-3"], "ready": False, "findings": [PEERS_LOST]}
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 5
    assert "no-quorum: 2 of the 3 validators that a quorum needs are connected with node-0" in ended.out
    assert "do: start or reach node-1, node-3" in ended.out
    assert ended.out.count("peers-") == 1, "once is enough"


def test_a_net_that_executes_nothing_is_not_called_well(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, net: Callable[..., list[str]]
) -> None:
    stands = FINDING | {"code": "chain-stands", "evidence": "3 transactions wait"}
    nodes = net({"findings": [stands], "ready": False}, {"findings": [stands], "ready": False})
    ended = cli("status", "check", *nodes)
    assert (ended.code, ended.out.splitlines()[0].split()[:3]) == (5, ["network", "not", "ready"])
    assert "no-progress: node-0, node-1 can't make what waits final after height 9" in ended.out
    # Transactions may wait at one node alone. If another one is ahead, the fault is that node's.
    waits = {"findings": [stands], "ready": False}
    ended = cli("status", "check", "-o", "json", *net(waits, {}))
    assert (ended.code, problems(ended)) == (5, ["no-progress", "chain-stands"])
    ended = cli("status", "check", "-o", "json", *net(waits, {"at": ANSWER["at"] | {"height": 10}}))
    assert (ended.code, problems(ended)) == (5, ["chain-stands"])
    # A follower doesn't vote.
    assert levels(cli("status", "check", "-o", "json", *net({}, waits | {"role": "follower"})))["network"] == "well"
    # A known cause is named alone.
    lost = {"findings": [stands], "ready": False, "peers_up": 1, "unreachable": ["node-2", "node-3"]}
    ended = cli("status", "check", "-o", "json", *net(lost))
    assert problems(ended) == ["no-quorum", "chain-stands", "peers-unreachable"]


def test_a_follower_needs_one_link_and_judges_no_quorum(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    answering |= {"role": "follower", "peers": 4, "peers_up": 1}
    ended = cli("status", "check", "--home", home.path)
    assert (ended.code, "quorum that" in ended.out) == (0, False)


def test_all_that_were_asked_are_counted_by_whether_they_are_ready(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, net: Callable[..., list[str]]
) -> None:
    away = ANSWER | {"ready": False, "not_ready_because": "it executes what it missed"}
    net(away, {}, None, {})
    named = Net(
        "ab" * 32, "", "net", "", [NetNode(f"node-{i}", i, "", f"http://n{i}", "", "", "", 0, "") for i in range(4)], []
    )
    monkeypatch.setattr("rustorium.cli.status.net_of", lambda _: named)
    ended = cli("status", "check", "-o", "json")
    assert problems(ended) == ["no-quorum", "not-ready", "no-answer"]
    assert "2 of the 3 validators that a quorum needs are ready" in ended.out
    named = replace(named, nodes=named.nodes[:2])
    ended = cli("status", "check", "-o", "json")
    assert problems(ended) == ["not-ready"], "two of four were asked, and are linked with all"


def test_a_retired_key_is_reported(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    answering["key_retired_because"] = RETIRED
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 1
    assert f"key-retired: {RETIRED}" in ended.out
    assert "node replace-key" in ended.out


def test_a_node_with_a_new_key_waits_for_the_next_epoch(
    cli: Cli, answering: dict[str, Any], home: Home, net: Callable[..., list[str]]
) -> None:
    absent = FINDING | {"code": "not-in-committee", "severity": "degraded", "evidence": "the validator key is absent"}
    answering |= {"role": "follower", "findings": [absent]}
    ended = cli("status", "check", "--home", home.path)
    assert (ended.code, "  not-in-committee: the validator key is absent\n" in ended.out) == (1, True)
    assert ended.out.splitlines()[0] == "network  well       height 9, epoch 0", "the committee has its node, or hasn't"
    ended = cli("status", "check", "--home", home.path, *net({}, {}))
    assert "4 of 4 validators connected" in ended.out.splitlines()[0], "members know"


def test_findings_are_shown_with_advice(cli: Cli, answering: dict[str, Any], home: Home) -> None:
    answering |= {"ready": False, "not_ready_because": "disk-stalled: …", "findings": [FINDING]}
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 5
    at = ended.out.splitlines().index("  disk-stalled: a write or sync has not finished: journal for 31 s")
    assert ended.out.splitlines()[at + 1] == "    do: look at the disk"
    raw = cli("status", "check", "--home", home.path, "-o", "json")
    assert problems(raw) == ["disk-stalled"]
    assert json.loads(raw.out)[0]["findings"] == [FINDING]
    answering |= {"findings": [FINDING | {"severity": "degraded"}], "ready": True}
    assert cli("status", "check", "--home", home.path).code == 1


def test_reasons_are_shown_if_a_node_without_findings_is_not_ready(
    cli: Cli, answering: dict[str, Any], home: Home
) -> None:
    answering |= {"ready": False, "not_ready_because": "no quorum was seen yet"}
    ended = cli("status", "check", "--home", home.path)
    assert (ended.code, "not-ready: no quorum was seen yet" in ended.out) == (5, True)
    answering |= {"filling": {"percent": 41, "banned": ["node-2"]}, "not_ready_because": "it is filled"}
    ended = cli("status", "check", "--home", home.path)
    assert "filling: its store is being filled, 41 %: it is filled" in ended.out
    assert "peers-banned: its store was filled with false data by node-2" in ended.out


def test_a_follower_that_no_validator_serves_is_told_who_must_name_it(
    cli: Cli, answering: dict[str, Any], home: Home
) -> None:
    alone = {"role": "follower", "ready": False, "peers_up": 0, "unreachable": ["node-1"], "not_ready_because": "why"}
    for state in ({}, {"filling": {"percent": 0, "peers": 0, "banned": []}, "unreachable": []}):
        answering |= alone | state
        ended = cli("status", "check", "--home", home.path)
        assert (ended.code, ended.out.count("`rustorium-node followers add KEY`")) == (5, 1)
        assert "[p2p] followers in that validator's config.toml" in ended.out


def test_a_net_is_judged_by_all_its_nodes(cli: Cli, net: Callable[..., list[str]]) -> None:
    ended = cli("status", "check", *net({}, {}, {}, {}), "-o", "json")
    assert (ended.code, set(levels(ended).values())) == (0, {"well"})
    ended = cli("status", "check", *net({}, {}, None, {}), "-o", "json")
    assert (ended.code, problems(ended)) == (5, ["no-answer"])
    assert levels(ended) | {"http://n2": ""} == dict.fromkeys(("network", "node-0", "node-1", "node-3"), "well") | {
        "http://n2": ""
    }
    evidence = {"evidence": [EVIDENCE]}
    ended = cli("status", "check", *net(evidence, evidence, {}, {}), "-o", "json")
    assert (ended.code, problems(ended)) == (1, ["evidence"]), "once for the net"


def test_a_net_with_a_retired_or_unreachable_member_is_not_well(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, net: Callable[..., list[str]]
) -> None:
    """Of seven validators a quorum is five: a sixth that signs nothing leaves a spare one, and is told all the same."""
    seven = {"peers": 6, "peers_up": 6}
    retired = seven | {"key_retired_because": RETIRED}
    cut = seven | {"peers_up": 5, "unreachable": ["node-3"]}
    named = Net(
        "ab" * 32, "", "net", "", [NetNode(f"node-{i}", i, "", f"http://n{i}", "", "", "", 0, "") for i in range(7)], []
    )
    monkeypatch.setattr("rustorium.cli.status.net_of", lambda _: named)
    for answers, said in (
        ([seven] * 6 + [retired], "6 of 7 validators are ready and sign: node-6 is retired"),
        ([cut] * 3 + [seven] * 4, "7 of 7 validators are ready and sign: node-0, node-1, node-2 can't reach node-3"),
        ([seven] * 3 + [None] + [seven] * 3, "6 of 7 validators are ready and sign: node-3 doesn't answer"),
    ):
        net(*answers)
        found = cli("status", "check").out
        assert (f"members-missing: {said}" in found, found.splitlines()[0].split()[:3]) == (
            True,
            ["network", "not", "well"],
        ), found
        assert levels(cli("status", "check", "-o", "json"))["network"] == "not well"
    # A validator that was removed is in the net's file still, and no member any more.
    six = {"peers": 5, "peers_up": 5}
    net(*[six] * 3, None, *[six] * 3)
    assert levels(cli("status", "check", "-o", "json"))["network"] == "well"
    # Some of them were asked.
    ended = cli("status", "check", *net(seven, retired))
    assert ended.out.split()[:3] == ["network", "not", "well"]
    assert "members-missing: 6 of 7 validators are connected with node-0 and sign: node-1 is retired" in ended.out
    assert "7 of 7 validators connected (1 of them retired)" in ended.out
    retired_of_four = {"key_retired_because": RETIRED}
    ended = cli("status", "check", *net({}, retired_of_four))
    assert "no-spare: 3 of 4 validators are connected with node-0" in ended.out


def test_nodes_of_other_chains_or_with_other_results_are_reported(cli: Cli, net: Callable[..., list[str]]) -> None:
    ended = cli("status", "check", *net({}, {"chain": "cd" * 32}), "-o", "json")
    assert (ended.code, problems(ended)) == (5, ["other-chain"])
    ended = cli("status", "check", *net({"chain": "cd" * 32}, {}, {}))
    said = f"node-1 at http://n1, node-2 at http://n2 of chain {'ab' * 6}…; node-0 at http://n0 of chain {'cd' * 6}…"
    assert said in ended.out
    ended = cli("status", "check", *net({}, {"claimed": {"height": 8, "root": "11" * 32}}), "-o", "json")
    assert (ended.code, problems(ended)) == (5, ["forked"])
    ended = cli("status", "check", *net({}, {"claimed": {"height": 7, "root": "11" * 32}}))
    assert ended.code == 0, "another height has another root"


def test_a_net_that_is_not_reached(cli: Cli, net: Callable[..., list[str]]) -> None:
    ended = cli("status", "check", *net(None, None))
    assert (ended.code, ended.err) == (5, "")
    assert "unreachable: none of 2 nodes answers" in ended.out
    assert ended.out.count("no-answer: doesn't answer (refused)") == 2


def test_a_member_that_is_silent_counts_as_missing(
    cli: Cli, net: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = {"code": "peers-suspected", "severity": "degraded", "advice": "check it", "since_ms": 1}
    killed = {"findings": [silence | {"evidence": "node-2 not heard for 2302 ms, node-3 not heard for 2303 ms"}]}
    ended = cli("status", "check", *net(killed))
    lines = ended.out.splitlines()
    assert lines[0].endswith("height 9, epoch 0, 2 of 4 validators connected, a quorum is 3")
    assert "validator, height 9, view 12, 3 links up, 2 of them silent" in ended.out
    nodes = [NetNode(f"node-{i}", i, "", f"http://n{i}", "", "", "", 0, "") for i in range(2)]
    monkeypatch.setattr("rustorium.cli.status.net_of", lambda _: Net("ab" * 32, "", "net", "", nodes, []))
    net({}, None)
    ended = cli("status", "check")
    assert "\nnode-1   not ready\n  no-answer: http://n1 doesn't answer (refused)\n" in ended.out
    assert json.loads(cli("status", "check", "-o", "json").out)[1]["node"] == "node-1"


def test_a_node_and_its_net_on_one_screen(
    cli: Cli, answering: dict[str, Any], home: Home, net: Callable[..., list[str]]
) -> None:
    answering["findings"] = [FINDING | {"severity": "degraded"}]
    ended = cli("status", "check", "--home", home.path, *net({}, {}, {}, {}), "-o", "json")
    assert levels(ended) == {
        "network": "well", "node-0": "not well", "node-1": "well", "node-2": "well", "node-3": "well",
    }  # fmt: skip
    assert ended.code == 1


def test_a_wrong_home_is_an_error_and_a_node_that_is_down_is_not(cli: Cli, home: Home, tmp_path: Path) -> None:
    cli("status", "check", "--home", tmp_path / "nowhere").fails(3, "is not a node's home", "--home")
    ended = cli("status", "check", "--home", home.path)
    assert (ended.code, ended.err) == (5, "")
    assert "no-answer: doesn't answer (it doesn't run)" in ended.out
    assert f"do: start it with `rustorium-node start --home {home.path}`" in ended.out
    [row] = json.loads(cli("status", "check", "--home", home.path, "-o", "json").out)
    assert (row["ready"], row["verdict"]) == (False, "not ready")
    home.ended.parent.mkdir()
    home.ended.write_text('{"code": "disk-full", "evidence": "no space is left", "at_ms": 1}')
    ended = cli("status", "check", "--home", home.path)
    assert "it ended with disk-full, no space is left" in ended.out
    assert f"`rustorium-node recover manual --home {home.path}`" in ended.out


def test_while_a_node_is_down_the_supervisors_reason_is_shown(cli: Cli, home: Home) -> None:
    with one_supervisor(home):
        RecoveryState(home).tell("waiting for space", code="disk-full", reason="free space on the disk")
        ended = cli("status", "check", "--home", home.path)
        assert ended.code == 5
        assert "`recover auto` waiting for space: doesn't answer (free space on the disk)" in ended.out
        [row] = json.loads(cli("status", "check", "--home", home.path, "-o", "json").out)
        assert row["recovery"]["state"] == "waiting for space"
    assert "(it doesn't run)" in cli("status", "check", "--home", home.path).out, "who says so is gone"
    RecoveryState(home).tell("asks", code="journal-retired", reason="the key is retired")
    ended = cli("status", "check", "--home", home.path)
    assert "`recover auto` asks: doesn't answer (the key is retired)" in ended.out
    RecoveryState(home).tell("stopped")
    assert "(it doesn't run)" in cli("status", "check", "--home", home.path).out


def test_watching_ends_with_an_interrupt(
    cli: Cli, answering: dict[str, Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        answering["height"] += 1
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("rustorium.cli.status.wait", wait)
    ended = cli("status", "check", "--home", home.path, "--watch", "--every-s", "7", "-o", "jsonl")
    assert (ended.code, waits) == (130, [7.0] * 3)
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["height"] for row in rows] == [9, 10, 11]
    assert all(row["at_ms"] > 0 for row in rows)


def test_a_node_that_does_not_answer_has_no_height(cli: Cli, home: Home) -> None:
    ended = cli("status", "check", "--home", home.path)
    assert ended.code == 5
    row = ended.out.splitlines()[-1].split()
    assert row[0] == str(home.path)
    assert set(row[1:]) == {"-", "no"}, "a 0 would look like a height"


def test_members_that_cannot_run_the_epochs_version_are_named(cli: Cli, net: Callable[..., list[str]]) -> None:
    one = {"protocol": 2, "epoch": 8, "older": ["node-3"]}
    found = cli("status", "check", *net(one, one, one))
    assert "protocol-older: epoch 8 is version 2: 3 of 4 members run it" in found.out
    assert "install it on node-3" in found.out
    two = one | {"older": ["node-3", "node-2"]}
    halted = cli("status", "check", *net(two, two))
    assert "epoch 8 is version 2: 2 of 4 members run it, 3 are needed" in halted.out
    assert (halted.code, "install it on node-2, node-3" in halted.out) == (5, True)
    assert "protocol-older" not in cli("status", "check", *net(one | {"protocol": 1})).out


def of_shard(number: int, height: int = 5, **more: Any) -> dict[str, Any]:
    """Returns the report about another shard that a node hosts."""
    at = {"height": height, "root": "00" * 32, "shard": number}
    return ANSWER | {"shard": number, "height": height, "at": at, "findings": []} | more


def in_shards(ended: CommandResult) -> dict[int, tuple[str, list[str]]]:
    """Returns the verdict on each shard besides 0, and the codes of its problems."""
    shards = json.loads(ended.out)[0]["network"].get("shards", [])
    return {one["shard"]: (one["verdict"], [problem["code"] for problem in one["problems"]]) for one in shards}


def test_each_shard_is_judged_by_the_reports_about_it(cli: Cli, net: Callable[..., list[str]]) -> None:
    well = {"shards": [of_shard(1)]}
    ended = cli("status", "check", *net(well, well, well, well), "-o", "json")
    assert (ended.code, in_shards(ended)) == (0, {1: ("well", [])})
    told = cli("status", "check", *net(well, well, well, well)).out
    assert "shard 1  well       height 5, epoch 0, 4 of 4 validators connected, a quorum is 3" in told
    # A shard that stands is not ready, whatever shard 0 does.
    lost = {"shards": [of_shard(1, peers_up=1, unreachable=["node-2", "node-3"])]}
    ended = cli("status", "check", *net(lost, lost, lost, lost), "-o", "json")
    assert (ended.code, in_shards(ended)) == (5, {1: ("not ready", ["no-quorum"])})
    assert levels(ended)["network"] == "well"
    forked = {"shards": [of_shard(1, claimed={"height": 4, "root": "11" * 32})]}
    other = {"shards": [of_shard(1, claimed={"height": 4, "root": "22" * 32})]}
    ended = cli("status", "check", *net(forked, forked, other, well), "-o", "json")
    assert in_shards(ended) == {1: ("not ready", ["forked"])}


def test_what_waits_for_seats_is_told_of_shard_0_alone(cli: Cli, net: Callable[..., list[str]]) -> None:
    governance = GOVERNANCE | {"seats": 1, "quorum": 1}
    note = {"governance": governance, "shards": [of_shard(1, governance=governance)]}
    ended = cli("status", "check", *net(note, note, note, note), "-o", "json")
    assert "operators-thin" in problems(ended)
    assert in_shards(ended) == {1: ("well", [])}


def test_a_report_about_too_many_shards_or_shards_within_shards_is_no_report(net: Callable[..., list[str]]) -> None:
    with pytest.raises(BadResponse):
        net({"shards": [of_shard(number) for number in range(1, 17)]})
    with pytest.raises(BadResponse):
        net({"shards": "two"})
    assert status_of(ANSWER | {"shards": [of_shard(1, shards=[of_shard(2)])]}).shards[0].shards == ()
