"""An account's nonces in one client: they are given out in order, and found again after a refusal or a lost answer.

Invariants: no input or output; a nonce is given out again only if its transaction can't be executed any more (refused
or expired) and the ledger's nonce shows that it is still free.
"""

import heapq

from rustorium.types import SignedTransaction

HEADER_TIME_MARGIN_MS = 5_000
TAKEN_MS = 2_000
"""Time for which another client's pending transaction is expected to become final."""


class Nonces:
    """The nonces of one account."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._free: list[int] = []
        self._reserved: set[int] = set()
        self._sent: dict[int, SignedTransaction] = {}
        self._lost: set[int] = set()
        self._taken: dict[int, int] = {}
        """Nonces of other clients' transactions, and the time when each was seen (Unix ms)."""

    @property
    def stale(self) -> bool:
        """`True` if the ledger's nonce must be read before the next `take`."""
        return self._next is None

    def synced(self, ledger: int, now_ms: int) -> list[SignedTransaction]:
        """Takes in the ledger's next nonce. Returns transactions whose answers were lost: send them again first."""
        for nonce, transaction in list(self._sent.items()):
            expired = transaction.expires_at_ms + HEADER_TIME_MARGIN_MS < now_ms
            if nonce < ledger or (nonce in self._lost and expired):
                self.settled(nonce)
        self._taken = {
            nonce: met_ms
            for nonce, met_ms in self._taken.items()
            if nonce >= ledger and now_ms < met_ms + TAKEN_MS and nonce not in self._sent
        }
        used = self._reserved | self._sent.keys() | self._taken.keys()
        self._next = max([ledger, *(nonce + 1 for nonce in used)])
        self._free = [nonce for nonce in range(ledger, self._next) if nonce not in used]
        return [self._sent[nonce] for nonce in sorted(self._lost)]

    def take(self) -> int:
        """Returns the next nonce to sign with."""
        assert self._next is not None
        if self._free:
            nonce = heapq.heappop(self._free)
        else:
            nonce, self._next = self._next, self._next + 1
        self._reserved.add(nonce)
        return nonce

    def reserve(self, nonce: int) -> None:
        """Takes a nonce for a transaction that comes in place of a refused one. If another call has it meanwhile, only
        one of both transactions is executed."""
        self._reserved.add(nonce)
        self._next = None

    def sent(self, transaction: SignedTransaction) -> None:
        """Marks the transaction's nonce as in use until it is settled."""
        self._reserved.discard(transaction.nonce)
        self._sent[transaction.nonce] = transaction

    def settled(self, nonce: int) -> None:
        """Notes that the nonce was executed and is used up."""
        self._reserved.discard(nonce)
        self._sent.pop(nonce, None)
        self._lost.discard(nonce)

    def refused(self, nonce: int) -> None:
        """Notes that the nonce's transaction was refused. The nonce may be free, so the ledger must be asked."""
        self.settled(nonce)
        self._next = None

    def taken(self, nonce: int, now_ms: int) -> None:
        """Notes that another client's pending transaction has this nonce. The next nonce is tried without asking the
        ledger."""
        self.settled(nonce)
        self._taken[nonce] = now_ms

    def lost(self, nonce: int) -> None:
        """Notes that the outcome of the nonce's transaction is unknown."""
        if nonce in self._sent:
            self._lost.add(nonce)
        self._next = None

    def unused(self, nonce: int) -> None:
        """Gives back a nonce that was taken but never sent."""
        self._reserved.discard(nonce)
        self._next = None
