"""A second model of accounts whose authorities change (V28 to V33): settings, the change that waits, and grants.

Invariants: the model shares no code with execution; all its values are immutable, so a failed transaction costs nothing
to undo.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.groups import Group

HOUR_MS = 3_600_000
RECOVERY_MS = (HOUR_MS, 90 * 24 * HOUR_MS)
DELAY_MS_MAX = 30 * 24 * HOUR_MS
ACCOUNT, CUSTODY = b"\0", b"\x0a"
"""Names of leaves."""
HASHED = b"rustorium/authority-change/v2\0"
SIGNER_AT, CUSTODY_AT, ERA_AT, RECORD_BYTES = 1, 78, 79, 83
"""Offsets in a record of version 2, and its length."""
ABSENT, SETTLED, PENDING = range(3)
"""States of the custody leaf in a record."""


@dataclass(frozen=True)
class Settings:
    """An account's settings."""

    group: Group
    delay_ms: int = 0
    recovery: tuple[str, int, bool] | None = None
    """Account, delay, and whether its recoveries are final."""

    @property
    def wait_ms(self) -> int:
        return max(self.delay_ms, self.recovery[1] if self.recovery is not None else 0)

    def encoded(self) -> bytes:
        raw = self.group.encoded + struct.pack("<Q", self.delay_ms)
        if self.recovery is None:
            return raw + b"\0"
        account, delay_ms, final = self.recovery
        return raw + b"\1" + _native.parse_address(account) + struct.pack("<QB", delay_ms, final)

    def hash(self, *, void: bool) -> str:
        """Returns the hash by which a change to these settings is approved (V30)."""
        return _native.value_hash(HASHED + self.encoded() + bytes([void])).hex()


@dataclass(frozen=True)
class Waiting:
    """A change that waits."""

    recovers: bool
    settings: Settings
    void: bool
    due_ms: int


@dataclass(frozen=True)
class Held:
    """An account as its leaves have it."""

    settings: Settings
    waits: Waiting | None = None
    era: int = 0

    def at(self, now_ms: int) -> "Held":
        """Returns what is in effect at a header time (V28)."""
        if self.waits is None or self.waits.due_ms > now_ms:
            return self
        return Held(self.waits.settings, None, self.era + self.waits.void)

    @property
    def frozen(self) -> bool:
        """`True` while a final recovery waits (V31)."""
        recovery = self.settings.recovery
        return self.waits is not None and self.waits.recovers and recovery is not None and recovery[2]

    def leaf(self) -> bytes | None:
        """Returns the custody leaf; `None` if the account has none."""
        if not self.settings.wait_ms and self.settings.recovery is None:
            return None
        if self.waits is None:
            return self.settings.encoded() + b"\0"
        waits = self.waits
        head = bytes([1, waits.recovers]) + waits.settings.encoded()
        return self.settings.encoded() + head + struct.pack("<BQ", waits.void, waits.due_ms)


Grants = Mapping[tuple[str, str], int]
"""The era of each grant, by owner and writer."""


