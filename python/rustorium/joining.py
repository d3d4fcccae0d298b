"""Makes the home of a node that joins a running net, and asks the chain's operators' account to let it vote.

Invariants: SYNC; a home is never overwritten; the owner's key lies outside the home; a node follows and is synced
before it is admitted, so that a committee never waits for one that isn't there.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustorium.client import operations
from rustorium.config import (
    ClientSection,
    Config,
    HttpSection,
    MetricsSection,
    NodeSection,
    P2pSection,
    StorageSection,
)
from rustorium.errors import HomeError, NotFound, NotReady, UsageError
from rustorium.home import Home, make_folder, read_genesis, write_private
from rustorium.netgen import Listen
from rustorium.ports import PortLeases
from rustorium.types import Subject

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.net import Net

POLL_S = 0.2
OWNER_STORAGE_BYTES = 1024
"""What the owner's account gets of the operator's: an account that only signs needs next to nothing."""


@dataclass(frozen=True, slots=True)
class Joiner:
    """A home that was made to join a net: what the operation that admits it names."""

    name: str
    home: Home
    validator_key: str
    node_key: str
    owner_key: str
    region: int
    address: str


def make_home(
    net: "Net", path: Path, name: str, region: int, listen: Listen, passphrase: bytes, owner: Path, durability: str
) -> Joiner:
    """Makes home and keys; its peers are the net's nodes. Errors: HomeError where files exist."""
    from rustorium import _native

    if owner.exists():
        raise HomeError(f"{owner} exists and is never overwritten: choose another --owner-key", code="file-exists")
    genesis = Path(net.genesis)
    described = json.loads(_native.genesis_describe(read_genesis(genesis)))
    first = {str(validator["name"]) for validator in described["validators"]}
    config = Config(
        node=NodeSection(name),
        p2p=P2pSection(listen.p2p, {node.name: node.p2p for node in net.nodes if node.name in first}),
        http=HttpSection(listen.http),
        client=ClientSection(listen.client),
        metrics=MetricsSection(listen.metrics),
        storage=StorageSection(durability="os" if durability == "os" else "vote"),
    )
    home = Home(path)
    home.create(config, genesis.read_text(encoding="utf-8"))
    make_folder(owner.parent)
    public: dict[str, str] = {}
    for kind, file in (("node", home.node_key), ("validator", home.validator_key), ("owner", owner)):
        seed = _native.generate_seed()
        _native.seal_key(str(file), seed, kind, passphrase)
        public[kind] = _native.public_key(seed).hex()
    _native.StorageKey.create(str(home.storage_key), passphrase)
    address = listen.p2p_public or listen.p2p
    return Joiner(name, home, public["validator"], public["node"], public["owner"], region, address)


def free_listen() -> Listen:
    """Four ports of loopback that are free now."""
    leases = PortLeases()
    try:
        return Listen(*(f"127.0.0.1:{port}" for port in leases.take(4)))
    finally:
        leases.close()


def start_and_sync(joiner: Joiner, passphrase: bytes, timeout_s: float) -> int:
    """Starts the node, which outlives this process, and waits until it is synced; its process id. Errors: NotReady."""
    from rustorium.devnet import is_ready

    write_private(joiner.home.path / "passphrase", passphrase.decode())
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(joiner.home.path)]
    with open(joiner.home.path / "log" / "stderr.log", "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    url = f"http://{joiner.home.load_config().config.http.listen}"
    deadline = time.monotonic() + timeout_s
    while not is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise NotReady(
                f"{joiner.name} isn't synced: read {joiner.home.path / 'log'}, then remove {joiner.home.path}"
            )
        time.sleep(POLL_S)
    return process.pid


def admit(client: "Client", joiner: Joiner, operator: "Key") -> None:
    """Sends the operator's approval, and waits until it is final; before that an account for the owner, who may replace
    the validator's keys alone. Errors: Refused, TransactionFailed."""
    from rustorium import _native

    owner = _native.account_id(joiner.region, bytes.fromhex(joiner.owner_key))
    try:
        client.held(Subject(owner))
    except NotFound:
        client.send(
            [operations.create_account(joiner.region, joiner.owner_key, OWNER_STORAGE_BYTES)],
            key=operator,
            wait="final",
        )
    change = operations.add_validator(
        joiner.name, joiner.validator_key, joiner.node_key, joiner.owner_key, joiner.region, joiner.address
    )
    client.send([change], key=operator, wait="final")


def remove(client: "Client", validator: Mapping[str, Any], operator: "Key") -> None:
    """Sends the operator's approval, and waits until it is final. Errors: Refused, TransactionFailed."""
    client.send([operations.remove_validator(str(validator["validator_key"]))], key=operator, wait="final")


def find(validators: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The validator of this name or key. Errors: NotFound, UsageError where several have the name."""
    found = [one for one in validators if name in (one["name"], one["validator_key"])]
    if not found:
        names = ", ".join(str(one["name"]) for one in validators)
        raise NotFound(f"the committee has no validator {name}, but {names}", code="no_such_validator")
    if len(found) > 1:
        raise UsageError(f"several validators are called {name}: give the key of one")
    return found[0]


def wait_for_committee(client: "Client", validator_key: str, member: bool, timeout_s: float) -> int:
    """Waits until the validator is in the committee of the epoch that goes on, or out of it. Errors: NotReady."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = client.validators()
        if member == any(one["validator_key"] == validator_key for one in answer["validators"]):
            return int(answer["epoch"])
        if time.monotonic() > deadline:
            wanted = "in" if member else "out of"
            raise NotReady(
                f"the validator isn't {wanted} the committee after {timeout_s:.0f} s: others may still have to "
                "approve the same change"
            )
        time.sleep(POLL_S)
