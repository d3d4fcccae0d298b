"""Makes the operations of a transaction, as the JSON that signing takes.

Invariants: PURE; keys and values are bytes here and hex in JSON; amounts are decimal strings.
"""

import json
from collections.abc import Sequence

from rustorium.api import Operation
from rustorium.arguments import content, hex_of, instance, many, one_of, text, whole
from rustorium.client.text import AMOUNT_MAX, raw
from rustorium.errors import UsageError
from rustorium.types import Authority, Recovery


def put(namespace: str, key: bytes | str, value: bytes | str) -> Operation:
    """Sets a key."""
    digits = {"key_hex": raw(key, "a key").hex(), "value_hex": raw(value, "a value").hex()}
    return {"type": "put", "namespace": text(namespace, "namespace"), **digits}


def delete(namespace: str, key: bytes | str) -> Operation:
    """Removes a key."""
    return {"type": "delete", "namespace": text(namespace, "namespace"), "key_hex": raw(key, "a key").hex()}


def transfer(to: str, asset: str, amount: int) -> Operation:
    """Moves an amount from the sender to another account."""
    return {
        "type": "transfer",
        "to": text(to, "to"),
        "asset": hex_of(text(asset, "asset"), "an asset id"),
        "amount": _amount(amount),
    }


def issue(symbol: str, to: str, amount: int) -> Operation:
    """Creates an amount of the sender's own asset. Errors: UsageError for a symbol that no asset can have."""
    if not (text(symbol, "symbol") and symbol.isascii() and symbol.isprintable() and " " not in symbol):
        raise UsageError(f"{symbol!r} can't be an asset's symbol: give ASCII characters without spaces, such as EUR")
    return {"type": "issue", "symbol": text(symbol, "symbol"), "to": text(to, "to"), "amount": _amount(amount)}


def create_account(region: int, public_key: str, storage_bytes: int) -> Operation:
    """Makes an account and gives it some of the sender's storage balance."""
    key = {"region": whole(region, "region"), "public_key": text(public_key, "public_key")}
    return {"type": "create_account", **key, "storage_bytes": whole(storage_bytes, "storage_bytes")}


def create_account_of(region: int, authority: Authority, storage_bytes: int) -> Operation:
    """Does the same with an account of several keys, on a chain of version 2."""
    place = {"type": "create_account", "region": whole(region, "region"), "authority": _keys(authority)}
    return {**place, "storage_bytes": whole(storage_bytes, "storage_bytes")}


def set_authority(
    authority: Authority, *, delay_ms: int = 0, recovery: Recovery | None = None, void_grants: bool = False
) -> Operation:
    """Gives the sender other settings, on a chain of version 2: keys, a delay of later changes, a recovery account. The
    address stays. It takes effect at once if the account has neither a delay nor a recovery account now; otherwise
    after the longer one of its delays. Without a recovery account, whoever loses these keys loses the account.

    `delay_ms`: up to 30 days. `recovery.delay_ms`: an hour to 90 days. `void_grants`: all grants made before its effect
    become void with it."""
    change: dict[str, object] = {"type": "set_authority", "authority": _keys(authority)}
    if delay_ms:
        change["delay_ms"] = whole(delay_ms, "delay_ms")
    if recovery is not None:
        by = instance(recovery, Recovery, "recovery")
        account = text(by.account, "recovery.account")
        change["recovery"] = {"account": account, "delay_ms": whole(by.delay_ms, "delay_ms"), "final": by.final}
    if void_grants:
        change["void_grants"] = True
    return change


def cancel_authority() -> Operation:
    """Cancels the change of the sender's settings that waits, or its recovery if that isn't final."""
    return {"type": "cancel_authority"}


def approve_authority(account: str, change: str) -> Operation:
    """Lets the change that the keys of an account began take effect at once. For its recovery account.

    `change`: its hash (`PendingChange.change`). Another change that took its place isn't approved."""
    return {"type": "approve_authority", "account": text(account, "account"), "change": text(change, "change")}


