"""Makes the home of a node that joins a running net, and lets an operator's account admit it.

Invariants: SYNC; a home is never overwritten; the owner's key is outside the home; a node is synced before it is
admitted, so that a committee never waits for a missing member; every step can be repeated after an interruption.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import open_key_file
from rustorium.access.private import make_folder, write_private
from rustorium.api import Operation
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
from rustorium.errors import FileExists, HomeError, NotFound, NotReady, UsageError
from rustorium.home.endpoints import gateway_url
from rustorium.home.followers import add
from rustorium.home.lock import stopped
from rustorium.home.paths import SEEDS_MAX, Home
from rustorium.net.generate import Listen
from rustorium.net.parties import Party
from rustorium.net.ports import PortLeases
from rustorium.node.admin.socket import call
from rustorium.types import Subject

if TYPE_CHECKING:
    from rustorium.client import Client, Key

T = TypeVar("T")
POLL_S = 0.2
PROGRESS_S = 5.0
"""Interval between two progress messages about a new node."""
OWNER_STORAGE_BYTES = 1 << 16
"""Storage that the operator's account gives to the owner's. Each key that the owner replaces uses some of it for
good."""


@dataclass(frozen=True, slots=True)
class Joiner:
    """A home that was made to join a net, with the fields of the operation that admits it."""

    name: str
    home: Home
    validator_key: str
    node_key: str
    owner_key: str
    region: int
    address: str
    possession: Operation
    """Proof that the home's maker holds its keys, which chains of version 1 don't ask for."""


def next_in_turn(items: Sequence[T]) -> T:
    """Returns the next item in turn: `items` has at least one item, with one entry per earlier turn."""
    distinct = list(dict.fromkeys(items))
    return distinct[len(items) % len(distinct)]


def peers_of(genesis: bytes, nodes: Mapping[str, str], committee: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the peers that a joiner dials: the genesis validators among `nodes` (addresses by name), and later
    committee members by their node keys, since the genesis validators may be gone."""
    from rustorium import _native

    first = json.loads(_native.genesis_describe(genesis))["validators"]
    names, keys = {str(one["name"]) for one in first}, {one["node_key"] for one in first}
    later = {str(one["node_key"]): str(one["address"]) for one in committee if one["address"]}
    peers = {name: address for name, address in nodes.items() if name in names}
    return peers | dict([(key, address) for key, address in later.items() if key not in keys][:SEEDS_MAX])


def check_operator(genesis: bytes, key: "Key") -> None:
    """Checks that a key is an operator's, before anything is made. Errors: UsageError."""
    from rustorium import _native

    operators = json.loads(_native.genesis_describe(genesis))["parameters"]["operators"]
    if key.public_key not in operators:
        raise UsageError(
            f"{key.address} is not an operator of this chain, so it can't change the committee: name an operator's "
            "--key"
        )


def resume_joiner(path: Path, owner: Path, genesis: bytes, region: int, passphrase: bytes) -> Joiner | None:
    """Returns the joiner that an earlier call made; `None` if there is no home. Errors: HomeError if the home doesn't
    match, KeyFileError."""
    from rustorium import _native

    home = Home(path)
    if not owner.exists() and not (path.exists() and any(path.iterdir())):
        return None
    keys = {"node": home.node_key, "validator": home.validator_key, "owner": owner}
    if not all(file.is_file() for file in (*keys.values(), home.storage_key, home.genesis, home.config)):
        raise HomeError(
            f"{path} and {owner} are there, and are not what `node add` makes: choose another --home, or remove both "
            "if nothing in them is needed",
            code="home-exists",
        )
    if home.genesis_bytes() != genesis:
        raise HomeError(f"{path} is a home of another chain: choose another --home", code="home-exists")
    seeds = {kind: _native.open_key(str(file), kind, passphrase) for kind, file in keys.items()}
    config = home.load_config().config
    return _joiner(config.node.name, home, seeds, region, config.p2p.listen)


def _joiner(name: str, home: Home, seeds: Mapping[str, bytes], region: int, address: str) -> Joiner:
    from rustorium import _native

    genesis = home.genesis_bytes()
    public = {kind: _native.public_key(seed).hex() for kind, seed in seeds.items()}
    chain = _native.genesis_hash(genesis)
    possession = operations.possession_of(seeds["validator"], seeds["node"], chain, public["owner"])
    return Joiner(name, home, public["validator"], public["node"], public["owner"], region, address, possession)


