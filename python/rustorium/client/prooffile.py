"""Proof files: one JSON envelope for every kind of proof, for checkpoints, trust files and evidence of forks.

Invariants: PURE; the readable part (`facts`) is compared with the proven facts, never believed; unknown or missing
fields and other versions are refused; epoch changes are read one at a time, so memory use does not grow with the number
of epochs.
"""

import codecs
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from rustorium.client.strictjson import DECODER
from rustorium.errors import VerificationFailed
from rustorium.plain import CODE_CHARACTERS_MAX, plain

FORMAT = "rustorium-proof"
CHECKPOINT_FORMAT = "rustorium-checkpoint"
TRUST_FORMAT = "rustorium-trust"
FORK_FORMAT = "rustorium-fork"
VERSION = 1
VERSIONS = (1, 2)
"""Proof files and evidence of version 2 have headers of protocol version 2, which older programs can't check."""
CHECKPOINT_VERSIONS = (1, 2, 3)
"""A checkpoint of version 1 doesn't name the length of its epoch; one of version 3 is of protocol version 2."""
TRUST_VERSIONS = (1, 2, 3)
"""A trust file of version 1 doesn't name the height of the newest verified state; one of version 3 trusts a committee
of protocol version 2."""
KINDS = ("read", "receipt", "transaction", "block")
VALUE_CHARACTERS_MAX = 48 * 1024 * 1024
"""Maximum number of characters in one field or epoch change; the longest proof has fewer."""
CHUNK_BYTES = 64 * 1024
FORK_HEAD_BYTES = 64
_FIELDS = {"format", "version", "kind", "chain", "facts", "epochs", "proof"}


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof and the `epochs` that lead from the genesis committee to the committee that signed it."""

    kind: str
    chain: str
    facts: Mapping[str, object]
    proof: bytes
    """Canonical bytes of a `Proof`."""
    epochs: Sequence[bytes] = ()
    """Canonical bytes of the epoch changes, from epoch 0 on."""
    protocol: int = 1
    """Protocol version of the header that the proof rests on."""

    def to_bytes(self) -> bytes:
        """The file's content."""
        fields = {
            "format": FORMAT,
            "version": _version(self.protocol),
            "kind": self.kind,
            "chain": self.chain,
            "facts": self.facts,
            "epochs": [change.hex() for change in self.epochs],
            "proof": self.proof.hex(),
        }
        return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()


def parse(content: bytes) -> ProofFile:
    """Reads a proof file; nothing in it is checked yet. Errors: VerificationFailed."""
    epochs: list[bytes] = []
    file, _ = read(io.BytesIO(content), lambda _number, change, _facts: epochs.append(change))
    return ProofFile(file.kind, file.chain, file.facts, file.proof, tuple(epochs), file.protocol)


def read(content: BinaryIO, each: Callable[[int, bytes, object], None]) -> tuple[ProofFile, int]:
    """Reads a proof file to its end; returns it without its epoch changes, and their number.

    `each` gets every epoch change in turn: its number, its bytes, and the facts if they come earlier in the file.
    Errors: VerificationFailed, and those of `each`."""
    stream, fields, count = _Stream(content), dict[str, object](), 0
    for name in stream.members():
        if name in fields:
            raise _refused("it is not JSON (a field is there twice)")
        if name != "epochs" or not stream.starts_list():
            fields[name] = stream.value()
            continue
        for number, change in enumerate(stream.elements()):
            each(number, _bytes(change), fields.get("facts"))
            count = number + 1
        fields[name] = []
    _check_fields(fields, FORMAT, _FIELDS, VERSIONS)
    kind, chain, facts = fields["kind"], fields["chain"], fields["facts"]
    if kind not in KINDS or not isinstance(chain, str) or not isinstance(facts, dict):
        raise _refused("its kind, chain or facts are of no known form")
    if not isinstance(fields["epochs"], list):
        raise _refused("its epochs are no list")
    protocol = 1 if fields["version"] == VERSION else 2
    return ProofFile(str(kind), chain, facts, _bytes(fields["proof"]), protocol=protocol), count


def checkpoint_to_bytes(facts: Mapping[str, object], checkpoint: bytes) -> bytes:
    """Returns the content of a checkpoint file."""
    version = 3 if "protocol_version" in facts else 2 if "epoch_ms" in facts else 1
    fields = {"format": CHECKPOINT_FORMAT, "version": version, "facts": facts, "checkpoint": checkpoint.hex()}
    return (json.dumps(fields, indent=1) + "\n").encode()


