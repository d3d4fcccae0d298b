"""Committees change while clients read: a client that trusts only a genesis or a checkpoint follows them, and proof
files contain the changes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from process_tools import assert_no_panic, wait_for
from rustorium.access.genesis import read_genesis
from rustorium.client import Client, Key, LightClient
from rustorium.client.operations import Operation, end_epoch, remove_validator
from rustorium.errors import EpochUnknown
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from rustorium.types import ProvenState, Subject, Value

pytestmark = pytest.mark.nodes
NAME = b"term"


def verify(file: Path, *arguments: object, code: int = 0) -> dict[str, object]:
    """Returns the output of `verify` for a file, without a node; empty if it refuses the file."""
    command = [sys.executable, "-m", "rustorium.cli", "verify", str(file), *map(str, arguments), "-o", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stderr
    facts: dict[str, object] = json.loads(ended.stdout) if ended.stdout else {}
    return facts


def next_epoch(net: Devnet, client: Client, operation: Operation) -> int:
    """The operator submits an operation that ends the epoch; returns the epoch of all nodes afterwards."""
    before = client.status().epoch
    client.send([operation], wait="final")
    for node in net.net.nodes:
        with Client(node.http) as one:
            wait_for(f"{node.name} is in the next epoch", lambda one=one: one.status().epoch == before + 1)
    return before + 1


def read_anew(client: Client, key: Key, value: bytes) -> ProvenState:
    """Writes a value, and reads it with a proof that the current committee certified."""
    client.put(NAME, value)
    state = client.prove([Subject(key.address, key=NAME)])
    held = state.items[Subject(key.address, key=NAME)]
    assert isinstance(held, Value)
    assert held.value == value
    return state


def test_clients_follow_the_committees_and_files_lead_to_the_newest(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    net = devnet_factory(nodes=4, accounts=2)
    genesis, operator = Path(net.net.genesis), Key.open(net.net.accounts[0].key_file)
    survivors = [node.http for node in net.net.nodes[:3]]
    with Client.from_net(net.path, key=operator) as client:
        first = read_anew(client, operator, b"epoch 0")
        pinned_at_0 = client.light.checkpoint()
        assert next_epoch(net, client, end_epoch(0)) == 1
        second = read_anew(client, operator, b"epoch 1")
        assert client.catch_up()["epoch"] == 1
        pinned_at_1 = client.light.checkpoint()
        leaves = client.validators()["validators"][3]["validator_key"]
        assert next_epoch(net, client, remove_validator(leaves)) == 2
        third = read_anew(client, operator, b"epoch 2")
        assert [state.claim.epoch for state in (first, second, third)] == [0, 1, 2]
    # A client that starts at the genesis or at a checkpoint, and has seen nothing between, reaches the newest
    # committee.
    named = Subject(operator.address, key=NAME)
    anchors = ({"genesis": genesis}, {"checkpoint": pinned_at_0}, {"checkpoint": pinned_at_1})
    for number, anchor in enumerate(anchors):
        with Client(survivors, **anchor, key=operator) as client:
            # This node may know an older root only.
            state = client.prove([named], from_height=third.at.height)
            assert state.items == third.items
            assert client.catch_up()["epoch"] == 2
            assert state.claim.epoch == 2
            file = tmp_path / f"{number}.json"
            file.write_bytes(state.proof)
            assert verify(file, "--genesis", genesis)["epoch"] == 2
            pinned_at_2 = client.light.checkpoint()
    assert LightClient(pinned_at_2, checkpoint=True).trusted["validators"] == 3
    files = {"old": first, "middle": second, "new": third}
    paths = {name: tmp_path / f"{name}.json" for name in files}
    for name, state in files.items():
        paths[name].write_bytes(state.proof)
        assert verify(paths[name], "--genesis", genesis)["epoch"] == state.claim.epoch
    checkpoint = tmp_path / "checkpoint.json"
    checkpoint.write_bytes(pinned_at_1)
    verify(paths["new"], "--checkpoint", checkpoint)
    assert verify(paths["old"], "--checkpoint", checkpoint, code=4) == {}, "what was before it can't be checked from it"
    # The client needs only the epoch changes to get there.
    fields = json.loads(third.proof)
    assert len(fields["epochs"]) == 2
    light = LightClient(read_genesis(genesis))
    with pytest.raises(EpochUnknown):
        light.show_file(json.dumps(fields | {"epochs": fields["epochs"][:1]}).encode())
    assert_no_panic(net)
