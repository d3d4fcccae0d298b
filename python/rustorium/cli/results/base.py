"""Parts that several results share, and the shape of an error.

Invariants: PURE; a field that can be absent is `UNSET` by default, and a field that can be null says so.
"""

from typing import Any, Literal

import msgspec

Absent = msgspec.UnsetType
ABSENT = msgspec.UNSET
Json = dict[str, Any]


class Result(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A JSON object with these fields and no others."""


class OpenResult(msgspec.Struct, kw_only=True):
    """A JSON object with these fields, and with others that come from a node or belong to one version."""


class Failure(Result):
    """The reason why a final transaction had no effect."""

    code: str
    operation: int


class ErrorResult(Result):
    """An error, on standard error. `error` is a sentence for people; scripts use `code` and `exit_code`."""

    error: str
    code: str
    exit_code: int
    transaction: str | Absent = ABSENT
    failure: str | Absent | None = ABSENT
    operation: int | Absent | None = ABSENT
    retry_after_ms: int | Absent | None = ABSENT


class Check(Result):
    """One check, with what was seen and what to do."""

    check: str
    result: Literal["ok", "warn", "fail"]
    seen: str
    do: str | None


class File(Result):
    """A file that was written."""

    file: str
