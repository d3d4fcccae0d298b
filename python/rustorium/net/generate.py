"""Makes all files of a new net: the genesis, one home per validator, separate owner keys, and funded accounts with
keys.

Invariants: nothing is overwritten; every key is sealed; validators and accounts are numbered in the genesis' order; if
each party has its own passphrase, it opens only that party's keys.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rustorium.access.keyfiles import account_kind
from rustorium.access.passphrases import new_random_passphrase
from rustorium.access.private import make_folder, write_private
from rustorium.config import (
    ClientSection,
    Config,
    GatewaySection,
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
from rustorium.home.paths import Home
from rustorium.net.presets import CORES, PRESETS, PresetName, parameters_with
from rustorium.ranges import cuts, listed
from rustorium.regions import OWN_MAX, own_labels, region_byte

OWNER_STORAGE_BYTES = 1 << 16
ACCOUNT_AMOUNT = 1_000_000_000
ASSET_SYMBOL = "COIN"
VALIDATORS_MAX = 128
SPONSORS_MAX = 256
SHARDS_MAX = 16
NEWEST_VERSION = 2
"""The protocol version of new chains; tests also make chains of version 1."""
POOL = 1
"""The number of the only pool in a generated genesis."""


@dataclass(frozen=True, slots=True)
class Listen:
    """The addresses on which a validator listens, and the one that peers dial."""

    p2p: str
    http: str
    client: str
    metrics: str
    p2p_public: str = ""
    """The address that peers dial; empty: `p2p`."""
    name: str = ""
    """The name under which clients reach the gateway; empty: its address."""


@dataclass(frozen=True, slots=True)
class NetPlan:
    """The parameters of a new net."""

    name: str
    listen: Sequence[Listen]
    """The addresses of each validator."""
    regions: Sequence[str] = ("local",)
    """Regions, assigned to validators and accounts in turn."""
    accounts: int = 4
    matrix: Path | None = None
    """File of round-trip times between `regions`, by which links are delayed; `None`: no delay."""
    durability: str = "vote"
    seed: int = 0
    """Seed of the link shaper."""
    pool_key: bytes | None = None
    """The verifying key of the pool of shielded value (number 1); `None`: no pool."""
    random_passphrase: bool = False
    """`True` if the passphrase is random with at least 128 bits, so that sealing need not be slow."""
    version: int = NEWEST_VERSION
    """The protocol version that the chain's headers carry."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Chain parameters that differ from the defaults. Without `operators`, the first account is the only operator."""
    tls: tuple[str, str] | None = None
    """Paths of the gateways' certificate and key; `None`: plain HTTP."""
    operators: int = 0
    """Number of operators with own accounts, which hold no assets; 0: the first account is the only operator."""
    operator_quorum: int = 1
    """Number of operators who must approve."""
    preset: PresetName = "private"
    """The quotas of accounts and sponsors; version 1 has those of its own defaults."""
    cores: int = CORES
    """Cores of each validator, by which the preset's work is scaled."""
    shards: int = 1
    """Number of shards. Each has about as many of the accounts."""
    apart: bool = False
    """`True` if each shard has validators of its own; otherwise each has all."""
    committees: tuple[tuple[int, ...], ...] = ()
    """The validators of each shard, by number, in place of `shards` and `apart`. The root shard, which is the first,
    then has none of the accounts."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of a validator."""

    name: str
    region: str
    home: Path
    listen: Listen


@dataclass(frozen=True, slots=True)
class AccountFiles:
    """The files of a funded account."""

    address: str
    key_file: Path


@dataclass(frozen=True, slots=True)
class NetFiles:
    """The generated files."""

    name: str
    chain: str
    genesis: Path
    asset: str
    """Id of the asset that every account holds."""
    nodes: tuple[NodeFiles, ...]
    accounts: tuple[AccountFiles, ...]
    operators: tuple[AccountFiles, ...] = ()


@dataclass(frozen=True, slots=True)
class _Keys:
    seed: bytes = field(repr=False)
    public: bytes


