"""Proof files: one JSON envelope for every kind of proof, and for checkpoints.

Invariants: PURE; what is for people (`facts`) is compared with what the proof shows, never believed; a file is read
strictly: unknown or missing fields and other versions are refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rustorium.errors import VerificationFailed

FORMAT = "rustorium-proof"
CHECKPOINT_FORMAT = "rustorium-checkpoint"
VERSION = 1
KINDS = ("read", "receipt", "transaction", "block")
FILE_BYTES_MAX = 48 * 1024 * 1024
"""More than the longest proof with a thousand epoch changes."""
EPOCHS_MAX = 4096
_FIELDS = {"format", "version", "kind", "chain", "facts", "epochs", "proof"}


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof with what it needs: `epochs` lead from the genesis' committee to the one that vouches for it."""

    kind: str
    chain: str
    facts: Mapping[str, object]
    proof: bytes
    """Canonical bytes of a `Proof`."""
    epochs: Sequence[bytes] = ()
    """Canonical bytes of the changes from epoch 0 on."""

    def to_bytes(self) -> bytes:
        """The file's content."""
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "chain": self.chain,
            "facts": self.facts,
            "epochs": [change.hex() for change in self.epochs],
            "proof": self.proof.hex(),
        }
        return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()


def parse(content: bytes) -> ProofFile:
    """Reads a proof file; nothing in it is checked yet. Errors: VerificationFailed."""
    fields = _fields(content, FORMAT, _FIELDS)
    kind, chain, facts, epochs = fields["kind"], fields["chain"], fields["facts"], fields["epochs"]
    if kind not in KINDS or not isinstance(chain, str) or not isinstance(facts, dict):
        raise _refused("its kind, chain or facts are of no known form")
    if not isinstance(epochs, list) or len(epochs) > EPOCHS_MAX:
        raise _refused(f"its epochs are no list of at most {EPOCHS_MAX}")
    return ProofFile(str(kind), chain, facts, _bytes(fields["proof"]), tuple(_bytes(change) for change in epochs))


def checkpoint_to_bytes(facts: Mapping[str, object], checkpoint: bytes) -> bytes:
    """The content of a checkpoint's file."""
    fields = {"format": CHECKPOINT_FORMAT, "version": VERSION, "facts": facts, "checkpoint": checkpoint.hex()}
    return (json.dumps(fields, indent=1) + "\n").encode()


def parse_checkpoint(content: bytes) -> tuple[dict[str, object], bytes]:
    """The readable part and the canonical bytes of a checkpoint. Errors: VerificationFailed."""
    fields = _fields(content, CHECKPOINT_FORMAT, {"format", "version", "facts", "checkpoint"})
    if not isinstance(fields["facts"], dict):
        raise _refused("its facts are of no known form")
    return fields["facts"], _bytes(fields["checkpoint"])


def _fields(content: bytes, form: str, names: set[str]) -> dict[str, object]:
    if len(content) > FILE_BYTES_MAX:
        raise _refused(f"it has {len(content)} bytes and may have {FILE_BYTES_MAX}")
    try:
        fields = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is not JSON ({error})") from None
    if not isinstance(fields, dict) or fields.get("format") != form:
        raise _refused(f"its format is not {form!r}")
    if fields.get("version") != VERSION or isinstance(fields.get("version"), bool):
        raise _refused(f"its version is {fields.get('version')!r}, this program reads {VERSION}: use a newer one")
    if set(fields) != names:
        raise _refused(f"it has not exactly the fields {', '.join(sorted(names))}")
    return fields


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _bytes(digits: object) -> bytes:
    if not isinstance(digits, str) or not digits.isascii() or digits != digits.lower() or " " in digits:
        raise _refused("its proof is not hex digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise _refused("its proof is not hex digits") from None


def _refused(why: str) -> VerificationFailed:
    return VerificationFailed(f"the file is no proof that can be checked: {why}")
