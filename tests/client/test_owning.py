"""How commands find a validator's owner, and what a key that becomes one proves and signs."""

import json
from pathlib import Path
from typing import Any

import pytest

from rustorium import _native
from rustorium.client import Key, SigningFile, operations
from rustorium.client.words import change_words, shown
from rustorium.errors import NotFound, UsageError
from rustorium.home.owning import new_owner, owner_named, send, sign

CHAIN = "07" * 32
OLD, NEW = (Key(bytes([number]) * 32) for number in (1, 2))


def owner(number: int, **fields: Any) -> dict[str, Any]:
    found = {"number": number, "sender": OLD.address, "name": f"node-{number}", "validator_key": f"{number:02x}" * 32}
    return found | {"owner_key": OLD.public_key, "nonce": 4, "room": 120, "changed": False} | fields


def test_a_validator_is_named_by_name_key_or_number() -> None:
    answer = {"owners": [owner(0), owner(3), owner(7, name="3")]}
    assert owner_named(answer, "node-3")["number"] == 3
    assert owner_named(answer, "03" * 32)["number"] == 3
    assert owner_named(answer, "0")["number"] == 0
    assert owner_named(answer, "3")["number"] == 7, "a name is meant before a number"
    with pytest.raises(NotFound, match="name one of node-0, node-3, 3"):
        owner_named(answer, "node-9")
    with pytest.raises(UsageError, match="2 validators are named twin"):
        owner_named({"owners": [owner(0, name="twin"), owner(1, name="twin")]}, "twin")


def test_a_new_owner_proves_its_key_for_one_change() -> None:
    change = new_owner(CHAIN, owner(3), NEW)
    assert (change["type"], change["validator_key"], change["new_owner_key"]) == (
        "set_owner",
        "03" * 32,
        NEW.public_key,
    )
    others = [
        new_owner("08" * 32, owner(3), NEW),
        new_owner(CHAIN, owner(4), NEW),
        new_owner(CHAIN, owner(3, owner_key=NEW.public_key), NEW),
    ]
    assert all(one["possession"] != change["possession"] for one in others)
    words = f"let the key {NEW.public_key} own the validator with key {'03' * 32} from the next epoch on"
    assert change_words(change).startswith(words)
    assert shown(change, OLD.address).startswith(words)
    file = sign(CHAIN, (OLD.address, 4), 1_800_000_000_000, change, OLD)
    assert (file.sender, file.nonce, file.missing) == (OLD.address, 4, 0)
    [read] = SigningFile.from_bytes(file.to_bytes()).operations
    assert read == change


def test_the_vectors_proof_is_made_anew() -> None:
    """By the vectors' oracle and the specification: chain, validator, present owner, new owner."""
    cases = json.loads((Path(__file__).parents[1] / "vectors" / "transactions2.json").read_text())["cases"]
    operations = [one for case in cases for one in case.get("value", {}).get("operations", [])]
    [found] = [one for one in operations if one["type"] == "set_owner"]
    validator, present, new = (_native.public_key(bytes([number]) * 32).hex() for number in (1, 2, 3))
    assert (found["validator_key"], found["new_owner_key"]) == (validator, new)
    chain = next(case["chain"] for case in cases if "chain" in case)
    assert _native.prove_owner(bytes([3]) * 32, chain, validator, present) == found["possession"]


def test_another_key_or_an_owner_without_room_sends_nothing() -> None:
    change = new_owner(CHAIN, owner(3), NEW)
    with pytest.raises(UsageError, match="isn't that of the validator's owner"):
        send(None, owner(3), change, NEW)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="wait half a minute"):
        send(None, owner(3, room=0), change, OLD)  # type: ignore[arg-type]


def test_a_wish_for_other_operators_is_said_in_words() -> None:
    wish = operations.recover_operators("cd" * 32, [NEW.public_key], 1)
    said = shown(wish, OLD.address)
    assert said.startswith("as a validator's owner, wish in place of lost operators to ")
    assert NEW.public_key in said
    file = sign(CHAIN, (OLD.address, 4), 1_800_000_000_000, wish, OLD)
    [read] = SigningFile.from_bytes(file.to_bytes()).operations
    assert read == wish