def make_home(
    genesis: Path,
    peers: Mapping[str, str],
    path: Path,
    name: str,
    region: int,
    *,
    listen: Listen,
    passphrase: bytes,
    owner: Path,
    durability: str = "vote",
) -> Joiner:
    """Makes home and keys. Errors: FileExists, HomeError if there is a home."""
    from rustorium import _native

    if owner.exists():
        raise FileExists(owner)
    config = Config(
        node=NodeSection(name),
        p2p=P2pSection(listen.p2p, dict(peers)),
        http=HttpSection(listen.http),
        client=ClientSection(listen.client),
        metrics=MetricsSection(listen.metrics),
        storage=StorageSection(durability="os" if durability == "os" else "vote"),
    )
    home = Home(path)
    home.create(config, genesis.read_text(encoding="utf-8"))
    make_folder(owner.parent)
    seeds: dict[str, bytes] = {}
    for kind, file in (("node", home.node_key), ("validator", home.validator_key), ("owner", owner)):
        seeds[kind] = _native.generate_seed()
        _native.seal_key(str(file), seeds[kind], kind, passphrase)
    _native.StorageKey.create(str(home.storage_key), passphrase)
    return _joiner(name, home, seeds, region, listen.p2p_public or listen.p2p)


def make_joiner(
    genesis: Path,
    nodes: Mapping[str, str],
    committee: Mapping[str, Any],
    path: Path,
    name: str,
    region: int,
    *,
    passphrase: bytes,
    owner: Path,
) -> Joiner:
    """Makes a home on free ports of this machine. `nodes` are addresses by name; `committee` is as a node reports it.
    Errors: FileExists, HomeError, UsageError if the name is taken."""
    if any(name == one["name"] for one in committee["next"]):
        raise UsageError(f"the committee has a validator {name} already: give it another --name")
    peers = peers_of(read_genesis(genesis), nodes, committee["validators"])
    return make_home(genesis, peers, path, name, region, listen=free_listen(), passphrase=passphrase, owner=owner)


def free_listen() -> Listen:
    """Returns four free loopback ports."""
    leases = PortLeases()
    try:
        return Listen(*(f"127.0.0.1:{port}" for port in leases.take(4)))
    finally:
        leases.close()


def allow_follower(homes: Iterable[Path], node_key: str) -> list[Path]:
    """Lets a node that is no member yet follow the nodes of these homes. Returns the homes that aren't on this machine.
    Errors: RustoriumError."""
    from rustorium.node.admin.socket import call

    missing = []
    for path in homes:
        home = Home(path)
        if not home.config.is_file():
            missing.append(path)
            continue
        try:
            call(home.admin_socket, "add_follower", node_key=node_key)
        except NotReady:
            # The node is stopped; it reads this file when it starts.
            add(home.followers, node_key)
    return missing


def start_and_sync(
    joiner: Joiner, passphrase: bytes, timeout_s: float, say: Callable[[str], None] | None = None
) -> int | None:
    """Starts the node, which outlives this process, and waits until it is synced. Returns its process id, `None` if it
    already ran. `say` gets a progress message now and then. Errors: NotReady."""
    from rustorium.net.probe import is_ready

    pid = None if runs(joiner.home) else _start(joiner.home, passphrase)
    url = gateway_url(joiner.home.load_config().config)
    deadline, told = time.monotonic() + timeout_s, time.monotonic()
    while not is_ready(url, joiner.home):
        if say is not None and time.monotonic() >= told + PROGRESS_S:
            say(f"{joiner.name} {_progress(joiner.home)}.")
            told = time.monotonic()
        log = joiner.home.path / "log"
        if pid is not None and (code := _exit_code(pid)) is not None:
            raise NotReady(f"{joiner.name} ended with {code}: read {log}, fix the cause, then run this again")
        if time.monotonic() > deadline:
            raise NotReady(
                f"{joiner.name} isn't synced after {timeout_s:.0f} s and goes on with it: read {log}, or run this "
                "again with a longer --timeout"
            )
        time.sleep(POLL_S)
    return pid


def _progress(home: Home) -> str:
    """Returns the progress of a node that isn't ready, as the end of a sentence."""
    try:
        status: dict[str, Any] = call(home.admin_socket, "status", timeout_s=2.0)
    except NotReady:
        return "starts"
    if filling := status.get("filling"):
        return f"fills its store from a snapshot: {filling.get('percent', 0)} %"
    height = (status.get("at") or {}).get("height", 0)
    return f"is at height {height:,}: {status.get('not_ready_because') or 'ready in a moment'}"


def runs(home: Home) -> bool:
    """Returns whether a process runs this home's node."""
    try:
        with stopped(home):
            return False
    except HomeError as error:
        if error.code == "home-locked":
            return True
        raise


def _start(home: Home, passphrase: bytes) -> int:
    """Starts the node in its own session; returns its process id. `subprocess.Popen` would warn about a process that
    outlives the object."""
    if not (home.path / "passphrase").exists():
        write_private(home.path / "passphrase", passphrase.decode())
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(home.path)]
    with open(home.path / "log" / "stderr.log", "ab") as log:
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
        ]
        return os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setsid=True)


