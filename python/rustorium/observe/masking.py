"""Removes secrets from text before it leaves the machine: known ones, and what looks like one.

Invariants: a secret is never written, neither as it is, nor in hexadecimal, nor in base64; in doubt, text is masked.
"""

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path

MASK = "[masked]"
FILE_BYTES_MAX = 64 * 1024
SECRET_BYTES_MIN = 4
"""Minimum length: a shorter secret can't be told from other text."""

_NAMES = r"(?:pass(?:phrase|word|wd)?|secret|token|seed|mnemonic|private|credential|authorization|api_?key|access_?key)"
_QUOTED = r"""\"(?:[^"\\]|\\.){0,4096}+\"|'[^']{0,4096}+'"""
# Repetitions are bounded or possessive: a log may be hostile, and matching must take linear time at most.
_LOOKS = (
    # "passphrase": "…", secret_key = '…', TOKEN=…, password: … to the end of the line
    re.compile(rf"""(?i)({_NAMES}[\w.-]{{0,40}}+["']?\s{{0,4}}+=\s{{0,4}}+)({_QUOTED}|[^\s,;&}}\]]+)"""),
    re.compile(rf"""(?i)({_NAMES}[\w.-]{{0,40}}+["']?[ \t]{{0,4}}+:[ \t]{{0,4}}+)({_QUOTED}|[^\n,;}}\]]+)"""),
    re.compile(r"(?i)\b((?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})"),
    re.compile(r"(://)([^\s/@]{1,400}+)(?=@)"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(?=-----END|\Z)", re.DOTALL),
    re.compile(r"()(rsk_[0-9A-Za-z_-]{16,200}+)"),
    re.compile(r"()\b((?:AKIA|ASIA)[A-Z0-9]{16})\b"),
)
_PATHS = re.compile(r"(?i)(?:passphrase|password|secret|token|credential)s?[_-]?(?:file|path|directory)")
"""Names for files: they say where a secret is, not what it is."""


class Masker:
    """Masks text."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._known = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Returns the text without secrets."""
        for form in self._known:
            text = re.sub(re.escape(form), MASK, text, flags=re.IGNORECASE)
        for looks in _LOOKS:
            text = looks.sub(self._replace, text)
        return text

    def raw(self, content: bytes) -> bytes:
        """Returns the content without secrets; bytes that aren't UTF-8 are replaced."""
        return self.text(content.decode("utf-8", "replace")).encode()

    @staticmethod
    def _replace(found: re.Match[str]) -> str:
        return found[0] if _PATHS.search(found[1]) else f"{found[1]}{MASK}"


def _forms(secret: bytes) -> Iterable[str]:
    if len(secret) < SECRET_BYTES_MIN:
        return
    yield secret.hex()
    for encoded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        yield encoded.decode().rstrip("=")
    text = secret.decode("utf-8", "ignore")
    if text.isprintable() and text.encode() == secret:
        yield text
        yield text.encode("unicode_escape").decode()


def passphrases(paths: Iterable[Path]) -> list[bytes]:
    """Reads passphrase files: each whole, and each of its lines. A file that can't be read can't leak either."""
    found = []
    for path in paths:
        if (content := _read(path)) is not None:
            found += [content.strip(), *(line.strip() for line in content.splitlines())]
    return [secret for secret in found if len(secret) >= SECRET_BYTES_MIN]


def sealed(paths: Iterable[Path]) -> list[bytes]:
    """Reads the sealed content of key files, which a weak passphrase would open."""
    found = []
    for path in paths:
        try:
            fields = json.loads(_read(path) or b"{}")
            found.append(str(fields["sealed"]).encode())
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(FILE_BYTES_MAX)
    except OSError:
        return None