@dataclass(frozen=True, slots=True)
class _AllKeys:
    """The keys of all parties; those of accounts and operators with their region bytes."""

    validator: list[_Keys]
    node: list[_Keys]
    owner: list[_Keys]
    accounts: list[tuple[int, _Keys]]
    operators: list[tuple[int, _Keys]]


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """A key file to write; the seed is `None` for a storage key, which is generated when it is sealed."""

    path: Path
    kind: str
    keys: _Keys | None


def generate(
    root: Path, plan: NetPlan, passphrase: bytes | None, progress: Callable[[int, int], None] | None = None
) -> NetFiles:
    """Makes the net below `root`. With a passphrase it makes `nodes/NAME`, `owners/NAME.key`, `accounts/account-N.key`
    and `genesis.json`, and that passphrase opens all keys.

    Without one, each party gets its own: `passphrases/NAME` opens the home `nodes/NAME`; `owners/NAME/owner.key`,
    `operators/NAME/account.key` and `accounts/` have a file `passphrase` beside them.

    Errors: UsageError for an impossible plan, HomeError if files exist."""
    from rustorium import _native

    _check(plan)
    names = [f"node-{index}" for index in range(len(plan.listen))]
    keys = _draw(plan)
    addresses = [_native.account_id(region, one.public) for region, one in keys.accounts]
    asset = _native.asset_id(addresses[0], ASSET_SYMBOL) if addresses else ""
    genesis_json = _genesis(plan, names, keys, asset)
    chain = _native.genesis_hash(_native.genesis_encode(genesis_json))
    for folder in (root, root / "nodes", root / "owners", root / "accounts"):
        make_folder(folder)
    write_private(root / "genesis.json", genesis_json)
    homes = [Home(root / "nodes" / name) for name in names]
    for index, home in enumerate(homes):
        home.create(_config(plan, names, index), genesis_json)
    apart = passphrase is None
    owner_files = [root / "owners" / (f"{name}/owner.key" if apart else f"{name}.key") for name in names]
    account_files = [root / "accounts" / f"account-{i}.key" for i in range(plan.accounts)]
    operator_files = [root / "operators" / f"operator-{i}" / "account.key" for i in range(plan.operators)]
    seal = [_KeyFile(home.node_key, "node", one) for home, one in zip(homes, keys.node, strict=True)]
    seal += [_KeyFile(home.validator_key, "validator", one) for home, one in zip(homes, keys.validator, strict=True)]
    seal += [_KeyFile(home.storage_key, "storage", None) for home in homes]
    seal += [_KeyFile(file, "owner", one) for file, one in zip(owner_files, keys.owner, strict=True)]
    for files, accounts in ((account_files, keys.accounts), (operator_files, keys.operators)):
        seal += [_KeyFile(file, account_kind(place), one) for file, (place, one) in zip(files, accounts, strict=True)]
    opens = (lambda _: passphrase) if passphrase is not None else _drawn_passphrases(root)
    _seal_all(seal, opens, plan.random_passphrase or apart, progress)
    operators = [_native.account_id(region, one.public) for region, one in keys.operators]
    return NetFiles(
        plan.name,
        chain,
        root / "genesis.json",
        asset,
        tuple(
            NodeFiles(name, plan.regions[i % len(plan.regions)], home.path, plan.listen[i])
            for i, (name, home) in enumerate(zip(names, homes, strict=True))
        ),
        tuple(AccountFiles(address, path) for address, path in zip(addresses, account_files, strict=True)),
        tuple(AccountFiles(address, path) for address, path in zip(operators, operator_files, strict=True)),
    )


def _draw(plan: NetPlan) -> "_AllKeys":
    places = [region_byte(region, plan.regions) for region in plan.regions]
    validator, node, owner = ([_new_keys() for _ in plan.listen] for _ in range(3))
    accounts, operators = (
        sorted(((places[i % len(places)], _new_keys()) for i in range(count)), key=lambda a: (a[0], a[1].public))
        for count in (plan.accounts, plan.operators)
    )
    return _AllKeys(validator, node, owner, accounts, operators)