class Custody:
    """The accounts of one replay whose authorities may change, by their addresses."""

    def __init__(self, first: Mapping[str, Group], groups: Mapping[bytes, Group]) -> None:
        """`first`: the accounts as the genesis has them. `groups`: all authorities of the run, by their bytes."""
        self._groups = groups
        self.accounts: dict[str, Held] = {address: Held(Settings(group)) for address, group in first.items()}
        self.grants: Grants = {}

    def admit(self, sender: str, signer: bytes, now_ms: int) -> str:
        """Writes down what is in effect for a sender. Returns why its transaction may not be executed; empty if it
        may."""
        held = self.accounts[sender].at(now_ms)
        if held.frozen:
            return "whose account is frozen"
        if signer != held.settings.group.signer:
            return "that other keys signed than those in effect"
        self.accounts[sender] = held
        return ""

    def saved(self) -> tuple[dict[str, Held], Grants]:
        return dict(self.accounts), self.grants

    def undo(self, saved: tuple[dict[str, Held], Grants]) -> None:
        self.accounts, self.grants = saved

    def may_write(self, owner: str, writer: str, now_ms: int) -> bool:
        """Checks whether a grant lets a writer put values into an owner's namespace (V34)."""
        held = self.accounts.get(owner)
        era = 0 if held is None else held.at(now_ms).era
        return self.grants.get((owner, writer)) == era

    def grant(self, owner: str, operation: Mapping[str, Any], now_ms: int) -> None:
        held = self.accounts.get(owner)
        era = 0 if held is None else held.at(now_ms).era
        given = {pair: of for pair, of in self.grants.items() if pair != (owner, operation["to"])}
        if operation["prefixes_hex"]:
            given[owner, operation["to"]] = era
        self.grants = given

    # ---- operations

    def act(self, sender: str, operation: Mapping[str, Any], now_ms: int) -> bool:
        """Executes an operation on an authority. Returns `False` if it fails."""
        kind = operation["type"]
        account = sender if kind in ("set_authority", "cancel_authority") else operation["account"]
        if account not in self.accounts:
            return False
        held = self.accounts[account].at(now_ms)
        changed: Held | None
        match kind:
            case "set_authority":
                changed = self._set(account, held, operation, now_ms)
            case "cancel_authority":
                changed = replace(held, waits=None) if held.waits is not None else None
            case "approve_authority":
                changed = self._approve(sender, held, operation["change"])
            case "recover":
                changed = self._recover(sender, held, operation, now_ms)
            case _:
                by_recovery = self._recovers(sender, held) and held.waits is not None and held.waits.recovers
                changed = replace(held, waits=None) if by_recovery else None
        if changed is None:
            return False
        self.accounts[account] = changed
        return True

    @staticmethod
    def _recovers(sender: str, held: Held) -> bool:
        return held.settings.recovery is not None and held.settings.recovery[0] == sender

    def _group(self, said: Mapping[str, Any]) -> Group:
        keys = sorted(said["keys"])
        return self._groups[bytes([said["threshold"]]) + b"".join(map(bytes.fromhex, keys))]

    def _set(self, account: str, held: Held, operation: Mapping[str, Any], now_ms: int) -> Held | None:
        said = operation.get("recovery")
        recovery = None if said is None else (said["account"], said["delay_ms"], said["final"])
        settings = Settings(self._group(operation["authority"]), operation.get("delay_ms", 0), recovery)
        if settings.delay_ms > DELAY_MS_MAX:
            return None
        if recovery is not None and (recovery[0] == account or not RECOVERY_MS[0] <= recovery[1] <= RECOVERY_MS[1]):
            return None
        void = operation.get("void_grants", False)
        if held.leaf() is None:
            return Held(settings, None, held.era + void)
        return replace(held, waits=Waiting(False, settings, void, now_ms + held.settings.wait_ms))

    def _approve(self, sender: str, held: Held, change: str) -> Held | None:
        waits = held.waits
        if not self._recovers(sender, held) or waits is None or waits.recovers:
            return None
        if waits.settings.hash(void=waits.void) != change:
            return None
        return Held(waits.settings, None, held.era + waits.void)

    def _recover(self, sender: str, held: Held, operation: Mapping[str, Any], now_ms: int) -> Held | None:
        if not self._recovers(sender, held) or held.settings.recovery is None:
            return None
        settings = replace(held.settings, group=self._group(operation["authority"]))
        return replace(held, waits=Waiting(True, settings, True, now_ms + held.settings.recovery[1]))

    # ---- the check

    def judge(self, node: int, leaves: Mapping[tuple[bytes, bytes], bytes]) -> None:
        """Checks a node's leaves, by account and name, against the model's accounts."""
        for address, held in self.accounts.items():
            account = _native.parse_address(address)
            if leaves.get((account, CUSTODY)) != held.leaf():
                raise BreachError(f"node {node} has another custody leaf of {address} than its transactions come to")
            record = leaves[account, ACCOUNT]
            if len(record) != RECORD_BYTES:
                continue  # a record of version 1, which no transaction has touched
            state = ABSENT if held.leaf() is None else SETTLED if held.waits is None else PENDING
            signer = record[SIGNER_AT : SIGNER_AT + 33]
            if (signer, record[CUSTODY_AT]) != (held.settings.group.signer, state):
                raise BreachError(f"node {node} has other keys of {address} than its transactions come to")
            if record[ERA_AT:] != struct.pack("<I", held.era):
                raise BreachError(f"node {node} has another era of {address}'s grants than its transactions come to")
