"""Reads accounts' settings from JSON, and says them in words.

Invariants: PURE in effect: no input or output; the words are made from what was read alone.
"""

from collections.abc import Mapping
from typing import Any

from rustorium.client.moments import moment
from rustorium.custody import AccountAuthority, AccountSettings, Authority, PendingChange, Recovery, in_effect
from rustorium.types import Account

MS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))


def settings_of(account: str, custody: Mapping[str, Any] | None) -> AccountSettings | None:
    """Returns an account's settings from the API's JSON; `None` if it has none. Errors: KeyError, TypeError,
    ValueError."""
    if custody is None:
        return None
    pending = custody["pending"]
    return AccountSettings(
        account, _authority(custody), int(custody["delay_ms"]), _recovery(custody), _pending(pending)
    )


def _authority(held: Mapping[str, Any]) -> Authority:
    return Authority(int(held["authority"]["threshold"]), map(str, held["authority"]["keys"]))


def _recovery(held: Mapping[str, Any]) -> Recovery | None:
    found = held["recovery"]
    if found is None:
        return None
    return Recovery(str(found["account"]), int(found["delay_ms"]), final=bool(found["final"]))


def _pending(found: Mapping[str, Any] | None) -> PendingChange | None:
    if found is None:
        return None
    if found["by"] not in ("keys", "recovery"):
        raise ValueError(f"a change is by keys or by a recovery, not by {found['by']!r:.100}")
    return PendingChange(
        found["by"],
        _authority(found),
        int(found["delay_ms"]),
        _recovery(found),
        void_grants=bool(found["void_grants"]),
        due_ms=int(found["due_ms"]),
        change=str(found["change"]),
    )


def acting(record: Account, settings: AccountSettings | None, time_ms: int) -> AccountAuthority:
    """Returns who acts for an account at a block time, from its record and its settings of the same height."""
    height, proven = record.at.height, record.at.proven
    if settings is None:
        single = None if record.public_key is None else Authority(1, [record.public_key])
        return AccountAuthority(
            record.address, single, record.authority_hash, 0, None, None, height, time_ms, proven=proven
        )
    now = in_effect(settings, time_ms)
    return AccountAuthority(
        record.address, now.authority, None, now.delay_ms, now.recovery, now.pending, height, time_ms, proven=proven
    )


def span(ms: int) -> str:
    """Returns a duration in its largest whole unit, such as "36 hours"."""
    if not ms:
        return "no time"
    for name, unit in MS:
        if ms % unit == 0:
            return f"{ms // unit} {name}{'s' if ms != unit else ''}"
    return f"{ms} ms"


def authority_words(authority: Authority) -> str:
    """Returns keys and threshold as a part of a sentence."""
    return f"{authority.threshold} of these keys: {', '.join(authority.keys)},"


def rule_words(delay_ms: int, recovery: Recovery | None) -> str:
    """Returns how the keys of an account can change, as the end of a sentence."""
    if recovery is None:
        if not delay_ms:
            return "changes take effect at once, and no account recovers it"
        return f"changes wait {span(delay_ms)}, and no account recovers it"
    wait = span(max(delay_ms, recovery.delay_ms))
    end = "which its keys can't cancel and during which it is frozen" if recovery.final else "which its keys can cancel"
    return f"changes wait {wait}, and {recovery.account} may replace its keys after {span(recovery.delay_ms)}, {end}"


def settings_words(account: str, custody: Mapping[str, Any] | None) -> str:
    """Returns what the state holds of an account's settings, as a clause."""
    found = settings_of(account, custody)
    if found is None:
        return f"the account {account} has neither a delay nor a recovery account"
    rule = rule_words(found.delay_ms, found.recovery)
    said = f"{authority_words(found.authority)} act for the account {account}: {rule}"
    if found.pending is None:
        return said
    by = "its recovery account" if found.pending.by == "recovery" else "its keys"
    return f"{said}; from {moment(found.pending.due_ms)} on, by {by}, {authority_words(found.pending.authority)} act"
