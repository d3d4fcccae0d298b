"""A real node's audit log: what its starts leave in it, and that a head in the ledger shows what was cut off since."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_no_panic, wait_for
from rustorium.auditlog import log_of, read, signer_of
from rustorium.devnet import Devnet
from rustorium.home import Home
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def audit(*line: object, code: int = 0) -> tuple[Any, str]:
    """Ends so, and gives what it printed as JSON, and the error's sentence."""
    command = [sys.executable, "-m", "rustorium.cli", "audit", *(str(part) for part in line), "-o", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended
    return (json.loads(ended.stdout), "") if ended.stdout else (None, ended.stderr)


def events(home: Home, name: str) -> list[dict[str, Any]]:
    return [line["fields"] for line in read(log_of(home)) if line["event"] == name]


def test_starts_are_told_and_a_cut_tail_shows_in_the_ledger(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(nodes=1, accounts=1)
    home, account = Home(Path(net.net.nodes[0].home)), net.net.accounts[0]
    wait_for("its start is told", lambda: events(home, "configuration"))
    [started], [configured] = events(home, "node started"), events(home, "configuration")
    assert started["keys"] == {"node_key": signer_of(home).hex(), "validator_key": public(home.validator_key)}
    assert configured["settings"]["p2p.listen"] == net.net.nodes[0].p2p
    net.terminate(0)
    with open(home.config, "a") as file:
        file.write('\n[log]\nlevel = "debug"\n')
    net.restart(0)
    wait_for("so is the next one", lambda: len(events(home, "configuration")) == 2)
    assert [one["changed"] for one in events(home, "configuration")[1:]] == [["log.level"]]
    assert len(events(home, "node started")) == 2
    cut_off(net, home, account.address, Path(account.key_file), tmp_path)
    assert_no_panic(net)


def public(file: Path) -> str:
    return str(json.loads(file.read_text())["public"])


def cut_off(net: Devnet, home: Home, account: str, key: Path, folder: Path) -> None:
    made, _ = audit("anchor", "--home", home.path, "--key", key, "--net", net.path)
    assert [one["head"] for one in events(home, "audit anchored")] == [made["head"]]
    anchored = int(made["head"].partition(":")[0])
    copy = folder / "copy.jsonl"
    exported, _ = audit("export", copy, "--home", home.path)
    verify = ("verify", copy, "--node-key", exported["node_key"], "--account", account, "--net", net.path)
    found, _ = audit(*verify)
    assert (found["anchor"], found["lines"] > anchored) == (made["head"], True)
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[: anchored - 1]))
    _, said = audit(*verify, code=4)
    assert f"line {anchored} of the audit log" in said
    assert "missing" in said
