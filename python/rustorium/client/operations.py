"""The operations of a transaction, as the JSON that signing takes.

Invariants: PURE; keys and values are bytes here and hex in JSON; amounts are decimal strings.
"""

import json
from collections.abc import Sequence

from rustorium.api import Operation
from rustorium.client.text import AMOUNT_MAX, raw
from rustorium.errors import UsageError


def put(namespace: str, key: bytes | str, value: bytes | str) -> Operation:
    """Sets a key."""
    digits = {"key_hex": raw(key, "a key").hex(), "value_hex": raw(value, "a value").hex()}
    return {"type": "put", "namespace": namespace, **digits}


def delete(namespace: str, key: bytes | str) -> Operation:
    """Removes a key."""
    return {"type": "delete", "namespace": namespace, "key_hex": raw(key, "a key").hex()}


def transfer(to: str, asset: str, amount: int) -> Operation:
    """Moves an amount from the sender."""
    return {"type": "transfer", "to": to, "asset": asset, "amount": _amount(amount)}


def issue(symbol: str, to: str, amount: int) -> Operation:
    """Creates an amount of the sender's own asset."""
    return {"type": "issue", "symbol": symbol, "to": to, "amount": _amount(amount)}


def create_account(region: int, public_key: str, storage_bytes: int) -> Operation:
    """Makes an account and gives it some of the sender's storage balance."""
    return {"type": "create_account", "region": region, "public_key": public_key, "storage_bytes": storage_bytes}


def grant(to: str, prefixes: Sequence[bytes | str]) -> Operation:
    """Lets another account write under these prefixes of the sender's namespace; none takes the right back."""
    return {"type": "grant", "to": to, "prefixes_hex": [raw(prefix, "a prefix").hex() for prefix in prefixes]}


def add_validator(
    name: str,
    validator_key: str,
    node_key: str,
    owner_key: str,
    region: int,
    address: str = "",
    possession: Operation | None = None,
) -> Operation:
    """Operators: a validator joins the committee with the next epoch; keys are hex, `address` is what peers dial.

    `possession` (`possession_of`) is needed on chains of version 2 and later, and refused on others."""
    keys = {"validator_key": validator_key, "node_key": node_key, "owner_key": owner_key}
    change: Operation = {"type": "add_validator", "name": name, **keys, "region": region, "address": address}
    return change if possession is None else {**change, "possession": possession}


def possession_of(validator_seed: bytes, node_seed: bytes, chain: str, owner_key: str) -> Operation:
    """Shows that somebody holds a validator's new keys and means them for this owner (hex) on this chain."""
    from rustorium import _native

    return json.loads(_native.prove_possession(validator_seed, node_seed, chain, owner_key))  # type: ignore[no-any-return]


def remove_validator(validator_key: str) -> Operation:
    """Operators: a validator leaves the committee with the next epoch."""
    return {"type": "remove_validator", "validator_key": validator_key}


def replace_key(
    validator_key: str, new_validator_key: str, new_node_key: str, possession: Operation | None = None
) -> Operation:
    """Operators, or the validator's owner key alone: it has other keys from the next epoch on.

    `possession` (`possession_of`) is needed on chains of version 2 and later, and refused on others."""
    new = {"new_validator_key": new_validator_key, "new_node_key": new_node_key}
    change: Operation = {"type": "replace_key", "validator_key": validator_key, **new}
    return change if possession is None else {**change, "possession": possession}


def end_epoch(epoch: int) -> Operation:
    """Operators: the epoch, which must be the one that goes on now, ends as soon as it can."""
    return {"type": "end_epoch", "epoch": epoch}


def register_verifier(key: bytes, named: Sequence[int] = (), once: Sequence[int] = ()) -> Operation:
    """Takes a Groth16 verifying key's canonical bytes (`zk.key_bytes`).

    `named` are indices of public inputs that `require_proved` can ask for; those in `once`, nullifiers, are named too,
    and each value of one can be used once alone.
    """
    inputs = [{"index": index, "once": index in once} for index in sorted({*named, *once})]
    return {"type": "register_verifier", "key_hex": key.hex(), "named": inputs}


def verify_proof(verifier: str, inputs: Sequence[bytes], proof: bytes) -> Operation:
    """Goes on only where the proof holds, and records its statement; the canonical bytes come from `zk`."""
    public = [each.hex() for each in inputs]
    return {"type": "verify_proof", "verifier": verifier, "inputs": public, "proof_hex": proof.hex()}


def require_proved(verifier: str, index: int, value: bytes | None = None) -> Operation:
    """Goes on only where a statement was proved to the verifier in which its named input `index` has this value.

    Without a value: the id of the transaction that asks, as a number without its three highest bits.
    """
    condition = {"type": "proved", "verifier": verifier, "input": index}
    return {"type": "require", "condition": condition if value is None else condition | {"value": value.hex()}}


def require_value(namespace: str, key: bytes | str, value: bytes | str) -> Operation:
    """Goes on only where the key has this value."""
    from rustorium import _native

    condition = {"type": "value_hash", "namespace": namespace, "key_hex": raw(key, "a key").hex()}
    return {"type": "require", "condition": condition | {"hash": _native.value_hash(raw(value, "a value")).hex()}}


def require_absent(namespace: str, key: bytes | str) -> Operation:
    """Goes on only where the key has no value."""
    condition = {"type": "absent", "namespace": namespace, "key_hex": raw(key, "a key").hex()}
    return {"type": "require", "condition": condition}


def require_balance(account: str, asset: str, amount: int) -> Operation:
    """Goes on only where the account holds at least this much."""
    condition = {"type": "balance_at_least", "account": account, "asset": asset, "amount": str(amount)}
    return {"type": "require", "condition": condition}


def _amount(amount: int) -> str:
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
        raise UsageError(f"an amount is a whole number above 0, of the asset's smallest units, not {amount!r}")
    return str(amount)
