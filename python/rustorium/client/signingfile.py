"""Files in which the keys of an account sign one transaction of version 2, one after the other or each in a copy.

Invariants: everything about the transaction is read from the bytes that are signed; the words beside them are compared,
never believed; a signature in a `SigningFile` holds, and is of a key of the authority.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rustorium import _native, arguments
from rustorium.access.files import replace
from rustorium.client import words
from rustorium.client.keys import Key
from rustorium.client.strictjson import DECODER
from rustorium.errors import UsageError
from rustorium.plain import plain
from rustorium.types import Authority, SignedTransaction

FORMAT = "rustorium-signing"
VERSION = 1
FILE_BYTES_MAX = 4 * 1024 * 1024
"""Maximum number of bytes of a file; the largest transaction and its words take fewer."""
FIELDS = {"format", "version", "chain", "body", "signatures", "words"}
SHOWN_MAX = 100
"""Maximum number of characters of a file's line in an error."""


@dataclass(frozen=True, slots=True, eq=False)
class SigningFile:
    """A transaction of version 2, and the signatures that it has so far. It is never changed: `sign` and `combine`
    return another one."""

    chain: str
    """The chain for which the keys sign."""
    body: bytes = field(repr=False)
    """Canonical bytes of what is signed, without the chain."""
    id: str
    sender: str
    nonce: int
    expires_at_ms: int
    """Header time from which the transaction can't be executed, Unix ms."""
    authority: Authority
    """The sender's keys, and how many of them must sign."""
    operations: tuple[Mapping[str, Any], ...] = field(repr=False)
    signatures: Mapping[str, bytes] = field(repr=False)
    """By public key, hex; all of them hold."""
    words: tuple[str, ...] = field(repr=False)
    """What the keys sign, in words: a line about the transaction, the account, the keys, and each operation."""

    @classmethod
    def build(
        cls,
        chain: str,
        authority: Authority,
        sender: str,
        nonce: int,
        expires_at_ms: int,
        operations: Sequence[Mapping[str, object]],
        *,
        largest: bool = False,
    ) -> Self:
        """Returns a transaction without signatures. `AsyncClient.prepare` finds out the parts from the chain.

        `largest`: it declares work for values of the largest size, instead of 4 KiB, that it may read. Errors:
        UsageError."""
        parts = (chain, authority.threshold, list(authority.keys), sender, nonce, expires_at_ms)
        try:
            made = _native.UnsignedTransaction.build(*parts, json.dumps(list(operations)), largest)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"the transaction can't be made: {error}") from None
        return cls._of(chain, made.to_bytes(), {})

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads a file's content. Errors: UsageError, also for a signature that doesn't hold and for words that aren't
        those of the bytes."""
        fields = _fields(arguments.content(content, "content"))
        chain, body = _digits(fields["chain"], "chain").hex(), _digits(fields["body"], "body")
        signatures = {key: _digits(digits, "signatures") for key, digits in fields["signatures"].items()}
        found = cls._of(chain, body, signatures)
        found._compare_words(fields.get("words"))
        return found

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a file. Errors: UsageError."""
        file = arguments.path(path, "path").expanduser()
        try:
            return cls.from_bytes(read_bounded(file))
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from None

    def to_bytes(self) -> bytes:
        """Returns the file's content: JSON, with everything in words, too."""
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "chain": self.chain,
            "body": self.body.hex(),
            "signatures": {key: signature.hex() for key, signature in self.signatures.items()},
            "words": list(self.words),
        }
        return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()

    def replace(self, path: str | Path) -> None:
        """Writes the file in place of the one at this path, whole or not at all. Errors: UsageError."""
        file = arguments.path(path, "path").expanduser()
        try:
            replace(file, self.to_bytes())
        except OSError as error:
            raise UsageError(
                f"{file} can't be written ({error.strerror}), and is as it was: name another file"
            ) from None

    @property
    def signed_by(self) -> tuple[str, ...]:
        """Public keys that have signed, hex, in the authority's order."""
        return tuple(key for key in self.authority.keys if key in self.signatures)

    @property
    def open_keys(self) -> tuple[str, ...]:
        """Public keys that haven't signed, hex, in the authority's order."""
        return tuple(key for key in self.authority.keys if key not in self.signatures)

    @property
    def missing(self) -> int:
        """Number of signatures that it still needs."""
        return max(0, self.authority.threshold - len(self.signatures))

    def sign(self, key: Key) -> Self:
        """Returns it with the key's signature; unchanged if the key has signed already.

        Nothing is asked or compared with the chain: `AsyncClient.sign_file` does that first. Errors: UsageError if the
        authority doesn't name the key, NativeError if the signer process that has the key doesn't sign."""
        arguments.instance(key, Key, "key", "open one with Key.open")
        if key.public_key not in self.authority.keys:
            raise UsageError(
                f"the key {key.public_key} is none of the {len(self.authority.keys)} keys that may sign: name one of "
                f"{', '.join(self.authority.keys)}"
            )
        if key.public_key in self.signatures:
            return self
        signature = key.signature_of(_native.UnsignedTransaction.read(self.chain, self.body))
        return self._of(self.chain, self.body, {**self.signatures, key.public_key: signature})

    def combine(self, *others: Self) -> Self:
        """Returns it with the signatures of all. Errors: UsageError if one is of another transaction."""
        signatures = dict(self.signatures)
        for other in others:
            if (other.chain, other.body) != (self.chain, self.body):
                raise UsageError(
                    f"the files are of two transactions, {self.id} and {other.id}: combine copies of one file"
                )
            signatures |= other.signatures
        return self._of(self.chain, self.body, signatures)

    def transaction(self) -> SignedTransaction:
        """Returns the transaction, ready to be sent. Of more signatures than it needs it has the first ones.

        Errors: UsageError if signatures are missing."""
        if self.missing:
            raise UsageError(
                f"the transaction has {len(self.signatures)} of the {self.authority.threshold} signatures that it "
                f"needs: have {self.missing} of these keys sign it, {', '.join(self.open_keys)}"
            )
        places = [place for place, key in enumerate(self.authority.keys) if key in self.signatures]
        chosen = [(place, self.signatures[self.authority.keys[place]]) for place in places[: self.authority.threshold]]
        identity, raw = _native.UnsignedTransaction.read(self.chain, self.body).finish(chosen)
        return SignedTransaction(identity, raw, self.sender, self.nonce, self.expires_at_ms)

    @classmethod
    def _of(cls, chain: str, body: bytes, signatures: Mapping[str, bytes]) -> Self:
        """Errors: UsageError if the bytes are no transaction, or a signature doesn't hold."""
        try:
            read = _native.UnsignedTransaction.read(chain, body)
        except ValueError as error:
            raise UsageError(f"the bytes are no transaction of version 2 ({error}): ask for the file again") from None
        facts = json.loads(read.describe())
        authority = Authority(facts["authority"]["threshold"], facts["authority"]["keys"])
        for key, signature in signatures.items():
            _check_signature(read, authority, key, signature)
        ordered = {key: signatures[key] for key in authority.keys if key in signatures}
        return cls(
            chain,
            body,
            facts["id"],
            facts["sender"],
            facts["nonce"],
            facts["expires_at_ms"],
            authority,
            tuple(facts["operations"]),
            ordered,
            tuple(words.describe(chain, facts)),
        )

    def _compare_words(self, given: Sequence[str] | None) -> None:
        """Refuses words that aren't those of the bytes. Errors: UsageError."""
        if given is None or list(given) == list(self.words):
            return
        said, true = next(
            ((one, two) for one, two in zip(given, self.words, strict=False) if one != two), ("fewer or more lines", "")
        )
        raise UsageError(
            f"its words aren't those of the bytes that are signed (it says “{plain(said, SHOWN_MAX)}”, the bytes say "
            f"“{true[:SHOWN_MAX]}”): somebody changed it, or another release made it; don't sign it before you know"
        )


