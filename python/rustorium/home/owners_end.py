"""Restarts a committee with so many retired keys that it has no quorum: its owners end the epoch.

Rule R33 of the specification. The plan is a file that goes from home to home: `begin` writes it at the newest final
block of a shard, `replace` adds a new key for each retired one, `sign` adds an owner's signature, `apply` writes the
plan into that shard's store.

Invariants: SYNC, on homes that are `stopped`; each owner's home recomputes the plan from its own store before signing;
a home whose owner has signed can't start until the plan is in its store; a change of the plan voids its signatures.
"""

import json
import struct
import time
from pathlib import Path
from typing import Any

import msgspec

from rustorium import _native
from rustorium.access.keyfiles import public_part
from rustorium.client import Key
from rustorium.errors import FileExists, HomeError, NotFound, UsageError
from rustorium.home import format as homeformat
from rustorium.home.keys import open_storage_key
from rustorium.home.noting import note_by_operator
from rustorium.home.owning import sign as sign_as_owner
from rustorium.home.paths import Home
from rustorium.home.rekey import Opener, install, owner_of, prepare, replacement

FORMAT = 1
VALID_MS = 24 * 3_600_000
"""Validity of the plan's transactions after the plan's time; they are only for its own block."""
VOTE, CERTIFICATE = 1, 4
"""Kinds of journal records that begin with the vote's body."""
BODY = struct.Struct("<32sIQQB32s")
"""Layout of a vote's body: chain, shard, epoch, view, kind, block."""
NULLIFY, FINALIZE = 1, 2


