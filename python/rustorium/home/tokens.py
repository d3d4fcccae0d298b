"""A home's tokens: who may use the node's admin plane and gateway over the network, and with which rights.

The file `tokens.json` (0600) has each token's name, rights, times and hash; the token itself is row only when it is
made. Its text is `rsk_ID_SECRET`, with 256 random bits in SECRET.

Invariants: SYNC; a token is in no file, log or error of ours; a file with any invalid field admits nobody, and a
flipped bit on disk never gives other rights; hashes are compared in constant time; a change is atomic and on disk
before it is announced.
"""

import enum
import fcntl
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from rustorium import _native
from rustorium.access.bearer import Tokens, place_of
from rustorium.errors import AccessRefused, HomeError, KeyFileError, NotFound, UsageError
from rustorium.home.format import sync_paths

FORMAT = 1
TOKENS_MAX = 256
FILE_BYTES_MAX = 1024 * 1024
DOMAIN = b"rustorium/token/v1\0"
"""Prefix of a token's text when it is hashed, as in the gateway."""
FILE_DOMAIN = b"rustorium/tokens/v1\0"
"""Prefix of a file's rows when they are hashed."""
TEXT = re.compile(r"rsk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
ADMIN_VARIABLE = "RUSTORIUM_ADMIN_TOKEN_FILE"
CLIENT_VARIABLE = "RUSTORIUM_TOKEN_FILE"
TOKENS_BYTES_MAX = 64 * 1024
"""Maximum number of bytes in a file with the tokens of several endpoints."""


class Role(enum.StrEnum):
    """The role of a caller of the admin plane; each includes those before it."""

    read = "read"
    operate = "operate"
    admin = "admin"

    def covers(self, needed: "Role") -> bool:
        """Returns whether this role includes `needed`."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class Scope(enum.StrEnum):
    """The scope of a client at the gateway; the later includes the earlier."""

    read = "read"
    submit = "submit"


@dataclass(frozen=True, slots=True)
class Token:
    """A token's record. Times are Unix ms."""

    id: str
    name: str
    role: Role | None
    """Role at the admin plane; `None`: no access."""
    gateway: Scope | None
    created_ms: int
    expires_ms: int | None
    hash: str

    def expired(self, now_ms: int) -> bool:
        """Returns whether the token has expired."""
        return self.expires_ms is not None and now_ms >= self.expires_ms

    def row(self, now_ms: int) -> dict[str, object]:
        """Returns the token as lists show it, without its hash."""
        return {
            "name": self.name,
            "id": self.id,
            "role": self.role,
            "gateway": self.gateway,
            "created_ms": self.created_ms,
            "expires_ms": self.expires_ms,
            "expired": self.expired(now_ms),
        }


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    name: str
    role: Literal["read", "operate", "admin"] | None
    gateway: Literal["read", "submit"] | None
    created_ms: int
    expires_ms: int | None
    hash: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    tokens: list[_Row]
    checksum: str


def load(path: Path) -> tuple[Token, ...]:
    """Returns the tokens in a file; empty if there is no file. Errors: HomeError (tokens-invalid, tokens-exposed)."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _invalid(path, f"it can't be read ({error.strerror})") from None
    if mode & 0o077:
        raise HomeError(f"others may read {path}: run `chmod 600 {path}`", code="tokens-exposed")
    if len(content) > FILE_BYTES_MAX:
        raise _invalid(path, f"it is longer than {FILE_BYTES_MAX} bytes")
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> tuple[Token, ...]:
    try:
        version = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _invalid(path, "it is no file of tokens") from None
    if version != FORMAT:
        raise _invalid(path, f"it has format {json.dumps(version)[:20]}, and this release reads format {FORMAT}")
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _invalid(path, str(error)[:200]) from None
    tokens = tuple(
        Token(
            row.id,
            row.name,
            Role(row.role) if row.role is not None else None,
            Scope(row.gateway) if row.gateway is not None else None,
            row.created_ms,
            row.expires_ms,
            row.hash,
        )
        for row in file.tokens
    )
    if (wrong := _wrong(tokens)) is not None:
        raise _invalid(path, wrong)
    if file.checksum != checksum(_rows(tokens)):
        raise _invalid(path, "its checksum is that of other tokens")
    return tokens


def _wrong(tokens: tuple[Token, ...]) -> str | None:
    if len(tokens) > TOKENS_MAX:
        return f"it has more than {TOKENS_MAX} tokens"
    for token in tokens:
        if re.fullmatch("[0-9a-f]{16}", token.id) is None or re.fullmatch("[0-9a-f]{64}", token.hash) is None:
            return "an id or hash in it has the wrong digits"
        if NAME.fullmatch(token.name) is None:
            return "a name in it is none"
        if not 0 <= token.created_ms < 2**63 or not 0 <= (token.expires_ms or 0) < 2**63:
            return f"a time of {token.name} is none"
    if len({token.name for token in tokens}) < len(tokens) or len({token.id for token in tokens}) < len(tokens):
        return "a name or id comes twice in it"
    return None


def _invalid(path: Path, what: str) -> HomeError:
    return HomeError(
        f"{path} is not usable: {what}; restore a good copy, or remove it and create new tokens; until then nobody "
        "with a token is let in",
        code="tokens-invalid",
    )


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Locks a file against changes by other processes."""
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _rows(tokens: tuple[Token, ...]) -> list[dict[str, object]]:
    return [
        {
            "id": token.id,
            "name": token.name,
            "role": token.role,
            "gateway": token.gateway,
            "created_ms": token.created_ms,
            "expires_ms": token.expires_ms,
            "hash": token.hash,
        }
        for token in tokens
    ]


def checksum(rows: list[dict[str, object]]) -> str:
    """Returns the checksum of a file's rows, hex. It detects damage, not attacks: whoever can write the file can
    compute it."""
    return _native.value_hash(FILE_DOMAIN + json.dumps(rows).encode()).hex()


def _store(path: Path, tokens: tuple[Token, ...]) -> None:
    rows = _rows(tokens)
    text = json.dumps({"format": FORMAT, "tokens": rows, "checksum": checksum(rows)}, indent=1) + "\n"
    fresh = path.with_suffix(".new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        sync_paths(path.parent)
    except OSError as error:
        raise HomeError(f"{path} can't be written ({error.strerror}): free space or check its owner") from None


def issue(
    path: Path, name: str, role: Role | None, gateway: Scope | None, expires_ms: int | None, now_ms: int
) -> tuple[Token, str]:
    """Makes a token and stores its hash; returns its record and its text. Errors: UsageError (also `token-exists`),
    HomeError."""
    if NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} is not a valid token name: give up to 64 of a-z, 0-9, `.`, `_` and `-`")
    with _changing(path):
        known = load(path)
        if any(token.name == name for token in known):
            raise UsageError(f"there is a token {name} already: revoke it, or choose another name", code="token-exists")
        if len(known) >= TOKENS_MAX:
            raise UsageError(f"there are {TOKENS_MAX} tokens already: revoke one that nobody needs", code="token-limit")
        identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        text = f"rsk_{identity}_{secret}"
        made = Token(identity, name, role, gateway, now_ms, expires_ms, hash_of(text))
        _store(path, (*known, made))
    return made, text


def revoke(path: Path, name: str) -> Token:
    """Revokes a token and returns its record. Errors: NotFound, HomeError."""
    with _changing(path):
        known = load(path)
        found = next((token for token in known if token.name == name), None)
        if found is None:
            names = ", ".join(token.name for token in known) or "there is none"
            raise NotFound(f"there is no token {name!r}: name one of the list ({names})")
        _store(path, tuple(token for token in known if token is not found))
    return found


def hash_of(text: str) -> str:
    """Returns the hash of a token's text, hex."""
    return _native.value_hash(DOMAIN + text.encode()).hex()


def authenticate(tokens: Mapping[str, Token], text: str | None, now_ms: int) -> Token:
    """Returns the token with this text; `tokens` are by id. Errors: AccessRefused (token-missing, token-unknown,
    token-expired)."""
    if text is None:
        raise AccessRefused(
            "the admin plane requires a token: send it as `Authorization: Bearer rsk_…`, or name its file with "
            "--token-file",
            code="token-missing",
        )
    found = TEXT.fullmatch(text)
    token = tokens.get(found[1]) if found is not None else None
    # Hashes even for unknown ids, so the response time does not reveal which ids exist.
    expected = token.hash if token is not None else "0" * 64
    same = hmac.compare_digest(hash_of(text[:256]), expected)
    if token is None or not same:
        raise AccessRefused(
            "this node doesn't have that token, or it was revoked: ask the node's operator for another one",
            code="token-unknown",
        )
    if token.expired(now_ms):
        raise AccessRefused(
            f"the token {token.name} has expired: ask the node's operator for another one", code="token-expired"
        )
    return token


def for_gateway(tokens: tuple[Token, ...]) -> str:
    """Returns the gateway's part of the tokens, as JSON."""
    rows = [
        {"id": token.id, "hash": token.hash, "scope": token.gateway, "expires_ms": token.expires_ms}
        for token in tokens
        if token.gateway is not None
    ]
    return json.dumps(rows)


def read_token(path: Path) -> str:
    """Returns the token in a file that only its owner can read. Errors: KeyFileError."""
    text = _private_text(path, 256)
    if TEXT.fullmatch(text) is None:
        raise KeyFileError(
            f"{path} holds no token: it has one line, rsk_…, as `admin token create` printed it",
            code="token-file-invalid",
        )
    return text


def read_tokens(path: Path) -> Tokens:
    """Returns the tokens in a file that only its owner can read: one, or a line `URL rsk_…` for each endpoint. Errors:
    KeyFileError."""
    lines = [line.split() for line in _private_text(path, TOKENS_BYTES_MAX).splitlines()]
    if len(lines) <= 1 and all(len(words) <= 1 for words in lines):
        return read_token(path)
    found: dict[tuple[str, str, int, str], tuple[str, str]] = {}
    for number, words in enumerate(lines, start=1):
        try:
            url, token = words
            place = place_of(url)
        except (ValueError, UsageError):
            place, url, token = None, "", ""
        if place is None or place in found or TEXT.fullmatch(token) is None:
            raise KeyFileError(
                f"line {number} of {path} is not `URL rsk_…` with its own URL: give each node that requires a token "
                "one line",
                code="token-file-invalid",
            )
        found[place] = (url, token)
    return dict(found.values())


def _private_text(path: Path, bytes_max: int) -> str:
    try:
        mode, content = path.stat().st_mode, path.read_bytes()[: bytes_max + 1]
    except OSError as error:
        raise KeyFileError(
            f"the token file {path} can't be read ({error.strerror}): name another by --token-file",
            code="token-file-missing",
        ) from None
    if mode & 0o077:
        raise KeyFileError(f"others may read the token file {path}: run `chmod 600 {path}`", code="token-file-exposed")
    return content.strip().decode("ascii", "replace")


def named_tokens(named: Path | None, environment: Mapping[str, str], variable: str = CLIENT_VARIABLE) -> Tokens | None:
    """Returns the tokens in the named file, or in the one that the variable names. Errors: KeyFileError."""
    path = named or (Path(environment[variable]) if environment.get(variable) else None)
    return read_tokens(path.expanduser()) if path is not None else None
