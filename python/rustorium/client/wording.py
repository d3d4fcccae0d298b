"""Says in sentences what a checked proof shows.

Invariants: PURE; takes only checked facts, never what is beside them in a file; an operation that is unknown here is
shown by its fields.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

SHOWN_CHARACTERS_MAX = 80
"""Longer values are described by their size; the table of facts has them whole."""


def sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a proof shows, one fact a line. `facts`: those of a `VerifiedProof`."""
    if facts["kind"] == "read":
        for item in facts["items"]:
            yield f"After height {facts['height']}, {_content(item)}."
        return
    if facts["kind"] == "block":
        yield f"Block {facts['header']['height']} of epoch {facts['epoch']} is final."
        return
    yield _outcome(facts["receipt"])
    transaction = facts.get("transaction")
    if transaction is None:
        yield "The transaction itself is not in the proof."
        return
    for number, one in enumerate(transaction["operations"]):
        yield f"Operation {number} of {transaction['sender']}: {operation(one)}."


def operation(one: Mapping[str, Any]) -> str:
    """Says what an operation does, as a clause."""
    kind = one["type"]
    if kind == "put":
        return f"set {_key(one)} to {_text(one, 'value')}"
    if kind == "delete":
        return f"remove {_key(one)}"
    if kind == "transfer":
        return f"transfer {one['amount']} of asset {one['asset']} to {one['to']}"
    if kind == "issue":
        return f"issue {one['amount']} of its asset {_text(one, 'symbol')} to {one['to']}"
    if kind == "require":
        return f"fail unless {_condition(one['condition'])}"
    if kind == "grant" and one["prefixes_hex"]:
        named = ", ".join(_decoded(digits) for digits in one["prefixes_hex"])
        return f"let {one['to']} write keys that begin with {named}"
    if kind == "grant":
        return f"let {one['to']} write no keys any more"
    if kind == "create_account":
        return f"make the account of the key {one['public_key']} with {one['storage_bytes']} bytes of storage"
    fields = (f"{name} {_shortened(json.dumps(value))}" for name, value in one.items() if name != "type")
    return ", ".join([str(kind).replace("_", " "), *fields])


def _outcome(receipt: Mapping[str, Any]) -> str:
    said = f"Transaction {receipt['id']} of {receipt['sender']} is final at height {receipt['height']}"
    failure = receipt.get("failure")
    if failure is None:
        return f"{said}, and took effect."
    return f"{said}, and failed at operation {failure['operation']} ({failure['code']}): nothing of it took effect."


def _content(item: Mapping[str, Any]) -> str:
    if item["type"] == "value":
        if item["value_hex"] is None:
            return f"{_key(item)} is absent"
        return f"{_key(item)} has the value {_text(item, 'value')}"
    if item["type"] == "balance":
        return f"{item['account']} holds {item['balance']} of asset {item['asset']}"
    if item["record"] is None:
        return f"there is no account {item['account']}"
    return f"the account {item['account']} exists, and its next nonce is {item['record']['nonce']}"


def _condition(one: Mapping[str, Any]) -> str:
    kind = one["type"]
    if kind == "value_hash":
        return f"{_key(one)} has a value whose BLAKE3 hash is {one['hash']}"
    if kind == "absent":
        return f"{_key(one)} has no value"
    if kind == "balance_at_least":
        return f"{one['account']} holds at least {one['amount']} of asset {one['asset']}"
    value = f"the value {one['value']}" if one.get("value") is not None else "the transaction's id as its value"
    return f"a proof of verifier {one['verifier']} is recorded whose input {one['input']} has {value}"


def _key(one: Mapping[str, Any]) -> str:
    return f"key {_text(one, 'key')} of {one.get('namespace') or one['account']}"


def _text(one: Mapping[str, Any], name: str) -> str:
    """Returns a field that is text or hex digits."""
    given = one.get(name)
    return _decoded(one[f"{name}_hex"]) if given is None else _shortened(json.dumps(given, ensure_ascii=False))


def _decoded(digits: str) -> str:
    try:
        shown = bytes.fromhex(digits).decode()
    except UnicodeDecodeError:
        return _shortened(f"hex {digits}")
    return _shortened(json.dumps(shown, ensure_ascii=False)) if shown.isprintable() else _shortened(f"hex {digits}")


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}… ({len(text)} characters)"
