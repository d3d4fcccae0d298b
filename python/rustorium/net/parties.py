"""Makes the genesis of a net with several owners from the files of the parties' commands.

Invariants: no secret is read; each validator has a proof that its party holds its keys; the same files give the same
genesis except for its time.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rustorium.access.private import read_text
from rustorium.api import Operation
from rustorium.config import nearest, split_address
from rustorium.errors import UsageError, VerificationFailed
from rustorium.home.setup import NO_CHAIN
from rustorium.net.generate import NEWEST_VERSION, OWNER_STORAGE_BYTES, SPONSORS_MAX, shards_section
from rustorium.net.presets import CORES, PRESETS, PresetName, parameters_with

FILE_BYTES_MAX = 64 * 1024
"""Maximum number of bytes in a party's file; commands print less than 1 KiB."""
VALIDATOR_KEYS = ("validator_key", "node_key", "owner_key")


@dataclass(frozen=True, slots=True)
class Party:
    """A validator, as its party's `init` printed it."""

    source: str
    name: str
    validator_key: str
    node_key: str
    owner_key: str
    region: int
    address: str
    possession: Operation = field(repr=False)

    @property
    def entry(self) -> dict[str, Any]:
        """Returns its entry in the genesis."""
        keys = {name: getattr(self, name) for name in VALIDATOR_KEYS}
        return {"name": self.name, **keys, "region": self.region, "address": self.address}


@dataclass(frozen=True, slots=True)
class Holder:
    """An account, as `keys new` printed it."""

    source: str
    address: str
    public_key: str
    region: int


def read_party(path: Path) -> Party:
    """Reads the output of `init -o json`, and checks its proof of possession. Errors: UsageError,
    VerificationFailed."""
    from rustorium import _native

    found = _fields(path, "`rustorium-node init -o json` prints it", "possession")
    try:
        party = Party(
            str(path),
            _text(found, "name"),
            _key(found, "validator_key"),
            _key(found, "node_key"),
            _key(found, "owner_key"),
            _region(found),
            _text(found, "address"),
            {name: str(found["possession"][name]) for name in ("validator", "node")},
        )
        split_address(party.address)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} doesn't describe a validator ({error}): ask its party for the file again") from None
    keys = (party.validator_key, party.node_key, NO_CHAIN, party.owner_key)
    try:
        holds = _native.possession_holds(*keys, json.dumps(party.possession))
    except ValueError:
        holds = False
    if not holds:
        raise VerificationFailed(
            f"{path} doesn't prove that the party of {party.name} holds its keys: it was changed, ask for it again",
            code="not-possessed",
        )
    return party


def read_holder(path: Path) -> Holder:
    """Reads the output of `keys new -o json`. Errors: UsageError."""
    from rustorium import _native

    found = _fields(path, "`rustorium keys new -o json` prints it", "public_key")
    try:
        holder = Holder(str(path), _text(found, "address"), _key(found, "public_key"), _region(found))
        fits = _native.account_id(holder.region, bytes.fromhex(holder.public_key)) == holder.address
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} doesn't describe an account ({error}): ask its holder for the file again") from None
    if not fits:
        raise UsageError(f"{path} has an address and a key that don't belong together: ask its holder for it again")
    return holder


