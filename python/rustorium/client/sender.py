"""Signs with the accounts' next nonces and submits, each account's transactions in nonce order.

Invariants: every nonce that is taken is sent or given back, also after an error; given a genesis or checkpoint, the
proof in an answer is checked before the result is returned, and a failed receipt has one.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from rustorium import arguments
from rustorium.api import Operation
from rustorium.client import wire
from rustorium.client.keys import Key
from rustorium.client.nonces import Nonces
from rustorium.client.submit import Group, Result
from rustorium.client.transport import Transport
from rustorium.errors import (
    Busy,
    ClientError,
    OutcomeUnknown,
    ProofRefused,
    Refused,
    RustoriumError,
    Unreachable,
    UsageError,
    VerificationFailed,
    WitnessesSilent,
)
from rustorium.types import OPERATIONS_MAX, SUBMISSION_TRANSACTIONS_MAX, SignedTransaction, Submitted, Wait

EXPIRY_MS_MIN = 60_000
GROUPS_IN_FLIGHT = 3
RESEND_S = 0.5


POSITION = re.compile(r" at line \d+ column \d+")
"""Position in an error message about JSON that the caller never saw."""
NONCE_TAKEN = "nonce-taken"

CheckReceipt = Callable[[bytes], Awaitable[dict[str, Any]]]
"""Returns the facts of a receipt's proof. Errors: VerificationFailed."""


