"""Makes, lists and revokes tokens: in the running node, or in a home at rest; either way with an audit line first.

Invariants: SYNC; orders, answers and audit lines are the same whether the node runs or not. An order's fields are in
the log if they have the right type; the token never is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rustorium.errors import UsageError
from rustorium.home.noting import note_by_operator
from rustorium.home.paths import Home
from rustorium.home.tokens import Role, Scope, issue, load, revoke

EXPIRES_MS_MAX = 3650 * 24 * 3_600_000
CREATION = "token creation ordered"
REVOCATION = "token revocation ordered"

Arguments = Mapping[str, Any]


def parse_token_request(arguments: Arguments) -> tuple[Role | None, Scope | None, int | None]:
    """Parses role, scope and lifetime of the requested token. Errors: UsageError."""
    try:
        role, gateway = arguments.get("role"), arguments.get("gateway")
        found = Role(role) if role is not None else None, Scope(gateway) if gateway is not None else None
    except (ValueError, TypeError):
        raise UsageError(
            "a role is read, operate or admin, and a gateway scope is read or submit: give one of them"
        ) from None
    if found == (None, None):
        raise UsageError("a token without a role and a scope allows nothing: give a role, a gateway scope, or both")
    life = arguments.get("expires_in_ms")
    if life is not None and (isinstance(life, bool) or not isinstance(life, int) or not 0 < life <= EXPIRES_MS_MAX):
        raise UsageError("a token expires within 3650 days, or never: give a time such as 90d")
    return *found, life


def fields_of(arguments: Arguments) -> dict[str, object]:
    """Returns the order's fields for the audit log, shortened: invalid names are refused only later. `token_role` is
    the token's role, beside the caller's `role`."""
    names = {"name": "name", "role": "token_role", "gateway": "gateway", "expires_in_ms": "expires_in_ms"}
    found = {field: arguments.get(name) for name, field in names.items()}
    return {field: str(value)[:64] for field, value in found.items() if isinstance(value, (str, int))}


def create(path: Path, arguments: Arguments, now_ms: int) -> dict[str, object]:
    """Makes a token; its text is in `token`. Errors: UsageError, HomeError."""
    role, gateway, life_ms = parse_token_request(arguments)
    expires_ms = now_ms + life_ms if life_ms is not None else None
    token, text = issue(path, str(arguments.get("name")), role, gateway, expires_ms, now_ms)
    return {**token.row(now_ms), "token": text}


def revoke_token(path: Path, arguments: Arguments, now_ms: int) -> dict[str, object]:
    """Revokes a token. Errors: NotFound, HomeError."""
    return revoke(path, str(arguments.get("name"))).row(now_ms)


def run_without_node(
    home: Home,
    operation: str,
    arguments: Arguments,
    passphrase_file: Path | None,
    environment: Mapping[str, str],
    now_ms: int,
) -> Any:
    """Runs `tokens`, `create_token` or `revoke_token` if no node runs. Errors: RustoriumError, NativeError."""
    if operation == "tokens":
        return [token.row(now_ms) for token in load(home.tokens)]
    event, work = {"create_token": (CREATION, create), "revoke_token": (REVOCATION, revoke_token)}[operation]
    note_by_operator(home, event, fields_of(arguments), passphrase_file, environment)
    return work(home.tokens, arguments, now_ms)
