"""Acts as a validator's owner on a chain of version 2: as a sender of the system's own, which needs no account.

Invariants: SYNC; an owner signs only what names its own validator.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rustorium.client import SigningFile, operations
from rustorium.errors import NotFound, UsageError
from rustorium.types import Authority

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.client import Client, Key
    from rustorium.types import Submitted

VALID_MS = 600_000
"""Time until an owner's transaction that is sent at once can't be executed any more."""


def owner_named(answer: Mapping[str, Any], validator: str) -> Mapping[str, Any]:
    """Returns the owner of a validator, by the validator's name, key or number. `answer`: the client's `governance()`.

    Errors: NotFound, UsageError if several validators have the name."""
    found = [one for one in answer["owners"] if validator in (one["validator_key"], one.get("name"))]
    found = found or [one for one in answer["owners"] if str(one["number"]) == validator]
    if len(found) > 1:
        raise UsageError(f"{len(found)} validators are named {validator}: name the validator key of one")
    if not found:
        names = ", ".join(str(one.get("name") or one["validator_key"]) for one in answer["owners"])
        raise NotFound(
            f"no validator of the next committee is named {validator}: name one of {names}", code="no-such-validator"
        )
    return dict(found[0])


def sign(
    chain: str, sender: tuple[str, int], expires_at_ms: int, operation: Mapping[str, Any], key: "Key"
) -> SigningFile:
    """Returns the signed transaction of an owner's sender (address, next nonce)."""
    address, nonce = sender
    authority = Authority(1, [key.public_key])
    return SigningFile.build(chain, authority, address, nonce, expires_at_ms, [operation]).sign(key)


def send(client: "Client", owner: Mapping[str, Any], operation: Mapping[str, Any], key: "Key") -> "Submitted":
    """Sends an operation of an owner, and waits until it is final. Errors: UsageError if the key is another one's, and
    those of the client, also if the operation fails."""
    if owner["owner_key"] != key.public_key:
        raise UsageError(
            f"the key {key.public_key} isn't that of the validator's owner, {owner['owner_key']}: name its file"
        )
    if owner["room"] == 0:
        raise UsageError("the owner did as much as it may in an hour: wait half a minute for each operation")
    now_ms = max(time.time_ns() // 1_000_000, int(client.governance()["time_ms"]))
    sender = (str(owner["sender"]), int(owner["nonce"]))
    return client.send_file(sign(client.chain(), sender, now_ms + VALID_MS, operation, key))


def new_owner(chain: str, owner: Mapping[str, Any], new: "Key") -> "Operation":
    """Returns the operation by which a validator gets the owner with this key, with the key's proof."""
    validator_key = str(owner["validator_key"])
    proof = operations.owner_possession_of(new.seed, chain, validator_key, str(owner["owner_key"]))
    return operations.set_owner(validator_key, new.public_key, proof)