def recover(account: str, authority: Authority) -> Operation:
    """Gives an account these keys after its recovery delay; its grants become void then. For its recovery account."""
    return {"type": "recover", "account": text(account, "account"), "authority": _keys(authority)}


def withdraw_recovery(account: str) -> Operation:
    """Withdraws the recovery of an account that the sender began as its recovery account."""
    return {"type": "withdraw_recovery", "account": text(account, "account")}


def _keys(authority: Authority) -> Operation:
    given = instance(authority, Authority, "authority")
    return {"threshold": given.threshold, "keys": list(given.keys)}


RIGHTS = ("put", "delete")
"""The kinds of writes that a grant can allow."""


def grant(
    to: str, prefixes: Sequence[bytes | str], *, rights: Sequence[str] = RIGHTS, until_ms: int | None = None
) -> Operation:
    """Lets another account write all keys that begin with these prefixes in the sender's namespace.

    It replaces an earlier grant to the same account. An empty list revokes it. `rights`: "put" to set keys, "delete" to
    remove them. `until_ms`: block time from which it has no effect, Unix ms. Fewer rights and an end need a chain of
    version 2.

    Errors: UsageError for one prefix in place of a list, and for other rights."""
    if isinstance(prefixes, str | bytes):
        raise UsageError(f"prefixes is a list, not one prefix: write [{prefixes!r}]")
    many(prefixes, "prefixes", "prefixes")
    digits = [raw(prefix, "a prefix").hex() for prefix in prefixes]
    given = [one_of(right, RIGHTS, "rights") for right in many(rights, "rights", 'rights, such as ["put"]')]
    # Without these fields the operation has the form of all versions.
    fewer = {"rights": given} if set(given) != set(RIGHTS) else {}
    end = {"until_ms": whole(until_ms, "until_ms")} if until_ms is not None else {}
    return {"type": "grant", "to": text(to, "to"), "prefixes_hex": digits, **fewer, **end}


def revoke(to: str) -> Operation:
    """Takes back what `grant` let another account write."""
    return grant(to, [])


def add_validator(
    name: str,
    validator_key: str,
    node_key: str,
    owner_key: str,
    region: int,
    address: str = "",
    possession: Operation | None = None,
) -> Operation:
    """For operators: adds a validator to the committee from the next epoch on. Keys are hex; peers dial `address`.

    `possession` (`possession_of`) is required on chains of version 2 and later, and refused on others."""
    keys = {"validator_key": validator_key, "node_key": node_key, "owner_key": owner_key}
    named = {key: text(given, key) for key, given in {"name": name, **keys, "address": address}.items()}
    change: Operation = {"type": "add_validator", **named, "region": whole(region, "region")}
    return change if possession is None else {**change, "possession": possession}


def possession_of(validator_seed: bytes, node_seed: bytes, chain: str, owner_key: str) -> Operation:
    """Proves possession of a validator's new keys, for this owner (hex) and this chain."""
    from rustorium import _native

    return json.loads(_native.prove_possession(validator_seed, node_seed, chain, owner_key))  # type: ignore[no-any-return]


def remove_validator(validator_key: str) -> Operation:
    """For operators: removes a validator from the committee from the next epoch on."""
    return {"type": "remove_validator", "validator_key": text(validator_key, "validator_key")}


def replace_key(
    validator_key: str, new_validator_key: str, new_node_key: str, possession: Operation | None = None
) -> Operation:
    """For operators or the validator's owner key: replaces a validator's keys from the next epoch on.

    `possession` (`possession_of`) is required on chains of version 2 and later, and refused on others."""
    new = {"new_validator_key": new_validator_key, "new_node_key": new_node_key}
    keys = {"validator_key": validator_key, **new}
    change: Operation = {"type": "replace_key", **{name: text(given, name) for name, given in keys.items()}}
    return change if possession is None else {**change, "possession": possession}


def set_owner(validator_key: str, new_owner_key: str, possession: str) -> Operation:
    """For a validator's owner as a system sender: gives the validator another owner from the next epoch on.

    `possession` (`owner_possession_of`) is the new owner's signature. Needs a chain of version 2."""
    keys = {"validator_key": validator_key, "new_owner_key": new_owner_key, "possession": possession}
    return {"type": "set_owner", **{name: text(given, name) for name, given in keys.items()}}


