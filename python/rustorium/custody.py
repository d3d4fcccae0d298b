"""The keys of an account, and how they can change: what the state says, and what is in effect at a time.

Invariants: PURE; keys are lower-case hex, times are Unix milliseconds; a change counts from its time on, whether the
chain wrote it down or not.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from rustorium.arguments import whole
from rustorium.errors import UsageError
from rustorium.records import Record


class HasPublicKey(Protocol):
    """A key, such as `Key`."""

    public_key: str
    """Hex."""


@dataclass(frozen=True, slots=True, init=False)
class Authority(Record):
    """The keys that act for an account, and how many of them must sign."""

    threshold: int
    keys: tuple[str, ...]
    """1 to 8 public keys, hex, ascending."""

    def __init__(self, threshold: int, keys: Iterable[str | HasPublicKey]) -> None:
        """Takes keys or public keys (hex) in any order. What is no authority is refused where it is used."""
        public = (key if isinstance(key, str) else key.public_key for key in keys)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "keys", tuple(sorted(key.lower() for key in public)))

    @classmethod
    def from_json(cls, document: str | bytes) -> Self:
        """Returns the authority in a file of `keys authority new`. Errors: UsageError."""
        try:
            found = json.loads(document)
            threshold, keys = found["threshold"], found["keys"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UsageError("this is no authority: make a file of one with `rustorium keys authority new`") from None
        return cls(whole(threshold, "threshold"), [str(key) for key in keys])

    def __str__(self) -> str:
        """Names threshold and keys."""
        return f"{self.threshold} of {len(self.keys)} keys: {', '.join(self.keys)}"


@dataclass(frozen=True, slots=True)
class Recovery(Record):
    """The account that may replace another one's keys."""

    account: str
    delay_ms: int
    """Time between a recovery and its effect."""
    final: bool
    """`True` if the account's keys can't cancel a recovery. The account is frozen until it takes effect."""


@dataclass(frozen=True, slots=True)
class PendingChange(Record):
    """A change of an account's settings that waits for its time."""

    by: Literal["keys", "recovery"]
    authority: Authority
    delay_ms: int
    recovery: Recovery | None
    void_grants: bool
    """`True` if all grants that the account made before become void."""
    due_ms: int
    """Block time of its effect."""
    change: str
    """Hash of the change, which an approval names."""


@dataclass(frozen=True, slots=True)
class AccountSettings(Record):
    """The settings that the state holds of an account with a delay or a recovery account."""

    account: str
    authority: Authority
    delay_ms: int
    """Time between a change by the keys and its effect; with a recovery account the longer of both delays counts."""
    recovery: Recovery | None
    pending: PendingChange | None


@dataclass(frozen=True, slots=True)
class AccountAuthority(Record):
    """Who acts for an account, and how that can change."""

    address: str
    authority: Authority | None
    """The keys that act; `None` if they are several and the state has only their hash."""
    authority_hash: str | None
    """That hash; `None` if the keys are known."""
    delay_ms: int
    recovery: Recovery | None
    pending: PendingChange | None
    """The change that waits."""
    height: int
    time_ms: int
    """Block time by which a change counts or waits."""
    proven: bool

    @property
    def frozen_until_ms(self) -> int | None:
        """Block time until which nobody acts for the account; `None` unless a final recovery waits."""
        is_final = self.recovery is not None and self.recovery.final
        if self.pending is None or self.pending.by != "recovery" or not is_final:
            return None
        return self.pending.due_ms


def in_effect(settings: AccountSettings, time_ms: int) -> AccountSettings:
    """Returns the settings at a block time: a change whose time has come, or those that the state holds."""
    due = settings.pending
    if due is None or due.due_ms > time_ms:
        return settings
    return AccountSettings(settings.account, due.authority, due.delay_ms, due.recovery, None)
