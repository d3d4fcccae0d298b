"""Authorities and transactions of version 2, written here from their specification, so that no code of the project
checks its own vectors.

Invariants: imports nothing of the project.
"""

from itertools import pairwise
from typing import Any

from vector_oracle import Reader, address, blake3, ed25519_holds, ed25519_small_order, location, named, once, operation

Signatures = list[tuple[int, bytes]]
"""Places of keys in their authority, and signatures."""

SAME = {3: 3, 4: 4, 5: 5, 7: 16, 8: 8, 9: 17, 10: 10, 11: 11, 12: 12, 13: 13, 14: 14, 15: 15}
"""Tags of operations, and those of operations of version 1 that have the same fields."""


PARAMETERS = (
    *(("batch_bytes_max", 4), ("batch_transactions_max", 4), ("batch_work_max", 8)),
    *(("block_bytes_max", 4), ("block_transactions_max", 4), ("block_work_max", 8)),
    *(("transaction_writes_max", 4), ("lane_window_batches", 4), ("lane_window_bytes", 4)),
    *(("clock_ahead_ms_max", 8), ("claim_lag_max", 8), ("state_roots", 1), ("root_period_ms", 8)),
    *(("root_period_idle_ms", 8), ("root_lag_max", 8), ("expiry_ahead_ms_max", 8)),
    *(("quota_work_max", 8), ("quota_work_per_s", 8), ("epoch_ms", 8)),
)
"""Names and bytes of the parameters before the operators."""
CAPACITY = (
    *(("quota_history_max", 8), ("quota_history_per_s", 8), ("work_per_s", 8), ("history_per_s", 8)),
    *(("work_burst_ms", 8), ("history_burst_ms", 8), ("common_ppm", 4)),
)
"""Names and bytes of the parameters of quotas, which come last."""


def _domain(name: str, version: int = 2) -> bytes:
    return f"rustorium/{name}/v{version}\0".encode()


def _ascending(values: list[Any]) -> bool:
    return all(one < other for one, other in pairwise(values))


def _key(r: Reader) -> bytes:
    if tag := r.integer(1):
        raise ValueError(f"no key has tag {tag}")
    return r.take(32)


def authority(r: Reader) -> tuple[int, list[bytes]]:
    """Reads threshold and keys. Errors: `ValueError` if they break a rule of V17."""
    threshold, count = r.integer(1), r.integer(1)
    if not 1 <= count <= 8:
        raise ValueError(f"an authority has no {count} keys")
    keys = [_key(r) for _ in range(count)]
    if not 1 <= threshold <= count:
        raise ValueError(f"{threshold} of {count} keys")
    if not _ascending(keys):
        raise ValueError("keys that don't ascend")
    if any(ed25519_small_order(key) for key in keys):
        raise ValueError("a key of small order")
    return threshold, keys


def authority_bytes(threshold: int, keys: list[bytes]) -> bytes:
    return bytes([threshold, len(keys)]) + b"".join(b"\0" + key for key in keys)


def authority_hash(threshold: int, keys: list[bytes]) -> bytes:
    return blake3(_domain("authority") + authority_bytes(threshold, keys))


def authority_account(region: int, threshold: int, keys: list[bytes]) -> str:
    """Returns the address of the account that an authority opens in a region."""
    home = bytes([region])
    if len(keys) == 1:
        return address(home + blake3(_domain("account", 1) + home + keys[0])[1:])
    return address(home + blake3(_domain("account") + home + authority_bytes(threshold, keys))[1:])


def authority_fields(threshold: int, keys: list[bytes]) -> dict[str, Any]:
    """Returns an authority as JSON shows it."""
    return {"threshold": threshold, "keys": [{"ed25519": key.hex()} for key in keys]}


def _shown(r: Reader) -> dict[str, Any]:
    return authority_fields(*authority(r))


def _recovery(r: Reader) -> dict[str, Any]:
    return {"account": r.account(), "delay_ms": r.integer(8), "final": r.boolean()}


def account_settings(r: Reader) -> dict[str, Any]:
    """Reads an account's settings. Errors: `ValueError`."""
    return {"authority": _shown(r), "delay_ms": r.integer(8), "recovery": r.option(lambda: _recovery(r))}


def settings_hash(change: bytes) -> str:
    """Returns the hash of a change: of its settings' bytes, and of the byte that says whether grants become void."""
    return blake3(_domain("authority-change") + change).hex()


def _rights(r: Reader) -> list[str]:
    if (bits := r.integer(1)) > 3:
        raise ValueError(f"no rights have the bits {bits}")
    return [name for bit, name in ((1, "put"), (2, "delete")) if bits & bit]


NOT_LEADING = 1 << 8
"""Flag of parameters that end with a list of validators that don't lead."""


def _parameters(r: Reader) -> dict[str, Any]:
    if (version := r.integer(4)) not in (2, 2 | NOT_LEADING):
        raise ValueError(f"no parameters of version 2 begin with {version}")
    fields: dict[str, Any] = {name: r.integer(size) for name, size in PARAMETERS}
    fields["state_roots"] = bool(fields["state_roots"])
    fields |= {"operators": r.many(16, r.hex32), "operator_quorum": r.integer(1)}
    fields["min_epoch_ms"] = r.integer(8)
    fields |= {"capacity": {name: r.integer(size) for name, size in CAPACITY}}
    fields |= {name: r.integer(8) for name in ("operators_delay_ms", "owners_recover_ms")}
    return fields | ({"not_leading": r.many(16, r.hex32)} if version & NOT_LEADING else {})


