"""The chain of a simulated net: keys, genesis and accounts, all made from names.

Invariants: the same shape gives the same bytes; no key is drawn at random.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Any

from rustorium import _native, ranges

START_MS = 1_800_000_000_000
"""The genesis' time."""
EXPIRES_MS = START_MS + 12 * 3_600_000
"""Expiry of transactions that outlive the run, whatever its clocks do."""
NEWEST_VERSION = 2
"""The newest protocol version that this release knows."""
REGION = 3
AMOUNT = 1_000_000_000
STORAGE_BYTES = 1 << 30


def seed_of(*name: object) -> bytes:
    """Returns the seed of a key, by its name."""
    return hashlib.blake2b(" ".join(map(str, name)).encode(), digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Account:
    """A signer of transactions."""

    seed: bytes
    address: str
    region: int = REGION


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction."""

    id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Net:
    """A chain and its nodes' keys."""

    n: int
    """Size of the first committee."""
    genesis: bytes
    chain: str
    accounts: tuple[Account, ...]
    """The last accounts are the operators'. The one before them is a validator's owner's, if there is one."""
    owner: int | None
    """The node whose owner has an account."""
    asset: str
    native: _native.SimChain
    version: int = 2
    """The protocol version of its genesis."""
    shard: int = 0
    """The shard whose nodes these are."""
    operators: int = 1
    """The number of operators."""
    custodians: int = 0
    """The number of accounts before the owner's and the operators' whose keys change."""
    shards: _native.Shards | None = None
    """The shards that divide the accounts; `None` if each shard has all."""
    members: tuple[int, ...] = ()
    """The numbers of the first committee's nodes, by their places."""
    hosts: frozenset[int] | None = None
    """The numbers of the nodes that host the shard; `None` if all do."""

    def is_hosted_by(self, node: int) -> bool:
        """Tells whether a node hosts the shard."""
        return self.hosts is None or node in self.hosts

    def is_here(self, address: str) -> bool:
        """Tells whether the shard has an account."""
        return self.shards is None or self.shards.of(address) == self.shard

    @staticmethod
    def validator_seed(node: int, number: int = 0) -> bytes:
        """Returns the seed of a node's validator key number `number`."""
        return seed_of("validator", node, number)

    def validator_key(self, node: int, number: int = 0) -> bytes:
        """Returns the public half of that key."""
        return _native.public_key(self.validator_seed(node, number))

    @staticmethod
    def validator(node: int) -> dict[str, Any]:
        """Describes a node as a committee's member, with its first key."""
        return {
            "name": f"node-{node}",
            "validator_key": _native.public_key(seed_of("validator", node, 0)).hex(),
            "node_key": _native.public_key(seed_of("node", node)).hex(),
            "owner_key": _native.public_key(seed_of("owner", node)).hex(),
            "region": REGION,
        }

    def possession(self, node: int, number: int, version: int) -> dict[str, Any]:
        """Returns the proof that a node holds its validator key number `number`, as a part of an operation; empty under
        protocol version 1."""
        if version == 1:
            return {}
        seeds, owner = (seed_of("validator", node, number), seed_of("node", node)), seed_of("owner", node)
        proof = _native.prove_possession(*seeds, self.chain, _native.public_key(owner).hex())
        return {"possession": json.loads(proof)}

    def sign(self, account: int, nonce: int, operations: list[dict[str, Any]], expires_ms: int = EXPIRES_MS) -> Signed:
        """Signs an account's transaction with this nonce."""
        seed = self.accounts[account].seed
        made = _native.build_transaction(
            seed,
            self.chain,
            self.accounts[account].region,
            nonce,
            expires_ms,
            None,
            json.dumps(operations, separators=(",", ":")),
        )
        return Signed(*made)


@lru_cache(maxsize=16)
def make_net(
    n: int,
    nodes: int,
    accounts: int,
    parameters: tuple[tuple[str, Any], ...] = (),
    version: int = 2,
    owner: int | None = None,
    shard: int = 0,
    operators: int = 1,
    quorum: int = 1,
    custodians: int = 0,
    shards: int = 1,
    placed: tuple[tuple[int, ...], ...] = (),
    regions: tuple[int, ...] = (),
) -> Net:
    """Makes a net of `nodes`, of which the first `n` are validators of the shard. `parameters` are those that differ
    from the default; those of a group are pairs of their names and values. The owner of node `owner` has an account
    too; epochs then have their default minimum age. The last `operators` accounts are operators', `quorum` of whom
    decide. The keys of the `custodians` accounts before them change. `shards`: the accounts are divided among so
    many, if the version has charters. `placed`: the members of each shard, by their numbers, if not all shards have the
    first `n`; a node hosts the root shard and the shards that it is a member of. `regions`: those of the nodes, if not
    all are in one; accounts are in each of them in turn."""
    node_keys = [_native.public_key(seed_of("node", index)) for index in range(nodes)]
    seeds = [seed_of("account", index) for index in range(accounts)]
    if owner is not None:
        seeds.insert(-operators, seed_of("owner", owner))
    regions = regions or (REGION,)
    people = [
        Account(seed, _native.account_id(region, _native.public_key(seed)), region)
        for seed, region in zip(seeds, cycle(regions), strict=False)
    ]
    asset = _native.asset_id(people[0].address, "COIN")
    genesis: dict[str, Any] = {
        "version": version,
        "name": "simulated",
        "time_ms": START_MS,
        "validators": [
            Net.validator(index) | {"region": region}
            for index, region in zip(range(max(map(max, placed), default=n - 1) + 1), cycle(regions), strict=False)
        ],
        "accounts": [
            {
                "region": person.region,
                "public_key": _native.public_key(person.seed).hex(),
                "storage_bytes": STORAGE_BYTES,
                "balances": [{"asset": asset, "amount": str(AMOUNT)}],
            }
            for person in people
        ],
    }
    defaults = json.loads(_native.genesis_describe(_native.genesis_encode(json.dumps(genesis))))["parameters"]
    governors = {
        "operators": [_native.public_key(seed).hex() for seed in seeds[-operators:]],
        "operator_quorum": quorum,
    }
    ages = {"min_epoch_ms": 1_000} if version > 1 and owner is None else {}
    changed = {name: dict(value) if name == "capacity" else value for name, value in parameters}
    genesis["parameters"] = defaults | governors | ages | changed
    divided = shards > 1 and version > 1
    if divided:
        lowest = ranges.cuts([_native.parse_address(person.address) for person in people], shards)
        firsts = [*map(_native.format_address, lowest)]
        genesis["shards"] = ranges.listed(firsts, placed or (range(n),) * shards)
    raw = _native.genesis_encode(json.dumps(genesis))
    chain = _native.genesis_hash(raw)
    native = _native.SimChain(raw, node_keys, shard)
    listed = _native.Shards(raw) if divided else None
    members = placed[shard] if placed else tuple(range(n))
    hosts = frozenset(members) if placed and shard > 0 else None
    return Net(
        len(members),
        raw,
        chain,
        tuple(people),
        owner,
        asset,
        native,
        version,
        shard,
        operators,
        custodians,
        listed,
        members,
        hosts,
    )
