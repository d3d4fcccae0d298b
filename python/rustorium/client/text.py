"""Parses and formats text that people type: keys, values, amounts, milestones of a submission.

Invariants: PURE; text that can't be parsed is a UsageError that names the accepted forms.
"""

import base64
import binascii
from typing import TypeVar, cast, get_args

from rustorium import arguments
from rustorium.errors import UsageError
from rustorium.types import Wait

ENCODINGS = ("utf8", "hex", "base64")
AMOUNT_MAX = 2**128 - 1

K = TypeVar("K", bytes, str)
"""The keys of one call: all bytes or all text."""


def raw(content: bytes | str, what: str) -> bytes:
    """Returns bytes unchanged and text as UTF-8. Errors: UsageError for anything else; `what` names it, such as "a
    key"."""
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError as error:
            found = content[error.start : error.end].encode("ascii", "backslashreplace").decode()
            raise UsageError(
                f"{what} has half a character ({found}), which is not text: give bytes, or correct it"
            ) from None
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise UsageError(f"{what} is bytes or text, not {type(content).__name__}: encode it first, for example as JSON")


def text_to_bytes(text: str, encoding: str = "utf8") -> bytes:
    """Decodes text in an encoding: utf8, hex or base64. Errors: UsageError."""
    arguments.text(text, "the text")
    try:
        if encoding == "utf8":
            return text.encode()
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64":
            return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise UsageError(f"{text!r} is not {encoding}: correct it or choose another --encoding") from None
    raise UsageError(f"there is no encoding {encoding!r}: choose one of {', '.join(ENCODINGS)}")


def bytes_to_text(content: bytes, encoding: str = "utf8") -> str:
    """Encodes bytes as text. Errors: UsageError if they aren't UTF-8."""
    content = arguments.content(content, "the content")
    if encoding == "hex":
        return content.hex()
    if encoding == "base64":
        return base64.b64encode(content).decode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError("the value is not UTF-8 text: show it with --encoding hex") from None


def amount_of(text: str) -> int:
    """Parses a whole number of smallest units, above 0. Errors: UsageError."""
    if not isinstance(text, str):
        raise arguments.refused("an amount", "text here", text)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= AMOUNT_MAX:
        raise UsageError(f"{text!r} is not an amount: give a whole number of smallest units, above 0")
    return int(text)


def wait_of(text: str) -> Wait:
    """Parses the milestone that a submission waits for. Errors: UsageError."""
    if text not in get_args(Wait):
        raise UsageError(f"there is no --wait {text}: choose one of {', '.join(get_args(Wait))}")
    return cast(Wait, text)