def new_genesis(
    name: str,
    parties: Sequence[Party],
    operators: Sequence[Holder],
    operator_quorum: int,
    accounts: Sequence[Holder] = (),
    parameters: dict[str, Any] | None = None,
    preset: PresetName = "consortium",
    cores: int = CORES,
    shards: int = 1,
    *,
    apart: bool = False,
) -> str:
    """Returns the genesis as JSON. The accounts of operators and `accounts` get storage, owners' accounts a little. The
    preset's quotas are for validators with so many cores. With several shards, those accounts are divided evenly;
    `apart`: each shard has validators of its own, in the order of `parties`. Errors: UsageError."""
    from rustorium import _native

    quotas = PRESETS[preset]
    _distinct("name", [(party.name, party.source) for party in parties])
    for key in VALIDATOR_KEYS:
        _distinct(key.replace("_", " "), [(getattr(party, key), party.source) for party in parties])
    _distinct("address", [(party.address, party.source) for party in parties])
    _distinct("operator", [(one.address, one.source) for one in operators])
    room = dict.fromkeys([(one.region, one.public_key) for one in [*operators, *accounts]], quotas.storage_bytes)
    for party in parties:
        room.setdefault((party.region, party.owner_key), OWNER_STORAGE_BYTES)
    genesis: dict[str, Any] = {
        "version": NEWEST_VERSION,
        "name": name,
        "time_ms": time.time_ns() // 1_000_000,
        "validators": [party.entry for party in parties],
        "accounts": [
            {"region": region, "public_key": key, "storage_bytes": storage}
            for (region, key), storage in sorted(room.items())
        ],
    }
    defaults = default_parameters(_encoded(genesis))
    wished = parameters or {}
    if unknown := [one for one in wished if one not in defaults]:
        raise UsageError(f"there is no chain parameter {unknown[0]}{nearest(unknown[0], defaults)}")
    if "epoch_ms" in wished:
        defaults.pop("min_epoch_ms", None)  # it follows from the epoch's length
    governing = {"operators": [one.public_key for one in operators], "operator_quorum": operator_quorum}
    genesis["parameters"] = defaults | governing | parameters_with(preset, wished, cores)
    holders = list(dict.fromkeys(one.address for one in [*operators, *accounts]))
    genesis["sponsors"] = quotas.sponsors_of(holders[:SPONSORS_MAX])
    if shards > 1:
        genesis["shards"] = shards_section(holders, len(parties), shards, apart=apart)
    text = json.dumps(genesis, indent=1)
    # The text is decoded and described again, so that it equals what a check expects.
    return json.dumps(json.loads(_native.genesis_describe(_encoded(json.loads(text)))), indent=1) + "\n"


def default_parameters(genesis: bytes) -> dict[str, Any]:
    """Returns the default parameters of a chain with this genesis' version."""
    from rustorium import _native

    described = json.loads(_native.genesis_describe(genesis))
    plain = {name: described[name] for name in ("version", "name", "time_ms", "validators")} | {"accounts": []}
    found: dict[str, Any] = json.loads(_native.genesis_describe(_encoded(plain)))["parameters"]
    return found


def faults_tolerated(validators: int) -> int:
    """Returns the number of members that may fail while the others make blocks."""
    return (validators - 1) // 3


def _encoded(genesis: dict[str, Any]) -> bytes:
    from rustorium import _native

    try:
        return _native.genesis_encode(json.dumps(genesis))
    except ValueError as error:
        raise UsageError(f"these files make no genesis: {error}") from None


def _distinct(what: str, found: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for value, source in found:
        if value in seen:
            raise UsageError(
                f"{seen[value]} and {source} have the same {what} {value}: each party makes its own, with its own name"
            )
        seen[value] = source


def _fields(path: Path, how: str, needed: str) -> dict[str, Any]:
    path = path.expanduser()
    if path.is_file() and (size := path.stat().st_size) > FILE_BYTES_MAX:
        raise UsageError(f"{path} has {size:,} bytes, more than any such file: {how}")
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}): {how}") from None
    if not isinstance(found, dict) or not found.get(needed):
        raise UsageError(f"{path} has no {needed.replace('_', ' ')}: {how}")
    return found


def _text(found: dict[str, Any], name: str) -> str:
    # A terminal shows it, and control characters could forge output.
    if not isinstance(found[name], str) or not found[name].isprintable() or not found[name]:
        raise ValueError(f"its {name} is no text")
    return str(found[name])


def _key(found: dict[str, Any], name: str) -> str:
    text = _text(found, name)
    if len(bytes.fromhex(text)) != 32 or len(text) != 64:
        raise ValueError(f"its {name} has not 64 hex digits")
    return text.lower()


def _region(found: dict[str, Any]) -> int:
    region = found["region"]
    if not isinstance(region, int) or isinstance(region, bool) or not 0 <= region <= 255:
        raise ValueError("its region is not 0 to 255")
    return region