def _exit_code(pid: int) -> int | None:
    """Returns a child's exit code; `None` while it runs. If somebody else has waited for the child, it counts as ended
    with 0."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None


def admit(client: "Client", joiner: Joiner, operator: "Key") -> None:
    """Sends the approval of the operator's account, and waits until it is final.

    First it makes an account for the owner, who can replace the validator's keys alone. Nothing is sent if the next
    committee already has the validator. Errors: Refused, TransactionFailed."""
    if is_wanted(client, joiner):
        return
    make_owner(client, joiner, operator)
    client.send([admission(client, joiner)], key=operator, wait="final")


def is_wanted(client: "Client", joiner: Joiner) -> bool:
    """Returns whether the next committee has the validator."""
    return any(one["validator_key"] == joiner.validator_key for one in client.validators()["next"])


def make_owner(client: "Client", joiner: Joiner, operator: "Key") -> None:
    """Makes an account for the owner, who can replace the validator's keys alone, unless there is one. Errors: Refused,
    TransactionFailed."""
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


def admission(client: "Client", joiner: Joiner) -> Operation:
    """Returns the operation that each operator sends, as the version of the chain's epoch asks for it."""
    proven = int(client.parameters()["version"]) > 1
    return operations.add_validator(
        joiner.name, joiner.validator_key, joiner.node_key, joiner.owner_key, joiner.region, joiner.address,
        joiner.possession if proven else None,
    )  # fmt: skip


def application(
    client: "Client", party: Party, home: Home, passphrase_file: Path | None, environment: Mapping[str, str]
) -> tuple[str, Operation]:
    """Returns the address of the owner's account, and the operation by which operators admit the validator of a home
    that its party made. Errors: UsageError if the home has other keys or the validator is a member, KeyFileError,
    HomeError."""
    from rustorium import _native

    files = {"validator": (home.validator_key, party.validator_key), "node": (home.node_key, party.node_key)}
    seeds: dict[str, bytes] = {}
    for kind, (file, public) in files.items():
        seeds[kind] = open_key_file(file, kind, passphrase_file, environment)
        if _native.public_key(seeds[kind]).hex() != public:
            raise UsageError(
                f"{party.source} has another {kind} key than {home.path}: give the file that this home's `init` printed"
            )
    if any(party.validator_key == one["validator_key"] for one in client.validators()["next"]):
        raise UsageError(f"{party.name} is in the next committee already: there is nothing to apply for")
    chain = _native.genesis_hash(home.genesis_bytes())
    possession = operations.possession_of(seeds["validator"], seeds["node"], chain, party.owner_key)
    keys = (party.validator_key, party.node_key, party.owner_key)
    joiner = Joiner(party.name, home, *keys, party.region, party.address, possession)
    return _native.account_id(party.region, bytes.fromhex(party.owner_key)), admission(client, joiner)


def note_admission(client: "Client", joiner: Joiner, file: Path) -> bool:
    """Writes the operation for the other operators to a file and returns `True`, unless the next committee has the
    validator."""
    if is_wanted(client, joiner):
        return False
    file.write_text(json.dumps([admission(client, joiner)], indent=1) + "\n")
    return True


def remove(client: "Client", validator: Mapping[str, Any], operator: "Key") -> None:
    """Sends the operator's approval, and waits until it is final. Errors: Refused, TransactionFailed."""
    client.send([operations.remove_validator(str(validator["validator_key"]))], key=operator, wait="final")


def find(validators: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Returns the validator with this name or key. Errors: NotFound, UsageError if several have the name."""
    found = [one for one in validators if name in (one["name"], one["validator_key"])]
    if not found:
        names = ", ".join(str(one["name"]) for one in validators)
        raise NotFound(f"the committee has no validator {name}, but {names}", code="no-such-validator")
    if len(found) > 1:
        raise UsageError(f"several validators are called {name}: give the key of one")
    return found[0]


def epoch_may_end_ms(client: "Client") -> int:
    """Returns the earliest header time (Unix ms) at which an approved committee change may end the current epoch; 0 if
    at once. The client needs a genesis or checkpoint. Errors: VerificationFailed."""
    age_ms = int(client.parameters()["parameters"]["min_epoch_ms"])
    return int(client.catch_up()["time_ms"]) + age_ms if age_ms else 0


def end_epoch(client: "Client", operator: "Key") -> int:
    """Sends the operator's approval that the epoch ends now, and waits until it is final; returns the epoch. Errors:
    Refused, TransactionFailed."""
    epoch = int(client.validators()["epoch"])
    client.send([operations.end_epoch(epoch)], key=operator, wait="final")
    return epoch


def wait_for_committee(client: "Client", validator_key: str, member: bool, timeout_s: float) -> int:
    """Waits until the current epoch's committee has the validator, or has it no more; returns the epoch. Errors:
    NotReady."""
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