def _scope(r: Reader) -> str | None:
    match tag := r.integer(1):
        case 0:
            return None
        case 1:
            return str(r.account())
        case _:
            raise ValueError(f"no pause has the scope {tag}")


def _new_owner(r: Reader) -> dict[str, Any]:
    fields = {"type": "set_owner", "validator_key": r.hex32(), "new_owner_key": r.hex32()}
    return fields | {"possession": r.take(64).hex()}


def _operators(r: Reader) -> dict[str, Any]:
    return {"base": r.hex32(), "operators": r.many(16, r.hex32), "quorum": r.integer(1)}


def _change(r: Reader) -> dict[str, Any]:
    """Reads a change that seats decide."""
    match tag := r.integer(1):
        case 0 | 1 | 2 | 3:
            return operation(r, (16, 8, 17, 10)[tag])
        case 4:
            return {"type": "set_parameters", "base": r.hex32(), "parameters": _parameters(r)}
        case 5:
            return {"type": "set_operators", **_operators(r)}
        case 6:
            return {"type": "pause", "account": _scope(r), "until_ms": r.integer(8)}
        case 7:
            return {"type": "resume", "account": _scope(r)}
        case 8:
            fields = {"type": "set_sponsor", "account": r.account(), "work_ppm": r.integer(4)}
            return fields | {"history_ppm": r.integer(4), "until_ms": r.option(lambda: r.integer(8))}
        case 9:
            return {"type": "assign_sponsor", "account": r.account(), "sponsor": r.integer(4)}
        case 10:
            return _new_owner(r)
        case 11:
            return {"type": "upgrade", "version": r.integer(2), "not_before_ms": r.integer(8)}
        case _:
            raise ValueError(f"no change has tag {tag}")


def _of_the_system(r: Reader, tag: int) -> dict[str, Any]:
    """Reads an operation that only seats or owners send."""
    match tag:
        case 21:
            begun = r.at
            change = _change(r)
            digest = blake3(_domain("change") + r.since(begun))
            return {"type": "propose", "change": change, "until_ms": r.integer(8), "change_hash": digest.hex()}
        case 22:
            return {"type": "approve", "number": r.integer(8), "change": r.hex32()}
        case 24:
            return _new_owner(r)
        case 25:
            return {"type": "recover_operators", **_operators(r)}
        case _:
            return {"type": "withdraw", "number": r.integer(8)}


def _operation(r: Reader) -> dict[str, Any]:
    match tag := r.integer(1):
        case 0:
            fields = {"type": "create_account", "region": r.integer(1), "authority": _shown(r)}
            return fields | {"storage_bytes": r.integer(8)}
        case 1:
            fields = {"type": "put", "namespace": r.option(r.account), **named("key", r.blob(512))}
            return fields | once("value", r.blob(65_536))
        case 2:
            return {"type": "delete", "namespace": r.option(r.account), **named("key", r.blob(512))}
        case 6:
            fields = {"type": "grant", "to": r.account(), "rights": _rights(r)}
            fields |= {"prefixes_hex": r.many(16, lambda: r.blob(512).hex())}
            return fields | {"until_ms": r.option(lambda: r.integer(8))}
        case 16:
            return {"type": "set_authority", "settings": account_settings(r), "void_grants": r.boolean()}
        case 17:
            return {"type": "cancel_authority"}
        case 18:
            return {"type": "approve_authority", "account": r.account(), "change": r.hex32()}
        case 19:
            return {"type": "recover", "account": r.account(), "authority": _shown(r)}
        case 20:
            return {"type": "withdraw_recovery", "account": r.account()}
        case 21 | 22 | 23 | 24 | 25:
            return _of_the_system(r, tag)
        case _ if tag in SAME:
            return operation(r, SAME[tag])
        case _:
            raise ValueError(f"no operation has tag {tag}")


def _signature(r: Reader) -> tuple[int, bytes]:
    place = r.integer(1)
    if tag := r.integer(1):
        raise ValueError(f"no signature has tag {tag}")
    return place, r.take(64)


def transaction(raw: bytes) -> tuple[dict[str, Any], bytes, list[bytes], Signatures]:
    """Returns a transaction's fields as JSON shows them, its body's bytes, its keys and its signatures. Errors:
    `ValueError` if it is none.
    """
    r = Reader(raw)
    if (head := r.take(3)) != bytes([2, 0, 0]):
        raise ValueError(f"no transaction of version 2 begins with {head.hex()}")
    threshold, keys = authority(r)
    fields: dict[str, Any] = {"version": 2, "authority": authority_fields(threshold, keys), "sender": r.account()}
    fields |= {"nonce": r.integer(8), "expires_at_ms": r.integer(8)}
    fields |= {"work_limit": r.integer(8), "shard_hint": r.option(lambda: r.integer(4))}
    fields |= {"location": r.option(lambda: location(r)), "operations": r.many(256, lambda: _operation(r))}
    body = raw[: r.at]
    if (count := r.integer(1)) != threshold:
        raise ValueError(f"{count} signatures, where {threshold} must sign")
    signatures = [_signature(r) for _ in range(count)]
    places = [place for place, _ in signatures]
    if not _ascending(places) or places[-1] >= len(keys):
        raise ValueError("signatures of the wrong keys")
    r.end()
    fields["signatures"] = [{"key": place, "ed25519": signature.hex()} for place, signature in signatures]
    return fields, body, keys, signatures


def signed_bytes(chain: bytes, body: bytes) -> bytes:
    return _domain("transaction") + chain + body


def holds(signed: bytes, keys: list[bytes], signatures: Signatures) -> bool:
    """Tells if each signature holds for the key at its place."""
    return all(ed25519_holds(keys[place], signed, signature) for place, signature in signatures)