def recover_operators(base: str, operators: Sequence[str], quorum: int) -> Operation:
    """For a validator's owner as a system sender: wishes for operators with these keys (hex) in place of lost ones.

    `base` is the hash of the parameters that are wanted now. Needs a chain of version 2."""
    return {
        "type": "recover_operators",
        "base": text(base, "base"),
        "operators": [text(key, "operators") for key in operators],
        "quorum": whole(quorum, "quorum"),
    }


def owner_possession_of(seed: bytes, chain: str, validator_key: str, owner_key: str) -> str:
    """Proves possession of a new owner's key, for this validator with its present owner (hex), and this chain."""
    from rustorium import _native

    return _native.prove_owner(seed, chain, validator_key, owner_key)


def end_epoch(epoch: int) -> Operation:
    """For operators: ends the current epoch as soon as possible. `epoch` must be the current one."""
    return {"type": "end_epoch", "epoch": whole(epoch, "epoch")}


def register_verifier(key: bytes, named: Sequence[int] = (), once: Sequence[int] = ()) -> Operation:
    """Registers a Groth16 verifier; `key` is the verifying key's canonical bytes (`zk.key_bytes`).

    `named` are the indices of public inputs that `require_proved` can ask for. The inputs in `once` are nullifiers:
    they are named, too, and each value of one can be used only once.
    """
    inputs = [{"index": index, "once": index in once} for index in sorted({*named, *once})]
    return {"type": "register_verifier", "key_hex": content(key, "key").hex(), "named": inputs}


def verify_proof(verifier: str, inputs: Sequence[bytes], proof: bytes) -> Operation:
    """Fails the transaction unless the proof is valid, and records its statement. The canonical bytes come from
    `zk`."""
    public = [content(each, "an input").hex() for each in many(inputs, "inputs", "inputs")]
    digits = content(proof, "proof").hex()
    return {"type": "verify_proof", "verifier": text(verifier, "verifier"), "inputs": public, "proof_hex": digits}


def require_proved(verifier: str, index: int, value: bytes | None = None) -> Operation:
    """Fails the transaction unless the verifier has recorded a statement whose named input `index` has this value.

    Without a value, it is this transaction's id, as a number without its three highest bits.
    """
    condition = {"type": "proved", "verifier": text(verifier, "verifier"), "input": whole(index, "index")}
    digits = {} if value is None else {"value": content(value, "value").hex()}
    return {"type": "require", "condition": condition | digits}


def require_value(namespace: str, key: bytes | str, value: bytes | str) -> Operation:
    """Fails the transaction unless the key has this value."""
    from rustorium import _native

    condition = {"type": "value_hash", "namespace": text(namespace, "namespace"), "key_hex": raw(key, "a key").hex()}
    return {"type": "require", "condition": condition | {"hash": _native.value_hash(raw(value, "a value")).hex()}}


def require_absent(namespace: str, key: bytes | str) -> Operation:
    """Fails the transaction unless the key has no value."""
    condition = {"type": "absent", "namespace": text(namespace, "namespace"), "key_hex": raw(key, "a key").hex()}
    return {"type": "require", "condition": condition}


def require_balance(account: str, asset: str, amount: int) -> Operation:
    """Fails the transaction unless the account holds at least this amount."""
    whose = {"account": text(account, "account"), "asset": hex_of(text(asset, "asset"), "an asset id")}
    return {"type": "require", "condition": {"type": "balance_at_least", **whose, "amount": _amount(amount)}}


def _amount(amount: int) -> str:
    if type(amount) is not int or amount <= 0:
        raise UsageError(f"an amount is a whole number above 0, of the asset's smallest units, not {amount!r}")
    if amount > AMOUNT_MAX:
        raise UsageError(f"an amount is below 2^128, that is at most {AMOUNT_MAX}: {amount} is too large")
    return str(amount)
