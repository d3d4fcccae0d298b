"""Decides by proofs about refusals for a nonce: nodes that pass a transaction on can say that another one has its
nonce, and who then signs it again pays twice.

Invariants: a nonce counts as used only by a proven receipt of its account.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import cast

import anyio

from rustorium.client.pauses import pauses
from rustorium.client.submit import Result
from rustorium.errors import ChainForked, OutcomeUnknown, Refused, RustoriumError
from rustorium.types import Receipt, ReceiptPage, SignedTransaction, Submitted

NONCES = ("nonce-used", "nonce-taken")
"""Codes of refusals because another transaction has the nonce."""

Tries = Sequence[SignedTransaction]
"""Transactions of one nonce that were signed for the same operations, in this order: at most one is executed."""
List = Callable[[str, str | None], Awaitable[ReceiptPage]]
"""Returns a page of an account's transactions, newest first, from a cursor on. Errors: RustoriumError."""
Prove = Callable[[str], Awaitable[Receipt | None]]
"""Returns the proven receipt of a transaction; `None` if there is none yet. Errors: RustoriumError."""


class NonceUses:
    """Finds the transactions that used nonces of one account; what it has found it doesn't ask for again."""

    def __init__(self, sender: str, list_: List, prove: Prove) -> None:
        self._sender, self._list, self._prove = sender, list_, prove
        self._receipts: dict[str, Receipt] = {}

    async def decide(self, refused: Mapping[int, Tries], results: list[Result], deadline: float) -> None:
        """Decides about results that are refusals for a nonce, by their places. One stays if a proof shows that another
        transaction used the nonce. If one of its own did, that one's receipt comes instead; without a proof at the
        deadline, that the outcome is unknown.

        Errors: ChainForked."""
        open_ = dict(refused)
        for pause in pauses():
            await self._find({tries[-1].nonce for tries in open_.values()}, deadline)
            used = self._by_nonce()
            for place, tries in list(open_.items()):
                if (receipt := used.get(tries[-1].nonce)) is None:
                    continue
                del open_[place]
                if receipt.transaction in {one.id for one in tries}:
                    results[place] = Submitted(receipt.transaction, "certified", receipt)
            if not open_ or anyio.current_time() + pause >= deadline:
                break
            await anyio.sleep(pause)
        for place, tries in open_.items():
            results[place] = _doubted(tries[-1], cast(Refused, results[place]))

    def _by_nonce(self) -> dict[int, Receipt]:
        return {receipt.nonce: receipt for receipt in self._receipts.values() if receipt.sender == self._sender}

    async def _find(self, nonces: Collection[int], deadline: float) -> None:
        """Looks through the account's transactions for those that used the nonces, as far as nodes prove them now."""
        cursor = None
        with anyio.CancelScope(deadline=deadline):
            try:
                while True:
                    page = await self._list(self._sender, cursor)
                    for identity in page.transactions:
                        receipt = self._receipts.get(identity) or await self._prove(identity)
                        if receipt is None:
                            continue  # it is final and not certified yet
                        self._receipts[identity] = receipt
                        if receipt.sender == self._sender and receipt.nonce <= min(nonces):
                            return  # older ones have lower nonces
                    cursor = page.next_cursor
                    if cursor is None:
                        return
            except ChainForked:
                raise
            except RustoriumError:
                return  # what is proven so far holds


def for_its_nonce(result: Result) -> bool:
    """Returns whether nodes say that another transaction has the nonce."""
    return isinstance(result, Refused) and result.code in NONCES


def with_replaced(result: Result, tries: Tries) -> Result:
    """Returns a result, which names the transactions that its own came in place of if its outcome is unknown."""
    if isinstance(result, OutcomeUnknown):
        result.replaced = tuple(one.id for one in tries[:-1])
    return result


def _doubted(transaction: SignedTransaction, refusal: Refused) -> OutcomeUnknown:
    """Returns that the outcome is unknown, although nodes said that another transaction has the nonce."""
    who = f"{refusal.endpoint} says" if refusal.alone else "two nodes say"
    message = (
        f"{who} that transaction {transaction.id} was refused ({refusal.code}), and no node proved before the deadline "
        f"that another one used its nonce {transaction.nonce}: look it up with `rustorium tx status {transaction.id}` "
        "before you send another one"
    )
    unknown = OutcomeUnknown(transaction.id, message)
    return unknown.about(refusal.endpoint) if refusal.alone else unknown
