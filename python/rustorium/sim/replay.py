"""What a replay of a run's transactions follows besides amounts and values: authorities, seats and pauses of version 2.

Invariants: the replay knows the transactions, their places and the final headers alone; it shares no code with
execution.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.sim.custody_model import Custody, Grants, Held
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader

if TYPE_CHECKING:
    from rustorium.sim.seats_model import Seats
    from rustorium.sim.shadow import Leaves, SignedByClient

OF_AUTHORITY = ("set_authority", "cancel_authority", "approve_authority", "recover", "withdraw_recovery")
OF_THE_COMMITTEE = ("add_validator", "remove_validator", "replace_key", "end_epoch")


class Replay:
    """The authorities, seats and pauses of one replay."""

    def __init__(self, custody: Custody, seats: "Seats | None", first_keys: Mapping[bytes, bytes]) -> None:
        """`first_keys`: the genesis keys of accounts whose keys may change, by their ids."""
        self.custody, self.seats, self.first_keys = custody, seats, first_keys

    def reach(self, height: int, headers: Mapping[int, SeenHeader]) -> int:
        """Follows the epochs that ended below a height. Returns the height's time."""
        if self.seats is not None:
            self.seats.reach(height, headers)
        return headers[height].time_ms

    def seat(self, number: int, transaction: "SignedByClient", now_ms: int) -> bool:
        """Does a seat's transaction. Returns `False` if it fails."""
        if self.seats is None:
            raise BreachError(f"transaction {transaction.id} is of a seat, and the run has none")
        return self.seats.do(number, transaction, now_ms)

    def admit(self, address: str, transaction: "SignedByClient", now_ms: int) -> None:
        """Checks that an account's transaction may be executed at all."""
        if address in self.custody.accounts:
            why = self.custody.admit(address, transaction.signer, now_ms)
            if why:
                raise BreachError(f"transaction {transaction.id} of {address} was executed, {why} at {now_ms}")
        if self.seats is None or governs(transaction.operations):
            return
        if self.seats.paused(None, now_ms):
            raise BreachError(f"transaction {transaction.id} was executed at {now_ms}, while all accounts were paused")

    def may_act(self, address: str, operations: Sequence[Mapping[str, Any]], now_ms: int) -> bool:
        """Checks whether pauses of single accounts let a transaction succeed."""
        if self.seats is None:
            return True
        if self.seats.paused(address, now_ms) and not governs(operations):
            return False
        written = (operation.get("namespace") for operation in operations)
        return not any(owner is not None and self.seats.paused(owner, now_ms) for owner in written)

    def act(self, address: str, operation: Mapping[str, Any], now_ms: int) -> bool:
        """Does what is neither an amount nor a value. Returns `False` if it fails."""
        match operation["type"]:
            case kind if kind in OF_AUTHORITY:
                return self.custody.act(address, operation, now_ms)
            case "grant":
                self.custody.grant(address, operation, now_ms)
            case "put" if operation["namespace"] != address:
                return self.custody.may_write(operation["namespace"], address, now_ms)
            case _:
                pass
        return True

    def saved(self) -> tuple[dict[str, Held], Grants]:
        return self.custody.saved()

    def undo(self, saved: tuple[dict[str, Held], Grants]) -> None:
        self.custody.undo(saved)

    def judge(self, node: int, disk: _native.SimDisk, leaves: "Leaves", headers: Mapping[int, SeenHeader]) -> None:
        """Checks a node's leaves, and what it noted of seats' decisions."""
        named = {(key[:32], name): value for key, name, value in leaves}
        self.custody.judge(node, named)
        if self.seats is not None:
            self.seats.judge(node, disk, headers, named)


def governs(operations: Sequence[Mapping[str, Any]]) -> bool:
    """Checks whether a transaction changes the committee and does nothing else, which no pause stops."""
    return all(operation["type"] in OF_THE_COMMITTEE for operation in operations)
