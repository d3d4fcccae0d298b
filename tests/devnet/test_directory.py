"""A devnet's owners list their nodes, and a client that knows one node finds the others."""

import json
import signal
import time
from pathlib import Path

import pytest

from process_tools import assert_one_sentence, cli, run_command
from rustorium.client import Client, Key, directory
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes

REGIONS = ("eu-west-1", "us-east-1", "sa-east-1", "ap-northeast-1")
DAY_MS = 24 * 3_600_000


def test_owners_list_nodes_and_a_client_finds_them(
    devnet_factory: DevnetFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    net = devnet_factory(regions=REGIONS)
    nodes, owners = net.net.nodes, net.root / "owners"
    named = ["--net", net.path, "-o", "json"]
    shown = json.loads(cli("geo", "nodes", *named).stdout)
    assert shown == []
    cards = [tmp_path / f"{node.name}.card" for node in nodes]
    for node, card in zip(nodes, cards, strict=True):
        made = json.loads(
            cli("node", "card", "--home", node.home, "--url", node.http, "--out", card, "-o", "json").stdout
        )
        assert made["url"] == node.http
        assert made["until_ms"] > time.time() * 1000 + 89 * DAY_MS

    # Each owner lists its own node, and the first one another's, too.
    for node, card in zip(nodes[:3], cards, strict=False):
        cli("node", "announce", card, "--owner-key", owners / f"{node.name}.key", *named)
    rows = json.loads(cli("node", "announce", cards[3], "--owner-key", owners / "node-0.key", *named).stdout)
    assert {row["url"] for row in rows} == {nodes[0].http, nodes[3].http}
    rows = json.loads(cli("geo", "nodes", *named).stdout)
    assert {(row["region_name"], row["url"]) for row in rows} == {
        (region, node.http) for region, node in zip(REGIONS, nodes, strict=True)
    }
    found = {row["url"]: row["node_key"] for row in rows}

    # A changed card is refused, and so is a key that owns no validator.
    forged = json.loads(cards[0].read_text())
    forged["record"] = forged["record"][:-2] + "00"
    (tmp_path / "forged.card").write_text(json.dumps(forged))
    wrong = run_command("node", "announce", str(tmp_path / "forged.card"), "--owner-key", str(owners / "node-0.key"),
                        "--net", str(net.path))  # fmt: skip
    assert_one_sentence(wrong, 2, "was changed after its node signed it")
    (tmp_path / "no.card").write_text("no JSON")
    for name, said in (("no.card", "is no card: make one by"), ("gone.card", "can't be read (No such file")):
        wrong = run_command("node", "announce", str(tmp_path / name), "--owner-key", str(owners / "node-0.key"),
                            "--net", str(net.path))  # fmt: skip
        assert_one_sentence(wrong, 2, said)
    stranger = str(net.net.accounts[1].key_file)
    assert_one_sentence(
        run_command("node", "announce", str(cards[0]), "--owner-key", stranger, "--net", str(net.path)), 2,
        "owns no validator of the present committee",
    )  # fmt: skip
    late = run_command("node", "card", "--home", nodes[0].home, "--url", nodes[0].http, "--days", "91",
                       "--out", str(tmp_path / "late"))  # fmt: skip
    assert_one_sentence(late, 2, "valid for 1 to 90 days")

    # A client in Japan that was told of one node.
    key = Key.open(net.net.accounts[0].key_file)
    with Client([nodes[0].http], genesis=net.net.genesis, at="ap-northeast-1", timeout_s=30) as client:
        client.put("a", "1", key=key, wait="final")
        known = {endpoint.url for endpoint in client._client._transport.endpoints.all}
        assert known >= {nodes[0].http, nodes[1].http, nodes[3].http}, "its own, and the three nearest regions'"
        assert len(client.directory()) == 4
        # The chain has nothing more to do, so its newest block is empty and has no root of its own.
        assert client.read(key.address, "a", at="fresh").value == b"1"
    assert directory.cache_file(net.net.chain).exists()

    # Another one, whose only node stops as if its machine had lost the net.
    net.signal(0, signal.SIGSTOP)
    try:
        with Client([nodes[0].http], genesis=net.net.genesis, at="35.7,139.7", timeout_s=30) as client:
            client.put("a", "2", key=key, wait="final")
            assert client.get(key.address, "a") == b"2"
    finally:
        net.signal(0, signal.SIGCONT)
    cli("query", "--account", key.address, "a", "--at", "fresh", *named)
    withdrawn = json.loads(
        cli("node", "withdraw", found[nodes[3].http], "--owner-key", owners / "node-0.key", *named).stdout
    )
    assert [row["url"] for row in withdrawn] == [nodes[0].http]
    again = run_command("node", "withdraw", found[nodes[3].http], "--owner-key", str(owners / "node-0.key"),
                        "--net", str(net.path))  # fmt: skip
    assert_one_sentence(again, 2, "doesn't list node")