class Plan(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The plan file. Strings are hexadecimal digits. A field with its default isn't written."""

    format: int
    chain: str
    epoch: int
    base: str
    """Digest of the newest final block."""
    height: int
    """Height of the newest final block."""
    time_ms: int
    """Time of the block with the changes, Unix ms."""
    transactions: list[str] = []
    """Canonical bytes of the transactions with the changes."""
    end: str = ""
    """Digest of the boundary that is signed; empty before the first signature."""
    view: int = 0
    signatures: dict[str, str] = {}
    """Signatures by index in the committee."""
    shard: int = 0
    """The shard whose committee is restarted."""

    def raw(self) -> list[bytes]:
        """Returns the transactions' bytes."""
        return [bytes.fromhex(one) for one in self.transactions]


def read(path: Path) -> Plan:
    """Reads a plan file. Errors: UsageError."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        plan.raw()
        signed = [(int(place), bytes.fromhex(text)) for place, text in plan.signatures.items()]
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name the plan's file") from None
    except (ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} is not a restart plan ({error}): name the file that `begin` wrote") from None
    if plan.format != FORMAT:
        raise UsageError(f"{path} has format {plan.format}, and this release reads {FORMAT}: use the one that wrote it")
    bad = [place for place, signature in signed if not 0 <= place < 1 << 16 or len(signature) != 64]
    if bad:
        raise UsageError(f"{path} contains a malformed signature: ask the owner of validator {bad[0]} to sign again")
    return plan


def write(path: Path, plan: Plan, *, new: bool = False) -> None:
    """Replaces the plan file atomically; with `new` it must not exist. Errors: FileExists, UsageError."""
    text = msgspec.json.format(msgspec.json.encode(plan), indent=2)
    beside = path.with_name(f".{path.name}.new")
    try:
        if new and path.exists():
            raise FileExists(path)
        beside.write_bytes(text + b"\n")
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written ({error.strerror}): name a place where it can") from None


def begin(home: Home, opener: Opener, shard: int = 0) -> Plan:
    """Makes a plan without changes, above the home's newest final block of a shard. Errors: NativeError, HomeError."""
    base = _base(home, _storage_key(home, opener), shard)
    time_ms = max(time.time_ns() // 1_000_000, base["time_ms"] + 1)
    return Plan(FORMAT, _chain(home), base["epoch"], base["base"], base["height"], time_ms, shard=shard)


def replace(home: Home, owner: Path, opener: Opener, plan: Plan) -> tuple[str, str]:
    """Makes a new validator key for the home and adds it to the plan, signed by the owner; returns the old and the new
    public key. Errors: HomeError, KeyFileError, NotFound, UsageError, NativeError."""
    base = _check_base(home, _storage_key(home, opener), plan)
    # The owner that the newest block names acts, and the one with which the epoch began signs its end.
    acting = [one | {"owner_key": one["acting_owner_key"]} for one in base["members"]]
    member, signer = _member(acting, home, owner, opener)
    version = int(base["version"])
    old, new = prepare(home, opener)
    wanted = replacement(home, (old, new), signer.public_key, opener, version)
    described = [json.loads(_native.describe_transaction(raw)) for raw in plan.raw()]
    address = str(member["sender"]) if version > 1 else signer.address
    own = [one for one in described if one["sender"] == address]
    if any(_replaces(one, old, new) for one in own):
        return old, new
    expires_ms = plan.time_ms + VALID_MS
    if version > 1:
        sender = (address, int(member["sender_nonce"]) + len(own))
        raw = sign_as_owner(plan.chain, sender, expires_ms, wanted, signer).transaction().raw
    else:
        nonce = int(member["owner_nonce"] or 0) + len(own)
        parts = (signer.seed, plan.chain, signer.region, nonce, expires_ms, None, json.dumps([wanted]))
        _, raw = _native.build_transaction(*parts)
    plan.transactions.append(raw.hex())
    plan.end, plan.view, plan.signatures = "", 0, {}
    return old, new


def show(home: Home, opener: Opener, plan: Plan) -> dict[str, Any]:
    """Recomputes the plan's effect on the home's chain. Errors: UsageError, NativeError."""
    key = _storage_key(home, opener)
    _check_base(home, key, plan)
    facts: dict[str, Any] = json.loads(
        _native.restart_plan(_store(home, plan), home.genesis_bytes(), key, plan.raw(), plan.time_ms, plan.shard)
    )
    if plan.end and plan.end != facts["end"]:
        raise UsageError(
            f"the plan's file says that it ends with block {plan.end}, and with this home's store it ends with "
            f"{facts['end']}: one of the stores is wrong, or the file was changed; have each owner look at both"
        )
    return facts


def refuse_open(home: Home, opener: Opener, plan: Plan) -> None:
    """Opens the journal and refuses the plan if a quorum voted for a block above it. Errors: HomeError."""
    key = _storage_key(home, opener)
    view = _open_view(home, key, plan, _base(home, key, plan.shard)["view"])
    if view is not None:
        raise HomeError(
            f"the journal of {home.path} shows that a quorum voted for a block of view {view}, above the plan: it may "
            "have been final. Start the nodes of all homes that there are and begin again; where none is missing and "
            "none has it final, sign with --give-up-open",
            code="restart-uncertain",
        )


def sign(home: Home, owner: Path, opener: Opener, plan: Plan) -> int:
    """Adds the signature of the home's owner; returns the home's index in the committee. From then on its node doesn't
    start before the plan is in its store. Errors: those of `show`, HomeError, KeyFileError, NotFound."""
    facts = show(home, opener, plan)
    member, signer = _member(facts["members"], home, owner, opener)
    _check_time(plan, int(facts["clock_ahead_ms_max"]))
    _hold(home, plan.shard, {"epoch": plan.epoch, "end": facts["end"]})
    signature = _native.restart_sign(signer.seed, plan.chain, plan.epoch, facts["view"], facts["end"], plan.shard)
    plan.end, plan.view = facts["end"], facts["view"]
    plan.signatures[str(member["place"])] = signature.hex()
    _note(home, opener, "restart signed", plan, {"end": plan.end})
    return int(member["place"])


def apply(home: Home, opener: Opener, plan: Plan) -> dict[str, Any]:
    """Writes the plan into the home's store and installs the home's new key, if it has one that all of its shards know;
    continues an interrupted call. Returns the store's new state, and the shards whose plans the new key waits for.

    Errors: UsageError, NativeError, HomeError."""
    if not plan.end:
        raise UsageError("nobody has signed the plan yet: have the owners sign it with `recover committee sign`")
    key = _storage_key(home, opener)
    base = _base(home, key, plan.shard)
    if base["base"] != plan.end and base["epoch"] <= plan.epoch:
        # If the owner has signed, no node has run since, so a block above the base is from an earlier call.
        again = _held(home, plan.shard).get("end") == plan.end and base["parent"] == plan.base
        if not again:
            _check_base(home, key, plan)
        signatures = [(int(place), bytes.fromhex(text)) for place, text in plan.signatures.items()]
        genesis, raw = home.genesis_bytes(), plan.raw()
        _native.restart_apply(
            _store(home, plan), genesis, key, raw, plan.time_ms, signatures, plan.base, again, plan.shard
        )
        base = _base(home, key, plan.shard)
        signed_by = sorted(map(int, plan.signatures))
        _note(home, opener, "restart applied", plan, {"end": plan.end, "signed_by": signed_by})
    rekeyed, waits_for = None, []
    new = home.rekey / "validator.key"
    known = new.is_file() and public_part(new)[1] in _members(base)
    if known and not home.key_change_begun:
        old = public_part(home.validator_key)[1]
        others = [shard for shard in home.shards() if shard != plan.shard and home.db_of(shard).is_dir()]
        waits_for = [shard for shard in others if old in _members(_base(home, key, shard))]
    if home.key_change_begun or (known and not waits_for):
        rekeyed = install(home).new_key
    homeformat.remove_file(home.restart_of(plan.shard))
    return {
        "epoch": base["epoch"], "height": base["height"], "new_validator_key": rekeyed, "waits_for": waits_for,
    }  # fmt: skip


def _members(base: dict[str, Any]) -> set[str]:
    return {str(one["validator_key"]) for one in base["members"]}


def _store(home: Home, plan: Plan) -> str:
    return str(home.db_of(plan.shard))


def _held(home: Home, shard: int) -> dict[str, Any]:
    """Returns the epoch end of a shard that the home's owner has signed; empty if none. Errors: HomeError."""
    place = home.restart_of(shard)
    try:
        return dict(json.loads(place.read_bytes())) if place.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise HomeError(f"{place} can't be read ({error}): what its owner has signed is not known") from None


def _hold(home: Home, shard: int, why: dict[str, Any]) -> None:
    """Keeps the node from starting; on disk when this returns. Errors: HomeError if the owner has signed another end,
    because two signed ends could fork the chain."""
    before = _held(home, shard)
    if before:
        if before != why:
            raise HomeError(
                f"the owner of {home.path} has signed another end of the epoch {before.get('epoch')}: continue with "
                f"the plan that ends with {before.get('end')}, since two plans signed by a quorum would make two "
                "chains",
                code="restart-begun",
            )
        return
    homeformat.replace_file(home.restart_of(shard), json.dumps(why).encode())


def _chain(home: Home) -> str:
    return _native.genesis_hash(home.genesis_bytes())


def _storage_key(home: Home, opener: Opener) -> _native.StorageKey:
    return open_storage_key(home.storage_key, opener.passphrase_file, opener.environment)


def _base(home: Home, key: _native.StorageKey, shard: int) -> dict[str, Any]:
    if not home.db_of(shard).is_dir():
        which = f" of shard {shard}" if shard else ""
        raise HomeError(f"{home.path} has no store{which}: start its node until its peers have filled it, then stop it")
    facts: dict[str, Any] = json.loads(_native.restart_base(str(home.db_of(shard)), home.genesis_bytes(), key, shard))
    return facts


def _check_base(home: Home, key: _native.StorageKey, plan: Plan) -> dict[str, Any]:
    """Returns the home's newest final block and committee, if the plan is based on them. Errors: UsageError."""
    base, chain = _base(home, key, plan.shard), _chain(home)
    if chain != plan.chain:
        raise UsageError(f"the plan is of the chain {plan.chain}, and {home.path} is of {chain}: name another --home")
    if base["base"] != plan.base:
        raise UsageError(
            f"the plan continues from height {plan.height}, but the newest final block of {home.path} is at height "
            f"{base['height']}: start the nodes until all have the highest, stop them, and begin again from there"
        )
    return base


def _member(members: list[dict[str, Any]], home: Home, owner: Path, opener: Opener) -> tuple[dict[str, Any], Key]:
    """Returns the home's committee member, and its owner's key."""
    key = home.signer_key() or opener.public(home.validator_key, "validator")
    for member in members:
        if member["validator_key"] == key:
            return member, owner_of(owner, member, opener)
    raise NotFound(
        f"the validator key of {home.path}, {key}, doesn't belong to a member of the plan's epoch: name a member's "
        "--home",
        code="no-such-validator",
    )


def _check_time(plan: Plan, ahead_ms: int) -> None:
    """Refuses a plan with a future time, for which the chain would have to wait. Errors: UsageError."""
    if plan.time_ms > time.time_ns() // 1_000_000 + ahead_ms:
        raise UsageError("the plan's time is ahead of this machine's clock: correct the clocks, then begin again")


def _open_view(home: Home, key: _native.StorageKey, plan: Plan, base_view: int) -> int | None:
    """Returns the highest view above the base for whose block the journal has a quorum of votes or its own finalize
    vote, and no quorum that gave the view up."""
    journal = home.safety_of(plan.shard)
    if not any(journal.glob("segment-*")):
        return None
    voted, given_up = set[int](), set[int]()
    for _, kind, payload in _native.read_journal(str(journal), _chain(home), key):
        if kind not in (VOTE, CERTIFICATE):
            continue
        _, _, of, view, vote, _ = BODY.unpack_from(payload)
        if of != plan.epoch or view <= base_view:
            continue
        if kind == CERTIFICATE and vote == NULLIFY:
            given_up.add(view)
        elif kind == CERTIFICATE or vote == FINALIZE:
            voted.add(view)
    return max(voted - given_up, default=None)


def _replaces(transaction: dict[str, Any], old: str, new: str) -> bool:
    wanted = {"type": "replace_key", "validator_key": old, "new_validator_key": new}
    return any(wanted == {name: one.get(name) for name in wanted} for one in transaction["operations"])


def _note(home: Home, opener: Opener, event: str, plan: Plan, fields: dict[str, Any]) -> None:
    of_shard = {"shard": plan.shard} if plan.shard else {}
    fields = {"epoch": plan.epoch, **of_shard, **fields}
    note_by_operator(home, event, fields, opener.passphrase_file, opener.environment)