@dataclass(slots=True)
class _Account:
    nonces: Nonces = field(default_factory=Nonces)
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class Sender:
    """Signs and sends for all accounts of one client."""

    def __init__(
        self,
        transport: Transport,
        check: CheckReceipt | None,
        chain: Callable[[], Awaitable[str]],
        has_version_2: Callable[[], bool],
    ) -> None:
        """`check`: `None` if there is nothing to check proofs with. `has_version_2`: returns whether it is proven that
        the chain runs by protocol version 2 or a later one."""
        self._transport, self._check, self._chain = transport, check, chain
        self._has_version_2 = has_version_2
        self._accounts: dict[str, _Account] = {}
        self._version: int | None = None
        """Protocol version of the chain's epoch as a node last said it: its prices are declared."""

    async def sign(
        self,
        wanted: Sequence[Sequence[Operation]],
        signer: Key,
        timeout_s: float,
        deadline: float | None = None,
        *,
        largest: bool = False,
        nonces: Sequence[int] | None = None,
    ) -> list[SignedTransaction]:
        """Signs one transaction per list of operations. They expire some time after `timeout_s` from now. The deadline
        for learning the nonce is `timeout_s` from now unless it is given. `largest`: they declare work for values of
        the largest size that they may read. `nonces`: those of transactions in whose place they come, so that only
        one of both can be executed.

        Errors: UsageError for operations that can't be encoded, NotFound if the account doesn't exist, Unreachable at
        the deadline."""
        for operations in wanted:
            check_operations(operations, signer.address)
        chain, second = await self._chain(), self._has_version_2()
        account = self._accounts.setdefault(signer.address, _Account())
        until = anyio.current_time() + timeout_s if deadline is None else deadline
        numbers = await self._take(signer.address, account, len(wanted), until, nonces)
        expiry_ms = time.time_ns() // 1_000_000 + max(EXPIRY_MS_MIN, int(2000 * timeout_s))

        def build() -> list[SignedTransaction]:
            signed = []
            for nonce, operations in zip(numbers, wanted, strict=True):
                text = json.dumps(list(operations))
                identity, raw = signer.build_transaction(
                    chain, nonce, expiry_ms, text, largest=largest, version=self._version, second=second
                )
                signed.append(SignedTransaction(identity, raw, signer.address, nonce, expiry_ms))
            return signed

        try:
            signed = build() if len(wanted) == 1 and not signer.is_remote else await anyio.to_thread.run_sync(build)
        except BaseException as error:
            for nonce in numbers:
                account.nonces.unused(nonce)
            if isinstance(error, (ValueError, TypeError)):
                why = POSITION.sub("", str(error))
                raise UsageError(f"the transaction can't be made: {why}") from None
            raise
        for transaction in signed:
            account.nonces.sent(transaction)
        return signed

    async def _take(
        self, address: str, account: _Account, count: int, deadline: float, again: Sequence[int] | None
    ) -> list[int]:
        with anyio.CancelScope() as scope:
            # Another call may hold the lock, with a later deadline.
            scope.deadline = deadline + RESEND_S
            async with account.lock:
                if again is not None:
                    # The prices may be another version's by now.
                    await self._sync(address, account.nonces, deadline)
                    for nonce in again:
                        account.nonces.reserve(nonce)
                    return list(again)
                if account.nonces.stale:
                    await self._sync(address, account.nonces, deadline)
                return [account.nonces.take() for _ in range(count)]
        raise Unreachable(f"the next nonce of {address} was not known before the deadline: allow more time")

    async def submit(self, group: Sequence[SignedTransaction], wait: Wait, deadline: float) -> list[Result]:
        """Submits one group; returns one result each, in order. Errors: VerificationFailed if all nodes' proofs are
        refused."""
        results: list[Result] = [OutcomeUnknown(transaction.id) for transaction in group]
        try:
            results = await self._proven(group, await self._group(group, wait, deadline).run(), deadline)
        finally:
            for transaction, result in zip(group, results, strict=True):
                self._settle(transaction, result)
        return results

    def _group(self, group: Sequence[SignedTransaction], wait: Wait, deadline: float) -> Group:
        return Group(self._transport, group, wait, deadline, self._checked)

    async def _proven(self, group: Sequence[SignedTransaction], results: list[Result], deadline: float) -> list[Result]:
        """Returns the results with a proof for each failed receipt that is on a node's word: who believes a false one
        sends the transaction again. Without a proof the outcome is unknown. Errors: VerificationFailed."""
        failed = [place for place, result in enumerate(results) if _failed_unproven(result)]
        if not failed or self._check is None:
            return results
        proven = list(results)
        found = await self._group([group[place] for place in failed], "certified", deadline).run()
        for place, result in zip(failed, found, strict=True):
            known = isinstance(result, (Submitted, Refused)) and not isinstance(result, Busy)
            proven[place] = result if known else _open(results[place])
        return proven

    async def send_many(
        self,
        wanted: Sequence[Sequence[Operation]],
        signer: Key,
        wait: Wait,
        timeout_s: float,
        on_progress: Callable[[int, int], None] | None,
        *,
        largest: bool = False,
        nonces: Sequence[int] | None = None,
    ) -> tuple[list[Result], list[SignedTransaction]]:
        """Signs and submits in groups; a group is sent while the ones before become final. Returns one result each, in
        order, and the transactions that were signed. `nonces`: as in `sign`.

        Errors: UsageError, ProofRefused; those of `sign` if nothing was sent."""
        results: list[Result] = [ClientError("it was not sent: try again")] * len(wanted)
        signed: list[SignedTransaction] = []
        room = anyio.Semaphore(GROUPS_IN_FLIGHT)
        start = done = 0
        fault: RustoriumError | None = None

        async def finish(group: list[SignedTransaction], first: int, deadline: float) -> None:
            nonlocal done, fault
            open_ = [index for index in range(len(group)) if not isinstance(results[first + index], Refused)]
            try:
                found = await self.submit([group[index] for index in open_], wait, deadline)
            except (VerificationFailed, WitnessesSilent) as error:
                fault = error
                return
            finally:
                room.release()
            for index, result in zip(open_, found, strict=True):
                results[first + index] = result
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(wanted))

        async def begin(tasks: TaskGroup) -> None:
            nonlocal start
            while start < len(wanted) and fault is None:
                part = slice(start, start + SUBMISSION_TRANSACTIONS_MAX)
                used = nonces[part] if nonces is not None else None
                new = await self.sign(wanted[part], signer, timeout_s, largest=largest, nonces=used)
                signed.extend(new)
                for group in wire.groups(new):
                    await room.acquire()
                    deadline = anyio.current_time() + timeout_s
                    if len(group) < len(wanted):
                        # A later nonce must not overtake an earlier one by more than the pool's gap.
                        results[start : start + len(group)] = await self.submit(group, "accepted", deadline)
                    tasks.start_soon(finish, group, start, deadline)
                    start += len(group)

        async with anyio.create_task_group() as tasks:
            try:
                await begin(tasks)
            except RustoriumError as error:
                fault = error
        unchecked = isinstance(fault, (VerificationFailed, WitnessesSilent))
        if fault is not None and (start == 0 or unchecked or not isinstance(fault, ClientError)):
            raise fault
        if fault is not None:
            results[start:] = [fault] * (len(wanted) - start)
        return results, signed

    def doubt(self, transaction: SignedTransaction) -> None:
        """Notes that a refusal of a transaction isn't believed: it may still be executed."""
        if (account := self._accounts.get(transaction.sender)) is not None:
            account.nonces.sent(transaction)
            account.nonces.lost(transaction.nonce)

    async def _sync(self, address: str, nonces: Nonces, deadline: float) -> None:
        """Reads the ledger's nonce and the epoch's version, and sends again the transactions that may have been lost,
        since later nonces wait for them."""
        # A node that is a moment behind doesn't know an account that was made just before.
        ledger, self._version = await self._transport.get(
            wire.next_nonce, f"/v1/accounts/{address}", deadline, absent=True
        )
        lost = nonces.synced(ledger, time.time_ns() // 1_000_000)
        for group in wire.groups(lost):
            await self._group(group, "accepted", anyio.current_time() + RESEND_S).run()

    def _settle(self, transaction: SignedTransaction, result: Result) -> None:
        if (account := self._accounts.get(transaction.sender)) is None:
            return
        if isinstance(result, OutcomeUnknown):
            account.nonces.lost(transaction.nonce)
        elif isinstance(result, ClientError) and result.code == NONCE_TAKEN:
            account.nonces.taken(transaction.nonce, time.time_ns() // 1_000_000)
        elif isinstance(result, ClientError):
            account.nonces.refused(transaction.nonce)
        elif result.reached != "accepted":
            account.nonces.settled(transaction.nonce)

    async def _checked(self, transaction: SignedTransaction, result: Submitted) -> Submitted:
        """Checks that a result and its proof are about this transaction. Errors: ProofRefused."""
        if result.id != transaction.id or (result.receipt is not None and result.receipt.transaction != transaction.id):
            raise ProofRefused("a node answered about another transaction: don't trust that node")
        if result.proof is None or self._check is None:
            return result
        if wire.parse(wire.proven_receipt, await self._check(result.proof)) != result.receipt:
            raise ProofRefused("a node's proof is of another receipt: don't trust that node")
        return replace(result, endpoint="")


def check_operations(operations: Sequence[Operation], sender: str) -> None:
    """Checks that a transaction can be made of these operations, and that none of them is in vain. Errors:
    UsageError."""
    if isinstance(operations, Mapping):
        raise UsageError("operations are a list: write [operation], also for a single one")
    for operation in arguments.many(operations, "operations", "operations"):
        if not isinstance(operation, Mapping):
            what = arguments.kind_of(operation)
            raise UsageError(f"an operation is a dict as rustorium.client.operations makes it, not {what}")
        if (operation.get("type"), operation.get("to")) == ("transfer", sender):
            raise UsageError("a transfer from an account to itself would change nothing: name another account")
    if not operations:
        raise UsageError("a transaction without operations would change nothing: give it at least one")
    if len(operations) > OPERATIONS_MAX:
        raise UsageError(
            f"a transaction has at most {OPERATIONS_MAX} operations, not {len(operations)}: send several "
            "transactions, or use put_many"
        )


def _failed_unproven(result: Result) -> bool:
    """Returns whether a result is a failed receipt on a node's word."""
    return (
        isinstance(result, Submitted) and result.receipt is not None and not result.receipt.ok and result.endpoint != ""
    )


def _open(said: Result) -> Result:
    """Returns that the outcome is unknown, although a node called it failed."""
    assert isinstance(said, Submitted)
    assert said.receipt is not None
    assert said.receipt.failure is not None
    message = (
        f"{said.endpoint} says that transaction {said.id} failed ({said.receipt.failure.code}), and no node proved it "
        f"before the deadline: look it up with `rustorium tx status {said.id}` before you send another one"
    )
    return OutcomeUnknown(said.id, message).about(said.endpoint)
