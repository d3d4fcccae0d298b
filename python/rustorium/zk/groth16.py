"""Groth16 keys, proofs and public inputs, as snarkjs writes them or as canonical bytes, and verifying without a node.

Invariants: the extension decides what is refused, and why; no call holds the GIL while it verifies.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from rustorium import _native
from rustorium.errors import UsageError, ZkRefused

Document = Mapping[str, Any] | bytes | str | os.PathLike[str]
"""A parsed JSON object, bytes (JSON or canonical), or the path of a file with either."""
Public = Sequence[int | str | bytes] | Document
"""A list of inputs (integers, decimal strings, 32 canonical bytes each), or a document."""

PROOF_BYTES = (256, 384)
"""Number of bytes of a proof on BN254 and on BLS12-381."""
INPUT_BYTES = 32

P = ParamSpec("P")
T = TypeVar("T")


def key_bytes(key: Document) -> bytes:
    """Returns a verifying key's canonical bytes, checked. Errors: ZkRefused, UsageError."""
    raw = _content(key)
    return _translate_errors(_native.zk_key, raw, raw[:1] not in (b"\x01", b"\x02"))


def proof_bytes(proof: Document) -> bytes:
    """Returns a proof's canonical bytes. Errors: ZkRefused, UsageError."""
    raw = _content(proof)
    return raw if len(raw) in PROOF_BYTES else _translate_errors(_native.zk_proof, raw)


def input_bytes(public: Public, proof: bytes) -> list[bytes]:
    """Returns the canonical bytes of each public input, for the curve of the proof's bytes. Errors: ZkRefused,
    UsageError."""
    if isinstance(public, Sequence) and not isinstance(public, bytes | str):
        if public and all(isinstance(each, bytes) and len(each) == INPUT_BYTES for each in public):
            return [bytes(each) for each in public if isinstance(each, bytes)]
        texts = [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in public]
        if not all(isinstance(each, str) for each in texts):
            raise UsageError("public inputs are integers, decimal strings, or 32 bytes each: give one kind alone")
        return _translate_errors(_native.zk_inputs, json.dumps(texts).encode(), len(proof))
    return _translate_errors(_native.zk_inputs, _content(public), len(proof))


def describe(key: Document) -> tuple[str, int]:
    """Returns a key's curve, as snarkjs calls it, and the number of its public inputs. Errors: ZkRefused,
    UsageError."""
    return _native.zk_describe(key_bytes(key))


def verify(key: Document, proof: Document, public: Public) -> None:
    """Verifies a proof on this machine. Errors: ZkRefused, whose `code` says why; UsageError."""
    raw = proof_bytes(proof)
    _translate_errors(_native.zk_verify, key_bytes(key), raw, input_bytes(public, raw))


def verifier_id(owner: str, key: Document, *, named: Sequence[int] = (), once: Sequence[int] = ()) -> str:
    """Returns the id of the verifier that the account `owner` makes when it registers this key."""
    inputs = [(index, index in once) for index in sorted({*named, *once})]
    return _native.verifier_id(owner, key_bytes(key), inputs)


def address_of(verifier: str) -> str:
    """Returns the address under which a verifier's transactions are listed. Errors: UsageError."""
    try:
        return _native.format_address(bytes.fromhex(verifier))
    except (ValueError, TypeError):
        raise UsageError("a verifier's id is 64 hex digits, as `zk register` prints it") from None


def transaction_input(transaction: str) -> int:
    """Returns a transaction's id as a public input: its bytes, big-endian, without the three highest bits."""
    return int.from_bytes(_native.transaction_input(transaction), "big")


def _content(document: object) -> bytes:
    if isinstance(document, bytes):
        return document
    if isinstance(document, Mapping):
        return json.dumps(document).encode()
    if not isinstance(document, str | os.PathLike):
        raise UsageError("a key, proof or list of inputs is a dict, bytes, or the path of a file")
    try:
        with open(document, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{document} can't be read ({error.strerror}): name a file that can") from None


def _translate_errors(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return work(*args, **kwargs)
    except _native.NativeError as error:
        raise ZkRefused(str(error.args[0]), code=error.code) from None
