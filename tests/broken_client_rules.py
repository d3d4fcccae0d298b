"""Broken rules of what people are shown of who governs, and of grants, and of what a client signs again: each
replacement, and the tests that find it.

Invariants: as of `broken_rules.py`, whose table has these, too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from breaking import Broken
from rustorium.client import governance, history, sender, submit, transactions
from rustorium.client.nonceuse import NonceUses
from rustorium.health import verdict
from rustorium.home import decisions
from rustorium.net import governing
from rustorium.types import Grant

LIARS, NONCES = "tests/client/test_lying_nodes.py", "tests/client/test_nonce_use.py"
GOVERNING = "tests/client/test_governing.py"


def _tests(shown_by: str, *changes: tuple[Any, str, Any]) -> Broken:
    return Broken(changes, shown_by)


def seats_without_memory(_record: Mapping[str, Any] | None, operators: Any) -> list[Mapping[str, Any]]:
    return SEATS(None, operators)


def grant_for_ever(held: object, _record: object, _time_ms: int) -> Grant | None:
    return replace(held, valid=True) if isinstance(held, Grant) else None


def any_nonce(uses: NonceUses) -> dict[int, Any]:
    return dict.fromkeys(range(2**10), next(iter(uses._receipts.values()), None))


async def forgets_replaced(uses: NonceUses, refused: Mapping[int, Any], results: Any, deadline: float) -> None:
    await DECIDE(uses, {place: tries[-1:] for place, tries in refused.items()}, results, deadline)


SEATS, DECIDE = governance.seats_in_force, NonceUses.decide

CLIENT_RULES: dict[str, Broken] = {
    "V39: a change beside another hash is believed": _tests(
        GOVERNING, (governance, "check_hashes", lambda _said: None)
    ),
    "V38: seats forget who acts for them": _tests(GOVERNING, (governance, "seats_in_force", seats_without_memory)),
    "V51: parameters that nobody certified are believed": _tests(
        GOVERNING, (governance, "check_parameters", lambda _shown, _certified: None)
    ),
    "V50: a vote and a pause aren't told": _tests(
        "tests/cli/test_status.py", (verdict, "_governance", lambda _heard: ())
    ),
    "V50: decisions are shown without words": _tests(
        "tests/cli/test_audit_commands.py", (decisions, "words", lambda _fields: [])
    ),
    "V50: the same change is proposed twice": _tests(GOVERNING, (governing, "_newest", lambda _said, _digest: None)),
    "V34: a grant that is void is shown as one that holds": _tests(
        "tests/client/test_history.py", (history, "proven_grant", grant_for_ever)
    ),
    "writes: one node's refusal is believed": _tests(LIARS, (submit, "BELIEVED", 1)),
    "writes: who used a nonce needs no proof": _tests(NONCES, (transactions, "for_its_nonce", lambda _result: False)),
    "writes: any nonce of the account is the one": _tests(
        NONCES,
        (NonceUses, "_by_nonce", any_nonce),
    ),
    "writes: what was replaced is somebody else's": _tests(NONCES, (NonceUses, "decide", forgets_replaced)),
    "writes: what was too cheap gets a nonce of its own": _tests(
        NONCES, (transactions, "_keeps_nonce", lambda _result: False)
    ),
    "writes: a failed verdict needs no proof": _tests(LIARS, (sender, "_failed_unproven", lambda _result: False)),
    "writes: a milestone below the requested one is enough": _tests(
        LIARS, (submit, "MILESTONES", ("certified", "final", "accepted"))
    ),
}
