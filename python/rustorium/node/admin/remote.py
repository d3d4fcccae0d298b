"""Calls a node's admin plane from elsewhere, with a token.

Invariants: SYNC; a token is sent within this machine or over TLS, never in the clear over a network; it appears in no
error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rustorium.access.bearer import check_token_url
from rustorium.access.causes import cause_of
from rustorium.access.tls import Tls, refusal, verifying
from rustorium.errors import (
    AccessRefused,
    NodeError,
    NotFound,
    NotReady,
    RustoriumError,
    TooManyCalls,
    UsageError,
)

PATH = "/v1/admin/"
NO_NODE = "node-not-running"
"""The code for an admin plane that doesn't answer."""
ACCESS_CODES = frozenset({"token-missing", "token-unknown", "token-expired", "role-too-low", "not-the-owner"})
ACCESS_CODES |= {"tokens-invalid", "tokens-exposed"}
USAGE_CODES = frozenset({"usage", "token-exists", "token-limit"})


@dataclass(frozen=True, slots=True)
class Remote:
    """The address of an admin plane, and the token to show there. Errors: UsageError."""

    url: str
    token: str = field(repr=False)
    tls: Tls | None = None

    def __post_init__(self) -> None:
        check_token_url(self.url)


def ask_remote(remote: Remote, operation: str, timeout_s: float, arguments: Mapping[str, object]) -> Any:
    """Returns the result of a call. Errors: NotReady, AccessRefused, NodeError with the node's message."""
    import httpx2

    headers = {"authorization": f"Bearer {remote.token}"}
    try:
        verify = verifying([remote.url], remote.tls)
        with httpx2.Client(verify=verify, trust_env=False, timeout=timeout_s) as client:
            answer = client.post(f"{remote.url.rstrip('/')}{PATH}{operation}", json=dict(arguments), headers=headers)
        return said(answer.status_code, answer.content)
    except (httpx2.HTTPError, OSError, ValueError) as error:
        if (untrusted := refusal(remote.url, error)) is not None:
            raise NotReady(untrusted, code="tls-refused") from None
        raise NotReady(
            f"no admin plane answers on {remote.url} ({cause_of(error, timeout_s)}): check the URL, the tunnel, and "
            "`[admin] listen` of the node",
            code=NO_NODE,
        ) from None


def said(status: int, content: bytes) -> Any:
    """Parses an answer. Errors: ValueError if it is no answer of an admin plane, otherwise the error that the answer
    holds."""
    try:
        found = json.loads(content)
        if status == 200:
            return found
        code, message, retry_after_ms = str(found["code"]), str(found["detail"]), found.get("retry_after_ms")
    except (KeyError, TypeError, RecursionError):
        raise ValueError("no answer of an admin plane") from None
    raise error_of(code, message, retry_after_ms)


def error_of(code: str, message: str, retry_after_ms: object = None) -> RustoriumError:
    """Returns the error that an answer's code stands for."""
    if code == TooManyCalls.code:
        return TooManyCalls(message, retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else 1000)
    if code in ACCESS_CODES:
        return AccessRefused(message, code=code)
    if code in USAGE_CODES:
        return UsageError(message, code=code)
    if code == NotFound.code:
        return NotFound(message)
    return NotReady(message) if code == NotReady.code else NodeError(message, code=code)