def is_signing_file(content: bytes) -> bool:
    """Returns whether a file's content says that it is one of these; nothing else is checked."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def read_bounded(path: Path) -> bytes:
    """Returns a file's content; of a file that is too large, just enough to refuse it. Errors: UsageError."""
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"it can't be read ({error.strerror}): name a file that can") from None
    return content


def _check_signature(read: "_native.UnsignedTransaction", authority: Authority, key: str, signature: bytes) -> None:
    """Errors: UsageError."""
    if key not in authority.keys:
        raise UsageError(f"it has a signature of {plain(key, SHOWN_MAX)}, which is none of its keys: ask for it again")
    if len(signature) != 64 or not read.holds(authority.keys.index(key), signature):
        raise UsageError(f"the signature of {key} doesn't hold: have its owner sign again, and take it out till then")


def _fields(content: bytes) -> dict[str, Any]:
    """Returns the fields of a file, each of its type. Errors: UsageError."""
    if len(content) > FILE_BYTES_MAX:
        raise UsageError(f"it has more than {FILE_BYTES_MAX} bytes, so it is no file to sign: name another one")
    try:
        found = DECODER.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"it is no file to sign: it is not JSON ({plain(str(error), SHOWN_MAX)})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError("it is no file to sign: make one with --unsigned")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise UsageError(f"it is of another version than {VERSION}, which this release reads: take a newer release")
    signatures, said = found.get("signatures"), found.get("words", [])
    good = (
        found.keys() | {"words"} == FIELDS
        and isinstance(found["chain"], str)
        and isinstance(found["body"], str)
        and isinstance(signatures, dict)
        and all(isinstance(one, str) for one in signatures.values())
        and isinstance(said, list)
        and all(isinstance(line, str) for line in said)
    )
    if not good:
        raise UsageError(f"it hasn't exactly the fields {', '.join(sorted(FIELDS))}: ask for the file again")
    return found


def _digits(text: str, name: str) -> bytes:
    """Errors: UsageError."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if found.hex() != text:
        raise UsageError(f"its {name} is not written in lower-case hex digits: ask for the file again")
    return found
