"""Checks the types of what callers pass: each refusal is one sentence that names the argument.

Invariants: PURE; a value of the right type is returned unchanged, apart from paths.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard, TypeVar

from rustorium.errors import UsageError

T = TypeVar("T")

DIGEST_DIGITS = 64


def kind_of(given: object) -> str:
    """Returns the name of a value's type, as a sentence names it."""
    return "None" if given is None else type(given).__name__


def refused(name: str, wanted: str, given: object, do: str = "") -> UsageError:
    """Returns the error for an argument of a wrong type."""
    return UsageError(f"{name} is {wanted}, not {kind_of(given)}" + (f": {do}" if do else ""))


def instance(given: object, kind: type[T], name: str, do: str = "") -> T:
    """Returns a value of this type. Errors: UsageError."""
    if not isinstance(given, kind):
        raise refused(name, f"a {kind.__name__}", given, do)
    return given


def text(given: object, name: str) -> str:
    """Returns text. Errors: UsageError."""
    if not isinstance(given, str):
        raise refused(name, "text", given)
    return given


def content(given: object, name: str) -> bytes:
    """Returns bytes. Errors: UsageError."""
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise refused(name, "bytes", given, "read them from a file that is opened as binary" * isinstance(given, str))
    return bytes(given)


def is_path(given: object) -> TypeGuard[str | Path]:
    """Returns whether a value names a path."""
    return isinstance(given, str) or hasattr(given, "__fspath__")


def path(given: object, name: str) -> Path:
    """Returns a path that was given as text or as a path. Errors: UsageError."""
    if not is_path(given):
        raise refused(name, "a path, as text or as a Path", given)
    return Path(given)


def whole(given: object, name: str) -> int:
    """Returns a whole number. Errors: UsageError, also for `True` and `False`."""
    if type(given) is not int:
        raise refused(name, "a whole number", given)
    return given


def number(given: object, name: str, unit: str) -> float:
    """Returns a number of a unit. Errors: UsageError."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise refused(name, f"a number of {unit}", given)
    return given


def seconds(given: object, name: str) -> float:
    """Returns a duration in seconds, at least 0. Errors: UsageError."""
    found = number(given, name, "seconds")
    if math.isnan(found) or found < 0:
        raise UsageError(f"{name} is a number of seconds from 0 on, not {found}")
    return found


def one_of(given: T, choices: Sequence[T], name: str) -> T:
    """Returns one of some values. Errors: UsageError."""
    if given not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}, not {given!r}")
    return given


def many(given: object, name: str, of: str) -> Sequence[object]:
    """Returns a list or another sequence; one text, or bytes, is none. Errors: UsageError."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence):
        raise refused(name, f"a list of {of}", given)
    return given


def hex_of(digits: str, what: str) -> str:
    """Returns 64 hex digits in lower case. Errors: UsageError."""
    text(digits, what)
    try:
        if len(bytes.fromhex(digits)) * 2 == DIGEST_DIGITS == len(digits):
            return digits.lower()
    except ValueError:
        pass
    raise UsageError(f"{digits!r} is not {what}: give its {DIGEST_DIGITS} hex digits")