def parse_checkpoint(content: bytes) -> tuple[dict[str, object], bytes]:
    """Returns the readable part and the canonical bytes of a checkpoint. Errors: VerificationFailed."""
    fields = _fields(content, CHECKPOINT_FORMAT, {"format", "version", "facts", "checkpoint"}, CHECKPOINT_VERSIONS)
    return _trusted(fields), _bytes(fields["checkpoint"])


def trust_to_bytes(facts: Mapping[str, object], state: bytes, height: int) -> bytes:
    """Returns the content of a trust file: the readable part, a light client's state, and the height of the newest
    state of the chain that was verified."""
    version = 3 if "protocol_version" in facts else 2
    fields = {"format": TRUST_FORMAT, "version": version, "facts": facts, "height": height, "state": state.hex()}
    return (json.dumps(fields | {"digest": _digest(height, state)}, indent=1) + "\n").encode()


def parse_trust(content: bytes) -> tuple[dict[str, object], bytes, int]:
    """Returns the readable part, the state, and the newest verified height of a trust file; 0 if it names none. A file
    of an earlier release has no digest. Errors: VerificationFailed."""
    fields, names = _object(content, TRUST_FORMAT), {"format", "version", "facts", "state"}
    _check_fields(fields, TRUST_FORMAT, names | ({"height", "digest"} & fields.keys()), TRUST_VERSIONS)
    height = fields.get("height", 0)
    if (fields["version"] == 1) == ("height" in fields) or type(height) is not int or height < 0:
        raise _refused("its height is of no known form")
    state = _bytes(fields["state"])
    if "digest" in fields and fields["digest"] != _digest(height, state):
        raise _refused("its digest is of another state or height, so it was damaged or changed")
    return _trusted(fields), state, height


def _digest(height: int, state: bytes) -> str:
    """Returns the SHA-256 of what a trust file keeps; its facts are compared with the state. It shows damage: whoever
    changes a file on purpose can write its digest, too."""
    return hashlib.sha256(b"%d:%s" % (height, state)).hexdigest()


@dataclass(frozen=True, slots=True)
class ForkFile:
    """Two signed headers that contradict each other, and their sources."""

    chain: str
    facts: Mapping[str, object]
    headers: tuple[bytes, bytes]
    """Canonical bytes of two block proofs (`Proof`)."""
    sources: tuple[str, str]
    epochs: Sequence[bytes] = ()
    """Canonical bytes of the epoch changes from epoch 0 to that of the headers; empty if unknown."""
    protocol: int = 1
    """Protocol version of the headers."""

    def to_bytes(self) -> bytes:
        """The file's content."""
        fields = {
            "format": FORK_FORMAT,
            "version": _version(self.protocol),
            "chain": self.chain,
            "facts": self.facts,
            "sources": self.sources,
            "epochs": [change.hex() for change in self.epochs],
            "headers": [header.hex() for header in self.headers],
        }
        return (json.dumps(fields, indent=1) + "\n").encode()


def parse_fork(content: bytes) -> ForkFile:
    """Reads evidence of a fork; nothing in it is checked yet. Errors: VerificationFailed."""
    names = {"format", "version", "chain", "facts", "sources", "epochs", "headers"}
    fields = _fields(content, FORK_FORMAT, names, VERSIONS)
    chain, facts, sources, epochs, headers = (fields[n] for n in ("chain", "facts", "sources", "epochs", "headers"))
    if not isinstance(chain, str) or not isinstance(facts, dict) or not isinstance(epochs, list):
        raise _refused("its chain, facts or epochs are of no known form")
    pairs = [part for part in (sources, headers) if isinstance(part, list) and len(part) == 2]
    if len(pairs) != 2:
        raise _refused("it has not two headers with their sources")
    first, second = (_bytes(header) for header in pairs[1])
    one, other = (str(source) for source in pairs[0])
    protocol = 1 if fields["version"] == VERSION else 2
    return ForkFile(chain, facts, (first, second), (one, other), tuple(_bytes(change) for change in epochs), protocol)


def shard_of_fork(file: ForkFile) -> object:
    """Returns the shard that the readable part names; `None` if it names none."""
    headers = file.facts.get("headers")
    first = headers[0] if isinstance(headers, list) and headers else None
    return first.get("shard") if isinstance(first, dict) else None


def is_fork(content: BinaryIO) -> bool:
    """Returns whether an open file says that it is evidence of a fork; the file is back at its start afterwards."""
    head = content.read(FORK_HEAD_BYTES)
    content.seek(0)
    return f'"{FORK_FORMAT}"'.encode() in head


