"""Makes all files of a new net: genesis, one home per validator, owner keys apart, funded accounts with keys.

Invariants: nothing is overwritten; every key is sealed; validators and accounts are named in the genesis' order.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rustorium.config import (
    ClientSection,
    Config,
    HttpSection,
    KeysSection,
    MetricsSection,
    NodeSection,
    P2pSection,
    ShaperSection,
    StorageSection,
    nearest,
)
from rustorium.errors import UsageError
from rustorium.home import Home, make_folder, write_private
from rustorium.regions import OWN_MAX, own_labels, region_byte

ACCOUNT_STORAGE_BYTES = 1 << 40
OWNER_STORAGE_BYTES = 1 << 16
ACCOUNT_AMOUNT = 1_000_000_000
ASSET_SYMBOL = "COIN"
VALIDATORS_MAX = 128
PROTOCOL_VERSION = 2
"""What new chains follow; tests make chains of version 1 too."""
POOL = 1
"""The number of the one pool that a made genesis has."""
RTT_MATRIX = Path(__file__).parent / "data" / "region_rtt_ms.json"


def account_kind(region: int) -> str:
    """The kind of an account's key file: it names the home region, without which a key has no address."""
    return f"account:{region}"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where one validator listens, and where its peers find it."""

    p2p: str
    http: str
    client: str
    metrics: str
    p2p_public: str = ""
    """What peers dial; empty: `p2p`."""


@dataclass(frozen=True, slots=True)
class NetPlan:
    """What to make."""

    name: str
    listen: Sequence[Listen]
    """One per validator."""
    regions: Sequence[str] = ("local",)
    """Validators and accounts take these in turn."""
    accounts: int = 4
    matrix: Path | None = None
    """Round-trip times between `regions`, to delay the links by; None: no delay."""
    durability: str = "vote"
    seed: int = 0
    """Of the link shaper."""
    pool_key: bytes | None = None
    """The verifying key of the pool of shielded value, number 1; None: no pool."""
    random_passphrase: bool = False
    """Whether the keys' passphrase was drawn at random, with 128 bits at least: sealing need not be slow then."""
    version: int = PROTOCOL_VERSION
    """The protocol version that the chain's headers carry."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What differs from the default chain parameters. Operators, where it names none: the first account alone."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """A validator's home."""

    name: str
    region: str
    home: Path
    listen: Listen


@dataclass(frozen=True, slots=True)
class AccountFiles:
    """A funded account."""

    address: str
    key_file: Path


@dataclass(frozen=True, slots=True)
class NetFiles:
    """What was made."""

    name: str
    chain: str
    genesis: Path
    asset: str
    """Of which every account holds some."""
    nodes: tuple[NodeFiles, ...]
    accounts: tuple[AccountFiles, ...]


@dataclass(frozen=True, slots=True)
class _Keys:
    seed: bytes
    public: bytes


def generate(
    root: Path, plan: NetPlan, passphrase: bytes, progress: Callable[[int, int], None] | None = None
) -> NetFiles:
    """Makes the net below `root`: `nodes/NAME`, `owners/NAME.key`, `accounts/account-N.key`, `genesis.json`.

    Errors: UsageError for a plan that doesn't fit, HomeError where files exist."""
    from rustorium import _native

    _check(plan)
    n = len(plan.listen)
    places = [region_byte(region, plan.regions) for region in plan.regions]
    names = [f"node-{index}" for index in range(n)]
    validator, node, owner = ([_new_keys() for _ in range(n)] for _ in range(3))
    account = sorted(
        ((places[i % len(places)], _new_keys()) for i in range(plan.accounts)), key=lambda a: (a[0], a[1].public)
    )
    addresses = [_native.account_id(region, keys.public) for region, keys in account]
    asset = _native.asset_id(addresses[0], ASSET_SYMBOL) if addresses else ""
    genesis: dict[str, Any] = {
        "version": plan.version,
        "name": plan.name,
        "time_ms": time.time_ns() // 1_000_000,
        "validators": [
            {
                "name": names[i],
                "validator_key": validator[i].public.hex(),
                "node_key": node[i].public.hex(),
                "owner_key": owner[i].public.hex(),
                "region": places[i % len(places)],
            }
            for i in range(n)
        ],
        "accounts": [
            {
                "region": region,
                "public_key": keys.public.hex(),
                "storage_bytes": ACCOUNT_STORAGE_BYTES,
                "balances": [{"asset": asset, "amount": str(ACCOUNT_AMOUNT)}],
            }
            for region, keys in account
        ]
        # A validator's owner replaces its keys by transactions of its own.
        + [
            {"region": places[i % len(places)], "public_key": keys.public.hex(), "storage_bytes": OWNER_STORAGE_BYTES}
            for i, keys in enumerate(owner)
        ],
    }
    if plan.pool_key is not None:
        hashed = _native.value_hash(plan.pool_key).hex()
        genesis["pools"] = [{"number": POOL, "key_hash": hashed, "key_hex": plan.pool_key.hex()}]
    try:
        encoded = _native.genesis_encode(json.dumps(genesis))
    except ValueError as error:
        raise UsageError(str(error)) from None
    defaults = json.loads(_native.genesis_describe(encoded))["parameters"]
    if unknown := [name for name in plan.parameters if name not in defaults]:
        raise UsageError(f"there is no chain parameter {unknown[0]}{nearest(unknown[0], defaults)}")
    operators = {"operators": [keys.public.hex() for _, keys in account[:1]], "operator_quorum": len(account[:1])}
    if "epoch_ms" in plan.parameters:
        defaults.pop("epoch_age_min_ms", None)  # it follows from the epoch's length
    genesis["parameters"] = defaults | operators | plan.parameters
    genesis_json = json.dumps(genesis, indent=1)
    chain = _native.genesis_hash(_native.genesis_encode(genesis_json))
    for folder in (root, root / "nodes", root / "owners", root / "accounts"):
        make_folder(folder)
    write_private(root / "genesis.json", genesis_json)
    homes = [Home(root / "nodes" / name) for name in names]
    for index, home in enumerate(homes):
        home.create(_config(plan, names, index), genesis_json)
    key_files = [root / "accounts" / f"account-{i}.key" for i in range(plan.accounts)]
    seal = [(home.node_key, "node", keys) for home, keys in zip(homes, node, strict=True)]
    seal += [(home.validator_key, "validator", keys) for home, keys in zip(homes, validator, strict=True)]
    seal += [(root / "owners" / f"{name}.key", "owner", keys) for name, keys in zip(names, owner, strict=True)]
    seal += [(path, account_kind(region), keys) for path, (region, keys) in zip(key_files, account, strict=True)]
    _seal_all(seal, [home.storage_key for home in homes], passphrase, plan.random_passphrase, progress)
    return NetFiles(
        plan.name,
        chain,
        root / "genesis.json",
        asset,
        tuple(
            NodeFiles(name, plan.regions[i % len(plan.regions)], home.path, plan.listen[i])
            for i, (name, home) in enumerate(zip(names, homes, strict=True))
        ),
        tuple(AccountFiles(address, path) for address, path in zip(addresses, key_files, strict=True)),
    )


