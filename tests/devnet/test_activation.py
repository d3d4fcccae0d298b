"""Real processes: operators end version 1 of a running chain, while a client writes and a validator is away."""

import json
from pathlib import Path

import pytest

from process_tools import cli, wait_for
from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.client import Client, Key
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes
AWAY = 3


def activate(net: Devnet, *more: str, code: int = 0) -> str:
    """Runs the command with the operator's key, and checks its exit code; all that it printed."""
    key = net.net.accounts[0].key_file
    ended = cli("upgrade", "activate", "--net", net.path, "--key", key, *more, code=code, timeout_s=180.0)
    return ended.stdout + ended.stderr


def client_of(net: Devnet) -> Client:
    return Client(net.net.endpoints, genesis=read_genesis(Path(net.net.genesis)), timeout_s=60.0)


def protocols(net: Devnet, indexes: range) -> set[int]:
    found = set()
    for index in indexes:
        with Client(net.net.nodes[index].http, timeout_s=60.0) as one:
            found.add(one.status().protocol)
    return found


def test_a_running_chain_goes_on_by_version_two(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(version=1)
    key = Key.open(Path(net.net.accounts[1].key_file))
    with client_of(net) as client:
        client.put(b"before", b"1", key=key, wait="certified")
        assert protocols(net, range(4)) == {1}
        assert "All validators are ready" in activate(net, "--dry-run")
        assert protocols(net, range(4)) == {1}
        before = client.parameters()
        assert (before["version"], before["since_epoch"]) == (1, 0)

        # Nobody knows which release a validator runs that is away.
        net.kill(AWAY)
        wait_for("a validator is seen away", lambda: is_seen_away(net))
        assert "node-3 is not connected" in activate(net, code=5)

        changes = ("--set", "root_period_ms=2000", "--set", "block_transactions_max=20000")
        done = activate(net, "--without", "node-3", *changes, "-o", "jsonl")
        assert json.loads(done.partition("\n")[0])["active"] is True
        wait_for("three are in version 2", lambda: protocols(net, range(AWAY)) == {2})
        client.put(b"after", b"2", key=key, wait="certified")
        assert (client.get(key.address, b"before"), client.get(key.address, b"after")) == (b"1", b"2")

        # The one that was away decides by itself, from the blocks of version 1 that it executes.
        net.restart(AWAY)
        wait_for("all are in version 2", lambda: protocols(net, range(4)) == {2})
        net.kill(0)
        client.put(b"with the one that was away", b"3", key=key, wait="certified")
        net.restart(0)
        assert "version 2 is active already" in activate(net, code=5)

        in_force = client.parameters()
        assert (in_force["version"], in_force["since_epoch"]) == (2, client.status().epoch)
        assert in_force["parameters"]["root_period_ms"] == 2000 != before["parameters"]["root_period_ms"]

        # The genesis is of version 1, and keys come in with the proof that version 2 asks for.
        assert net.terminate(AWAY) == 0
        home = net.net.nodes[AWAY].home
        old = public_part(Home(Path(home)).validator_key)[1]
        cli("node", "replace-key", "--home", home, "--net", net.path, code=0, timeout_s=60.0)
        wanted = {str(one["validator_key"]) for one in client.validators()["next"]}
        assert old not in wanted
        assert public_part(Home(Path(home)).validator_key)[1] in wanted
    # A client that knows the genesis of version 1 alone follows into version 2.
    with client_of(net) as fresh:
        assert fresh.get(key.address, b"with the one that was away") == b"3"


def is_seen_away(net: Devnet) -> bool:
    with Client(net.net.nodes[0].http, timeout_s=60.0) as one:
        return "node-3" in one.status().unreachable