def is_checkpoint(content: bytes) -> bool:
    """Returns whether content says that it is a checkpoint; `False` also for bytes that are not JSON."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and fields.get("format") == CHECKPOINT_FORMAT


def _trusted(fields: Mapping[str, object]) -> dict[str, object]:
    """Returns the readable part of a checkpoint or trust file, whose version must be that of its facts."""
    facts = fields["facts"]
    if not isinstance(facts, dict):
        raise _refused("its facts are of no known form")
    if (fields["version"] == 3) != ("protocol_version" in facts):
        raise _refused(f"its version is {fields['version']}, which its facts don't fit")
    return facts


def check_protocol(file: "ProofFile | ForkFile", protocol: int) -> None:
    """Checks that a file has the version of its headers' protocol version. Errors: VerificationFailed."""
    if _version(file.protocol) != _version(protocol):
        raise _refused(f"its version is {file.protocol}, and its headers are of protocol version {protocol}")


def _version(protocol: int) -> int:
    """Returns the version of a file whose headers are of this protocol version."""
    return VERSION if protocol == 1 else 2


def _fields(content: bytes, form: str, names: set[str], versions: Sequence[int]) -> dict[str, object]:
    fields = _object(content, form)
    _check_fields(fields, form, names, versions)
    return fields


def _object(content: bytes, form: str) -> dict[str, object]:
    if len(content) > VALUE_CHARACTERS_MAX:
        raise _refused(f"it has {len(content)} bytes and may have {VALUE_CHARACTERS_MAX}")
    try:
        fields: object = DECODER.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise _refused(f"it has no format, and a file of format {form!r} is needed")
    return fields


def _check_fields(
    fields: Mapping[str, object], form: str, names: set[str], versions: Sequence[int] = (VERSION,)
) -> None:
    found = fields.get("format")
    if found is None:
        raise _refused(f"it has no format, and a file of format {form!r} is needed")
    if found != form:
        raise _refused(f"its format is '{plain(str(found), CODE_CHARACTERS_MAX)}', not {form!r}")
    version = fields.get("version")
    if version not in versions or isinstance(version, bool):
        raise _refused(f"its version is {version!r}, this program reads {versions[-1]}: use a newer one")
    if set(fields) != names:
        raise _refused(f"it has not exactly the fields {', '.join(sorted(names))}")


class _Stream:
    """A JSON object that is read in small parts. Errors of all methods: VerificationFailed."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._text = ""
        self._at = 0
        self._ended = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    def members(self) -> Iterator[str]:
        """Yields the names of the object's fields. The caller must take each value before the next name."""
        self._expect("{")
        if self._take("}"):
            return self._expect_end()
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise _refused("it is not JSON (a field's name is no text)")
            self._expect(":")
            yield name
            if not self._take(","):
                break
        self._expect("}")
        return self._expect_end()

    def starts_list(self) -> bool:
        """Returns whether the next value is a list."""
        return self._peek() == "["

    def elements(self) -> Iterator[object]:
        """Yields the values of a list."""
        self._expect("[")
        if self._take("]"):
            return
        while True:
            yield self.value()
            if not self._take(","):
                break
        self._expect("]")

    def value(self) -> object:
        """Returns the next value."""
        self._peek()
        while True:
            try:
                found, end = DECODER.raw_decode(self._text, self._at)
                # A number at the end of the buffer may continue in the next chunk.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return found
            except json.JSONDecodeError as error:
                if self._ended:
                    raise _refused(f"it is not JSON ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise _refused(f"it is not JSON ({error})") from None
            if len(self._text) - self._at > VALUE_CHARACTERS_MAX:
                raise _refused(f"a part of it has over {VALUE_CHARACTERS_MAX} characters")
            self._more()

    def _peek(self) -> str:
        """Returns the next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\n\r":
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._more()

    def _take(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise _refused(f"it is not JSON (a {character} is missing)")

    def _expect_end(self) -> None:
        if self._peek():
            raise _refused("it is not JSON (something follows its end)")

    def _more(self) -> None:
        """Reads the next chunk. Chunks grow with the unread rest, so a long value needs few attempts."""
        rest = self._text[self._at :]
        try:
            chunk = self._content.read(max(CHUNK_BYTES, len(rest)))
            self._ended = not chunk
            self._text, self._at = rest + self._utf8.decode(chunk, self._ended), 0
        except UnicodeDecodeError as error:
            raise _refused(f"it is not JSON ({error})") from None


def _bytes(digits: object) -> bytes:
    if not isinstance(digits, str) or not digits.isascii() or digits != digits.lower() or " " in digits:
        raise _refused("its proof is not hex digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise _refused("its proof is not hex digits") from None


def _refused(why: str) -> VerificationFailed:
    return VerificationFailed(f"the file is not a proof that can be checked: {why}")