def matrix_regions(matrix: Path) -> list[str]:
    """The regions of a round-trip matrix file. Errors: UsageError."""
    try:
        content: Any = json.loads(matrix.read_text())
        content = content.get("aws", content)
        return [str(region) for region in content["regions"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{matrix} is not a matrix of round-trip times ({error}): name another file") from None


def matrix_for(regions: Sequence[str], matrix: Path | None) -> Path | None:
    """The matrix to delay links by: the given one, or the one that comes along where it knows all regions; None where
    it knows none of them (they are labels then). Errors: UsageError where it knows some only."""
    known = matrix_regions(matrix or RTT_MATRIX)
    unknown = [region for region in regions if region not in known]
    if not unknown:
        return matrix or RTT_MATRIX
    if matrix is None and len(unknown) == len(regions):
        return None
    raise UsageError(f"there are no round-trip times for region {unknown[0]}{nearest(unknown[0], known)}")


def _check(plan: NetPlan) -> None:
    if not 1 <= len(plan.listen) <= VALIDATORS_MAX:
        raise UsageError(f"a net has 1 to {VALIDATORS_MAX} validators, not {len(plan.listen)}: change --nodes")
    if not plan.regions or len(set(plan.regions)) != len(plan.regions) or "" in plan.regions:
        raise UsageError("a net has one region name at least, and each once: change --regions")
    if len(own_labels(plan.regions)) > OWN_MAX:
        raise UsageError(f"a net has at most {OWN_MAX} region names of its own: name known regions in --regions")
    if not 0 <= plan.accounts <= 100_000:
        raise UsageError("a genesis has 0 to 100000 accounts: change --accounts")


def _new_keys() -> _Keys:
    from rustorium import _native

    seed = _native.generate_seed()
    return _Keys(seed, _native.public_key(seed))


def _config(plan: NetPlan, names: list[str], index: int) -> Config:
    listen = plan.listen[index]
    peers = {
        name: other.p2p_public or other.p2p
        for number, (name, other) in enumerate(zip(names, plan.listen, strict=True))
        if number != index
    }
    shaper = ShaperSection()
    if plan.matrix is not None:
        regions = [plan.regions[i % len(plan.regions)] for i in range(len(names))]
        shaper = ShaperSection(matrix=str(plan.matrix.absolute()), regions=regions, seed=plan.seed)
    return Config(
        node=NodeSection(names[index]),
        p2p=P2pSection(listen.p2p, peers),
        http=HttpSection(listen.http),
        client=ClientSection(listen.client),
        metrics=MetricsSection(listen.metrics),
        storage=StorageSection(durability="os" if plan.durability == "os" else "vote"),
        keys=KeysSection(),
        shaper=shaper,
    )


def _seal_all(
    items: list[tuple[Path, str, _Keys]],
    storage_keys: list[Path],
    passphrase: bytes,
    random_passphrase: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Sealing is slow on purpose (Argon2id) where a person may have chosen the passphrase, and runs outside the GIL, so
    that threads help."""
    from rustorium import _native

    def seal(item: tuple[Path, str, _Keys | None]) -> None:
        path, kind, keys = item
        if keys is None:
            _native.StorageKey.create(str(path), passphrase, random_passphrase)
        else:
            _native.seal_key(str(path), keys.seed, kind, passphrase, random_passphrase)

    work: list[tuple[Path, str, _Keys | None]] = [*items, *((path, "storage", None) for path in storage_keys)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, _ in enumerate(pool.map(seal, work), start=1):
            if progress is not None:
                progress(done, len(work))