def _genesis(plan: NetPlan, names: Sequence[str], keys: "_AllKeys", asset: str) -> str:
    """Returns the genesis as JSON. Errors: UsageError."""
    from rustorium import _native

    places = [region_byte(region, plan.regions) for region in plan.regions]
    validator, node, owner = keys.validator, keys.node, keys.owner
    preset = PRESETS[plan.preset]
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
            for i in range(len(names))
        ],
        "accounts": [
            {
                "region": region,
                "public_key": one.public.hex(),
                "storage_bytes": preset.storage_bytes,
                "balances": [{"asset": asset, "amount": str(ACCOUNT_AMOUNT)}],
            }
            for region, one in keys.accounts
        ]
        # A validator's owner replaces its keys by transactions from its own account.
        + [
            {"region": places[i % len(places)], "public_key": one.public.hex(), "storage_bytes": OWNER_STORAGE_BYTES}
            for i, one in enumerate(owner)
        ]
        # An operator approves by transactions from its own account, which also gives storage to new validators' owners.
        + [
            {"region": region, "public_key": one.public.hex(), "storage_bytes": preset.storage_bytes}
            for region, one in keys.operators
        ],
    }
    if plan.pool_key is not None:
        hashed = _native.value_hash(plan.pool_key).hex()
        genesis["pools"] = [{"number": POOL, "key_hash": hashed, "key_hex": plan.pool_key.hex()}]
    if plan.version > 1:
        holders = [_native.account_id(region, one.public) for region, one in (*keys.accounts, *keys.operators)]
        genesis["sponsors"] = preset.sponsors_of(holders[:SPONSORS_MAX])
    addresses = [_native.account_id(region, one.public) for region, one in keys.accounts]
    if plan.committees:
        genesis["shards"] = _beside_root(addresses, plan.committees)
    elif plan.shards > 1:
        genesis["shards"] = shards_section(addresses, len(names), plan.shards, apart=plan.apart)
    try:
        encoded = _native.genesis_encode(json.dumps(genesis))
    except ValueError as error:
        raise UsageError(str(error)) from None
    defaults = json.loads(_native.genesis_describe(encoded))["parameters"]
    if unknown := [name for name in plan.parameters if name not in defaults]:
        raise UsageError(f"there is no chain parameter {unknown[0]}{nearest(unknown[0], defaults)}")
    governing = keys.operators or keys.accounts[:1]
    operators = {
        "operators": [one.public.hex() for _, one in governing],
        "operator_quorum": plan.operator_quorum if keys.operators else len(governing),
    }
    if "epoch_ms" in plan.parameters:
        defaults.pop("min_epoch_ms", None)  # it follows from the epoch's length
    wished = parameters_with(plan.preset, plan.parameters, plan.cores) if plan.version > 1 else plan.parameters
    genesis["parameters"] = defaults | operators | wished
    return json.dumps(genesis, indent=1)


