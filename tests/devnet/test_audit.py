"""A real node's audit log: starts and callers leave records in it, and a head in the ledger shows that later lines were
cut off. The gateway and the admin plane require tokens."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_no_panic, wait_for
from rustorium.client import Client, Key
from rustorium.errors import AccessRefused, Refused
from rustorium.home.auditlog import log_of, read, signer_of
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from rustorium.node.admin.remote import Remote
from rustorium.node.admin.socket import call
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def audit(*line: object, code: int = 0) -> tuple[Any, str]:
    """Runs a command that must end with this exit code; returns its output as JSON, and the error's sentence."""
    command = [sys.executable, "-m", "rustorium.cli", "audit", *(str(part) for part in line), "-o", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended
    return (json.loads(ended.stdout), "") if ended.stdout else (None, ended.stderr)


def events(home: Home, name: str) -> list[dict[str, Any]]:
    return [line["fields"] for line in read(log_of(home)) if line["event"] == name]


def test_starts_and_callers_are_audited_and_the_ledger_shows_a_cut_tail(
    devnet_factory: DevnetFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = devnet_factory(nodes=1, accounts=1)
    home, account = Home(Path(net.net.nodes[0].home)), net.net.accounts[0]
    wait_for("its start is told", lambda: events(home, "configuration"))
    [started], [configured] = events(home, "node started"), events(home, "configuration")
    assert started["keys"] == {"node_key": signer_of(home).hex(), "validator_key": public(home.validator_key)}
    assert configured["settings"]["p2p.listen"] == net.net.nodes[0].p2p
    net.terminate(0)
    with open(home.config, "a") as file:
        file.write('\n[log]\nlevel = "debug"\n[gateway]\nsubmit = "token"\nread = "token"\n')
        file.write('[admin]\nlisten = "127.0.0.1:0"\n')
    net.restart(0)
    wait_for("so is the next one", lambda: len(events(home, "configuration")) == 2)
    changed = ["admin.listen", "gateway.read", "gateway.submit", "log.level"]
    assert [one["changed"] for one in events(home, "configuration")[1:]] == [changed]
    assert len(events(home, "node started")) == 2
    token = tokens_decide(net, home, Key.open(account.key_file), tmp_path)
    monkeypatch.setenv("RUSTORIUM_TOKEN_FILE", str(token))
    cut_off(net, home, account.address, Path(account.key_file), tmp_path)
    assert_no_panic(net)


def refused(code: str, work: Callable[[], object]) -> None:
    with pytest.raises((Refused, AccessRefused)) as found:
        work()
    assert found.value.code == code


def tokens_decide(net: Devnet, home: Home, key: Key, folder: Path) -> Path:
    """Checks the rights of each token over HTTP, QUIC and the admin plane; returns the file of one that may submit."""
    socket = home.admin_socket
    dash = call(socket, "create_token", name="dash", role="read", gateway="read", expires_in_ms=3_600_000)
    app = call(socket, "create_token", name="app", gateway="submit")
    with Client.from_net(net.path) as client:
        refused("token-missing", client.status)
    file = folder / "app.token"
    file.write_text(f"{app['token']}\n")
    file.chmod(0o600)
    with (
        Client.from_net(net.path, key=key, token=dash["token"]) as reader,
        Client.from_net(net.path, key=key, token=app["token"]) as writer,
    ):
        assert reader.status().ready
        refused("token-scope", lambda: reader.put(b"k", b"no"))
        written = writer.put(b"k", b"yes")
        with closing(reader.subscribe_transactions(after="0.0")) as stream:  # type: ignore[type-var]
            assert next(stream).receipt.transaction == written.id
        # Another client's proven state may be older than this write.
        assert reader.get(key.address, b"k", verify=False) == b"yes"
        remote = Remote(f"http://{call(socket, 'addresses')['admin']}", dash["token"])
        assert call(remote, "status")["ready"]
        refused("role-too-low", lambda: call(remote, "create_snapshot"))
        call(socket, "revoke_token", name="dash")
        refused("token-unknown", reader.status)
        refused("token-unknown", lambda: call(remote, "status"))
    report = run_load(net.net, rate_per_s=50, seconds=1, token=app["token"])
    assert (report["finalized"], report["lost"]) == (50, 0)
    refused("token-unknown", lambda: run_load(net.net, rate_per_s=50, seconds=1, token=app["token"][:-1] + "_"))
    assert [one["name"] for one in events(home, "token creation ordered")] == ["dash", "app"]
    kinds = [(row["by"], row["call"], row["outcome"]) for line in events(home, "admin calls") for row in line["calls"]]
    assert ("token dash", "create_snapshot", "role-too-low") in kinds
    log = log_of(home).read_text()
    assert dash["token"][21:] not in log
    assert app["token"][21:] not in log
    return file


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
