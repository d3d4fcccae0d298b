"""The logs of a live net are merged by lines about the same blocks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_no_panic, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.observe.nodelogs.find import find_logs
from rustorium.observe.nodelogs.merge import Merger, log_files
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def landmarks(net: Devnet) -> set[str]:
    """Returns the nodes whose log has both a proposal and a final block, which serve as points of comparison."""
    found = set()
    for node in net.net.nodes:
        text = (Path(node.home) / "log" / "node.jsonl").read_text()
        if '"event":"proposed"' in text and '"event":"final"' in text:
            found.add(node.name)
    return found


def test_the_logs_of_a_net_are_merged_by_their_lines_about_the_same_blocks(devnet: Devnet) -> None:
    key = Key.open(devnet.net.accounts[1].key_file)
    with Client.from_net(devnet.path, key=key) as client:

        def another_landmark() -> bool:
            client.put(b"landmark", b"1")
            return len(landmarks(devnet)) >= 2

        wait_for("two nodes have proposed a landmark", another_landmark)
    merger = Merger(log_files(find_logs(devnet.net, [], None), follow=False))
    merger.look_ahead()
    lines = list(merger.merge())
    for source in merger.sources:
        assert source.garbage == 0
        source.close()
    # One machine has one clock: the offsets must be within their error bounds.
    for offset in merger.clocks.offsets:
        assert offset.bound_ms is None or abs(offset.ms) <= 2 * offset.bound_ms + 2, merger.clocks.offsets
    assert merger.clocks.jumps == 0
    proposals = [line for line in lines if line.entry.event == "proposed"]
    assert proposals
    for proposal in proposals:
        height, view = proposal.entry.fields["height"], proposal.entry.fields["view"]
        finals = [
            line for line in lines if line.entry.event == "final" and line.entry.fields["height"] == height
            and line.entry.fields["view"] == view
        ]  # fmt: skip
        assert all(line.at_ms >= proposal.at_ms - 1 for line in finals)
    ended = aggregate(devnet, "--event", "final")
    assert {line["node"] for line in ended} == {node.name for node in devnet.net.nodes}


def test_a_transaction_is_followed_across_all_nodes(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=2, accounts=1, start=False)
    for index in range(2):
        net.spawn(index, {"RUSTORIUM_LOG__LEVEL": "debug"})
    net.wait_ready()
    with Client.from_net(net.path, key=Key.open(net.net.accounts[0].key_file)) as client:
        done, other = client.put(b"followed", b"1"), client.put(b"another", b"1")
    assert done.receipt is not None
    assert other.receipt is not None
    height = other.receipt.height
    wait_for("both have executed it", lambda: all(status.executed >= height for status in statuses(net)))
    lines = aggregate(net, "--transaction", done.id)
    assert all(line["transaction"] == done.id for line in lines)
    final = [line for line in lines if line["event"] == "transaction_final"]
    assert sorted((line["node"], line["height"]) for line in final) == [
        ("node-0", done.receipt.height),
        ("node-1", done.receipt.height),
    ]
    assert "transaction_came" in {line["event"] for line in lines}
    assert_no_panic(net)


def aggregate(net: Devnet, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "rustorium.cli", "logs", "aggregate", "--net", str(net.path), "-o", "jsonl"]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]