def shards_section(addresses: Sequence[str], validators: int, shards: int, *, apart: bool) -> list[dict[str, object]]:
    """Returns the shards of a genesis, which divide these accounts evenly. `apart`: each has validators of its own, in
    place of all. Errors: UsageError."""
    from rustorium import _native

    if not 1 <= shards <= SHARDS_MAX:
        raise UsageError(f"a net begins with 1 to {SHARDS_MAX} shards, not {shards}: change --shards")
    if shards > max(len(addresses), 1):
        raise UsageError(f"{shards} shards need as many accounts to divide: name {shards} or more")
    if apart and shards > validators:
        raise UsageError(f"{shards} committees that are apart need as many validators: name {shards} or more")
    parts = [range(shard * validators // shards, (shard + 1) * validators // shards) for shard in range(shards)]
    lowest = cuts([_native.parse_address(one) for one in addresses], shards)
    committees = [part if apart else range(validators) for part in parts]
    return listed([*map(_native.format_address, lowest)], committees)


def _beside_root(addresses: Sequence[str], committees: Sequence[Sequence[int]]) -> list[dict[str, object]]:
    """Returns the shards of a genesis, of which all but the first one, the root, divide these accounts evenly."""
    from rustorium import _native

    ids = [_native.parse_address(one) for one in addresses]
    lowest = [min(ids), *cuts(ids, len(committees) - 1)]
    return listed([*map(_native.format_address, lowest)], committees)


def _check(plan: NetPlan) -> None:
    if not 1 <= len(plan.listen) <= VALIDATORS_MAX:
        raise UsageError(f"a net has 1 to {VALIDATORS_MAX} validators, not {len(plan.listen)}: change --nodes")
    if not plan.regions or len(set(plan.regions)) != len(plan.regions) or "" in plan.regions:
        raise UsageError("a net needs at least one region name, and each only once: change --regions")
    if len(own_labels(plan.regions)) > OWN_MAX:
        raise UsageError(f"a net has at most {OWN_MAX} region names of its own: name known regions in --regions")
    if not 0 <= plan.accounts <= 100_000:
        raise UsageError("a genesis has 0 to 100000 accounts: change --accounts")
    if not 1 <= plan.shards <= SHARDS_MAX:
        raise UsageError(f"a net begins with 1 to {SHARDS_MAX} shards, not {plan.shards}: change --shards")
    if plan.shards > max(plan.accounts, 1):
        raise UsageError(f"{plan.shards} shards need as many accounts to divide: give --accounts {plan.shards} or more")
    if plan.apart and plan.shards > len(plan.listen):
        raise UsageError(f"{plan.shards} committees that are apart need as many validators: give --nodes {plan.shards}")
    if plan.committees and not 1 < len(plan.committees) <= min(SHARDS_MAX, plan.accounts + 1):
        raise UsageError(f"{len(plan.committees)} committees: name the root's and 1 to 15 others, each with an account")
    if max(plan.shards, len(plan.committees)) > 1 and plan.version < NEWEST_VERSION:
        raise UsageError(f"a chain of protocol version {plan.version} has one shard: leave --shards out")
    least, most = quorum_bounds(plan.operators)
    if plan.operators and not least <= plan.operator_quorum <= most:
        raise UsageError(
            f"a quorum of {plan.operator_quorum} of {plan.operators} operators isn't possible: "
            f"give an --operator-quorum of {least} to {most}"
        )


def quorum_bounds(operators: int) -> tuple[int, int]:
    """Returns the least and the largest quorum that so many operators may have (V45): more than half of them decide,
    and from three on one of them may be lost."""
    return operators // 2 + 1, operators if operators < 3 else operators - 1


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
    hosts, (certificate, key) = [listen.name] if listen.name else [], plan.tls or ("", "")
    return Config(
        node=NodeSection(names[index]),
        p2p=P2pSection(listen.p2p, peers),
        http=HttpSection(listen.http),
        client=ClientSection(listen.client),
        gateway=GatewaySection(hosts=hosts, tls_certificate=certificate, tls_key=key),
        metrics=MetricsSection(listen.metrics),
        storage=StorageSection(durability="os" if plan.durability == "os" else "vote"),
        keys=KeysSection(),
        shaper=shaper,
    )


def _drawn_passphrases(root: Path) -> Callable[[Path], bytes]:
    """Returns a function that finds a key file's passphrase; each party's passphrase is generated on first use."""

    drawn: dict[Path, bytes] = {}

    def opens(path: Path) -> bytes:
        home = path.parent.parent == root / "nodes"
        place = root / "passphrases" / path.parent.name if home else path.parent / "passphrase"
        if place not in drawn:
            make_folder(place.parent)
            drawn[place] = new_random_passphrase(place)
        return drawn[place]

    return opens


def _seal_all(
    items: Sequence[_KeyFile],
    passphrase: Callable[[Path], bytes],
    random_passphrase: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Seals the keys in several threads: Argon2id is slow on purpose for chosen passphrases, and runs without the
    GIL."""
    from rustorium import _native

    def seal(item: tuple[_KeyFile, bytes]) -> None:
        one, opens = item
        if one.keys is None:
            _native.StorageKey.create(str(one.path), opens, random_passphrase)
        else:
            _native.seal_key(str(one.path), one.keys.seed, one.kind, opens, random_passphrase)

    # Passphrases are found in one thread, so that each is generated only once.
    work = [(one, passphrase(one.path)) for one in items]
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, _ in enumerate(pool.map(seal, work), start=1):
            if progress is not None:
                progress(done, len(work))
