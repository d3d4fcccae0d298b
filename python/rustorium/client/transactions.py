"""Methods that sign and send transactions and ask for their outcome.

Invariants: transactions are signed on this machine; a receipt's proof is checked before it is returned.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, cast

import anyio
from anyio import to_thread

from rustorium import _native, arguments
from rustorium.api import Operation
from rustorium.client import operations as ops
from rustorium.client import wire
from rustorium.client.base import ClientBase, address_of
from rustorium.client.endpoints import Endpoint
from rustorium.client.events import EventStream, behind, senders_in
from rustorium.client.keys import Key
from rustorium.client.nonceuse import NONCES, NonceUses, Tries, for_its_nonce, with_replaced
from rustorium.client.pauses import pauses
from rustorium.client.shards import in_shard_of, is_system, of_sender, of_signer
from rustorium.client.statuses import known_status
from rustorium.client.submit import MILESTONES, Result
from rustorium.client.trust import translate_errors
from rustorium.client.words import named
from rustorium.errors import (
    ClientError,
    NotFound,
    NotReady,
    OutcomeUnknown,
    ProofRefused,
    Refused,
    TransactionFailed,
    UsageError,
)
from rustorium.failures import advice
from rustorium.types import Receipt, ReceiptPage, SignedTransaction, Submitted, TransactionStatus, Wait
from rustorium.zk import groth16 as zk
from rustorium.zk.groth16 import Document, Public

SIGN_AGAIN = ("nonce-used", "nonce-taken", "nonce-too-far", "work-limit-too-low")
"""Codes of refusals after which a transaction is signed again: another process used the nonce, or the chain went on by
another version with other prices."""
SAME_NONCE = "work-limit-too-low"
"""That of these codes after which the nonce is free: what is signed with it again can't be executed besides."""
BAD_SIGNATURE = "bad-signature"
"""Code of a refusal that a node of another chain gives to each transaction: what is signed names the chain."""
WORK_LIMIT = "work-limit"
"""Code of the failure of a transaction that needs more work than it declared."""
PAGE = 100
"""Transactions on a page of an account's that are looked through for the one that used a nonce."""


class TransactionMethods(ClientBase):
    """The client's methods about transactions."""

    @in_shard_of("key", of_signer)
    async def sign(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_s: float | None = None
    ) -> SignedTransaction:
        """Signs with the account's next nonce, which counts as used from then on. Errors: UsageError, NotFound."""
        return (await self._sender.sign([operations], self._signer(key), self._lifetime_s(timeout_s)))[0]

    @in_shard_of("transaction", of_sender)
    async def submit_transaction(
        self, transaction: SignedTransaction, *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> Submitted:
        """Sends a transaction to one endpoint after another until the deadline. The receipt may be a failed one, which
        is proven here, given a genesis or checkpoint.

        A refusal is believed if two endpoints give it, or one while no other answers; its error then names that one.
        Errors: Refused, Busy, OutcomeUnknown, Unreachable, VerificationFailed if all endpoints' proofs are refused."""
        arguments.instance(transaction, SignedTransaction, "a transaction", "sign makes one")
        [result] = await self.submit_all([transaction], wait=wait, timeout_ms=timeout_ms)
        if isinstance(result, ClientError):
            raise result
        return result

    async def submit_all(
        self, transactions: Sequence[SignedTransaction], *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> list[Result]:
        """Sends many transactions, in groups of up to 1,000; returns one result each, in order. Errors: only
        VerificationFailed."""
        deadline = self._deadline_ms(timeout_ms)
        arguments.one_of(wait, MILESTONES, "wait")
        arguments.many(transactions, "transactions", "signed transactions")
        given = list(transactions)
        results: list[Result | None] = [None] * len(given)
        for part, places in self._by_part(given):
            wanted = iter(places)
            for group in wire.groups([given[place] for place in places]):
                for result in await part._sender.submit(group, wait, deadline):
                    results[next(wanted)] = result
        done = [result for result in results if result is not None]
        self._wrote_all(done)
        return done

    def _by_part(self, transactions: Sequence[SignedTransaction]) -> list[tuple[Self, list[int]]]:
        """Returns the places of the transactions for each shard's part of the client."""
        parts: dict[int, tuple[Self, list[int]]] = {}
        for place, transaction in enumerate(transactions):
            part = self._part_of(transaction.sender)
            parts.setdefault(part.shard, (part, []))[1].append(place)
        return list(parts.values())

    @in_shard_of("key", of_signer)
    async def send(
        self,
        operations: Sequence[Operation],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Signs and submits. If another process has used the nonce, it signs again with another one, until the
        deadline. If it read values of more than 4 KiB, and provably failed for that, it is signed again once, with a
        work limit for the largest ones; so not without a genesis or checkpoint.

        Given a genesis or checkpoint, that is proven first: nodes that pass a transaction on can't make it pay twice.

        Errors: those of `submit_transaction`, and TransactionFailed if the receipt is a failed one."""
        signer, deadline = self._signer(key), self._deadline(timeout_s)
        arguments.one_of(wait, MILESTONES, "wait")
        largest, tries = False, list[SignedTransaction]()
        for pause in pauses():
            lifetime_s, nonces = self._lifetime_s(timeout_s), [one.nonce for one in tries[-1:]]
            try:
                tries += await self._sender.sign(
                    [operations], signer, lifetime_s, deadline, largest=largest, nonces=nonces or None
                )
            except NotFound:
                await self._require_own_chain()
                raise
            results = await self._sender.submit(tries[-1:], wait, deadline)
            await self._decide([tries], results, deadline)
            [result] = results
            if isinstance(result, Submitted):
                self._wrote(result.receipt)
                if largest or not self._declared_too_little(result):
                    return succeeded(result, operations, signer.address)
                largest, tries = True, []
                continue
            if not self._is_signable_again(result) or anyio.current_time() + pause >= deadline:
                if isinstance(result, Refused) and result.code == BAD_SIGNATURE:
                    await self._require_own_chain()
                raise result
            if not _keeps_nonce(result):
                tries = []
            await anyio.sleep(pause)
        raise AssertionError("the pauses never end")

    @in_shard_of("key", of_signer)
    async def send_many(
        self,
        transactions: Iterable[Sequence[Operation]],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Result]:
        """Signs and submits many transactions in groups; returns one result each, in order.

        A group is sent while the ones before become final. `timeout_s` is per group. If another process has used a
        transaction's nonce, or the transaction read values of more than 4 KiB and provably failed for that, it is
        signed again and sent after the others, for at most `timeout_s` more."""
        signer, seconds = self._signer(key), self._lifetime_s(timeout_s)
        arguments.one_of(wait, MILESTONES, "wait")
        if not isinstance(transactions, Iterable):
            raise arguments.refused("transactions", "a list of lists of operations", transactions)
        wanted = list(transactions)
        results, signed = await self._sender.send_many(wanted, signer, wait, seconds, on_progress)
        tries = [[transaction] for transaction in signed]
        deadline = anyio.current_time() + seconds
        declared = set[int]()
        for pause in pauses():
            await self._decide(tries, results, deadline)
            again = [place for place, result in enumerate(results) if self._is_signable_again(result)]
            kept = [place for place in again if _keeps_nonce(results[place])]
            again = [place for place in again if place not in kept]
            short = [place for place, result in enumerate(results) if self._declared_too_little(result)]
            short = [place for place in short if place not in declared]
            if not (again or kept or short) or anyio.current_time() + pause >= deadline:
                break
            await anyio.sleep(pause)
            declared.update(short)
            for places, largest in ((kept, False), (again, False), (short, True)):
                left_s = max(deadline - anyio.current_time(), 0)
                lists = [wanted[place] for place in places]
                nonces = [tries[place][-1].nonce for place in places] if places is kept else None
                found, new = await self._sender.send_many(
                    lists, signer, wait, left_s, None, largest=largest, nonces=nonces
                )
                for place, result in zip(places, found, strict=True):
                    results[place] = result
                for place, transaction in zip(places, new, strict=False):
                    tries[place] = [*tries[place], transaction] if places is kept else [transaction]
        self._wrote_all(results)
        return results

    def _is_signable_again(self, result: Result) -> bool:
        """Returns whether the transaction may be signed again, if its result was decided: it had no effect, or only one
        of both can be executed. Without a genesis or checkpoint it is so by the word of two nodes, or of the only
        one."""
        if not isinstance(result, Refused) or result.code not in SIGN_AGAIN:
            return False
        if self._trusts():
            return result.code in (*NONCES, SAME_NONCE)
        return not result.alone or len(self._transport.endpoints.all) == 1

    async def _decide(self, tries: Sequence[Tries], results: list[Result], deadline: float) -> None:
        """Decides about the results of one account's transactions, as `NonceUses.decide` does if there is something to
        check proofs with. Errors: ChainForked."""
        refused = {place: of for place, of in enumerate(tries) if for_its_nonce(results[place])}
        if refused and self._trusts():
            listed, proven = partial(self._page_of, deadline), partial(self._proven, deadline)
            await NonceUses(next(iter(refused.values()))[-1].sender, listed, proven).decide(refused, results, deadline)
        for place, of in enumerate(tries):
            if place in refused and isinstance(results[place], OutcomeUnknown):
                self._sender.doubt(of[-1])
            results[place] = with_replaced(results[place], of)

    async def _page_of(self, deadline: float, address: str, before: str | None, limit: int = PAGE) -> ReceiptPage:
        params: dict[str, str | int] = {"limit": limit} | ({} if before is None else {"before": before})
        return await self._transport.get(
            lambda page: ReceiptPage(tuple(str(item["id"]) for item in page["transactions"]), page.get("next")),
            f"/v1/accounts/{address}/transactions",
            deadline,
            params=params,
        )

    async def _proven(self, deadline: float, identity: str) -> Receipt | None:
        status = await known_status(self._transport, partial(self._ask_status, identity), deadline)
        return status.receipt if status.proven else None

    def _declared_too_little(self, result: Result) -> bool:
        """Returns whether the transaction provably failed because it needs more work than it declared. A node's word
        alone counts for nothing here: one that lies would make the client send a write twice."""
        if not self._trusts() or not isinstance(result, Submitted) or result.receipt is None:
            return False
        failure = result.receipt.failure
        return failure is not None and failure.code == WORK_LIMIT

    def _wrote_all(self, results: Sequence[Result]) -> None:
        for result in results:
            if isinstance(result, Submitted):
                self._wrote(result.receipt)

    async def put(
        self,
        key_bytes: bytes | str,
        value: bytes | str,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Sets a key in the signer's namespace, or in a namespace whose owner granted it the key."""
        signer = self._signer(key)
        operation = ops.put(signer.address if namespace is None else namespace, key_bytes, value)
        return await self.send([operation], key=signer, wait=wait, timeout_s=timeout_s)

    async def delete(
        self,
        key_bytes: bytes | str,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Removes a key."""
        signer = self._signer(key)
        operation = ops.delete(signer.address if namespace is None else namespace, key_bytes)
        return await self.send([operation], key=signer, wait=wait, timeout_s=timeout_s)

    async def transfer(
        self,
        to: str,
        asset: str,
        amount: int,
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Moves an amount of an asset to another account."""
        return await self.send([ops.transfer(to, asset, amount)], key=key, wait=wait, timeout_s=timeout_s)

    async def create_account(
        self,
        new: Key,
        storage_bytes: int,
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Makes the account of a new key and gives it some of the signer's storage balance."""
        arguments.instance(new, Key, "new", "make one with Key.generate")
        operation = ops.create_account(new.region, new.public_key, storage_bytes)
        return await self.send([operation], key=key, wait=wait, timeout_s=timeout_s)

    async def register_verifier(
        self,
        verifying_key: Document,
        *,
        named: Sequence[int] = (),
        once: Sequence[int] = (),
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Registers a Groth16 verifying key; `zk.verifier_id` returns its id.

        `named`: indices of up to four public inputs that `require_proved` can name. `once`: those of them that are
        nullifiers. Errors: ZkRefused if the key is refused here already, and those of `send`."""
        raw = await to_thread.run_sync(zk.key_bytes, verifying_key)
        operation = ops.register_verifier(raw, named, once)
        return await self.send([operation], key=key, wait=wait, timeout_s=timeout_s)

    async def submit_proof(
        self,
        verifier: str,
        proof: Document,
        public: Public,
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Proves a statement to a verifier, which records it.

        Errors: ZkRefused if proof or inputs are malformed, and those of `send`: TransactionFailed with `not-proved` if
        the proof isn't valid, `input-used` if a nullifier was used."""
        raw = await to_thread.run_sync(zk.proof_bytes, proof)
        inputs = await to_thread.run_sync(zk.input_bytes, public, raw)
        return await self.send([ops.verify_proof(verifier, inputs, raw)], key=key, wait=wait, timeout_s=timeout_s)

    async def get_transaction(self, transaction: str, *, verify: bool = True) -> TransactionStatus:
        """Returns a transaction's status by its id.

        A transaction that waits in a pool is "pending" at a node whose client still waits for it, and "unknown"
        elsewhere. So an unknown one that was sent may still be executed until it expires.

        Given a genesis or checkpoint, a certified receipt is checked here and called `proven`. If one node doesn't
        prove it, the others are asked, for a second. Everything else is a node's claim, as is all with `verify=False`.

        Errors: VerificationFailed if no node's proof is valid, or if the nodes are of another chain."""
        identity = arguments.hex_of(transaction, "a transaction id")
        for part in self._all_parts():
            try:
                if verify and part._trusts():
                    ask = partial(part._ask_status, identity)
                    return await known_status(part._transport, ask, self._deadline(None))
                return await part._read(wire.transaction_status, f"/v1/transactions/{identity}", absent=True)
            except NotFound:
                continue
        await self._require_own_chain()
        return TransactionStatus(transaction, "unknown")

    def _all_parts(self) -> list[Self]:
        """Returns this part of the client and then those for the other shards: an id doesn't tell the sender."""
        return [self, *(self.in_shard(shard) for shard in range(self.shards) if shard != self.shard)]

    async def _ask_status(self, identity: str, endpoint: Endpoint) -> TransactionStatus:
        body = await self._ask_proof(identity, endpoint)
        status = wire.parse(wire.transaction_status, body)
        proved = await self._prove_executed(identity, body) if status.certified else None
        if proved is None:
            return status
        _, facts = proved
        receipt = wire.parse(wire.proven_receipt, facts)
        shown = dict(facts["transaction"])
        signers = self.light.signers(facts["claimed_by"]["digest"])
        return TransactionStatus(identity, "final", receipt, True, shown, proven=True, signed_by=signers)

    async def _ask_proof(self, identity: str, endpoint: Endpoint) -> wire.Answer:
        path, deadline = f"/v1/transactions/{identity}", self._deadline(None)
        body = await self._transport.attempt("GET", endpoint, path, deadline, params={"proof": 1})
        if wire.parse(lambda answer: answer["id"], body) != identity:
            raise ProofRefused("a node answered about another transaction: don't trust that node")
        return cast(wire.Answer, body)

    async def _prove_executed(self, identity: str, body: wire.Answer) -> tuple[bytes, dict[str, Any]] | None:
        """Checks the proof (canonical bytes) in a node's answer; returns it and its facts, `None` if there is no proof.

        Errors: VerificationFailed."""
        parts = wire.parse(lambda answer: (answer.get("transaction_hex"), answer.get("proof_hex")), body)
        if not all(parts):
            return None
        raw, receipt = (wire.parse(bytes.fromhex, part) for part in parts)
        proof = translate_errors(_native.wrap_proof, "transaction", raw, receipt)
        facts = await self._show(self.light, proof)
        if facts["receipt"]["id"] != identity:
            raise ProofRefused("a node proved another transaction than was asked for: don't trust that node")
        return proof, facts

    async def account_transactions(self, address: str, *, before: str | None = None, limit: int = 30) -> ReceiptPage:
        """Returns ids of an account's final transactions, newest first; the node's claim. `before=page.next_cursor`
        gives the next page."""
        address_of(address)
        part, asked = self._part_of(address), arguments.whole(limit, "limit")
        behind = arguments.text(before, "before") if before is not None else None
        return await part._page_of(self._deadline(None), address, behind, asked)

    def subscribe_transactions(self, filter: str | None = None, *, after: str | None = None) -> EventStream:
        """Yields final transactions in order, after event `after` (`shard.height.index`), or from the first request on.

        It reconnects without gaps or duplicates. Events are the node's claim: `get_transaction` returns a proven one.

        `filter`: any of `receipts`, `failed`, `sender:rs1…`, `id:<hex>`, separated by commas.

        A stream is of one shard: that of `after` and of the senders in `filter`, or that of this client.

        Errors: UsageError for a filter of blocks, for an `after` that is no event's id, and if two shards are named."""
        wanted = "receipts" if filter is None else arguments.text(filter, "filter")
        behind = arguments.text(after, "after") if after is not None else None
        part = self._part_of_events(wanted, behind)
        stream = EventStream(part._transport, wanted, behind)
        part._streams = [open_ for open_ in part._streams if not open_.closed] + [stream]
        return stream

    def _part_of_events(self, filter: str, after: str | None) -> Self:
        if self.shards == 1:
            return self
        # Owners and seats are senders in each shard.
        senders = [sender for sender in senders_in(filter) if not is_system(address_of(sender))]
        shards = {self.shard_of(sender) for sender in senders} | ({behind(after).shard} if after is not None else set())
        if len(shards) > 1:
            listed = " and ".join(map(str, sorted(shards)))
            raise UsageError(f"events of the shards {listed} don't come in one stream: follow each shard by itself")
        return self.in_shard(shards.pop()) if shards else self

    async def prove_transaction(self, transaction: str) -> bytes:
        """Returns the proof file of a certified transaction: the transaction and its certified receipt.

        Errors: NotFound, NotReady if it isn't certified yet, VerificationFailed, also if the nodes are of another
        chain, GenesisNeeded."""
        identity = arguments.hex_of(transaction, "a transaction id")
        *others, last = self._all_parts()
        for part in others:
            with contextlib.suppress(NotFound):
                return await part._prove(identity)
        try:
            return await last._prove(identity)
        except NotFound:
            await self._require_own_chain()
            raise

    async def _prove(self, identity: str) -> bytes:
        light = self.light

        async def ask(endpoint: Endpoint) -> tuple[bytes, dict[str, Any]] | None:
            return await self._prove_executed(identity, await self._ask_proof(identity, endpoint))

        found = await self._transport.first(ask, self._deadline(None), absent=True)
        if found is None:
            raise NotReady(f"transaction {identity} is not certified yet: ask again in a moment")
        return await light.file(*found)


def _keeps_nonce(result: Result) -> bool:
    """Returns whether a transaction is only signed again with its nonce."""
    return isinstance(result, Refused) and result.code == SAME_NONCE


def succeeded(result: Submitted, operations: Sequence[Operation] = (), sender: str = "") -> Submitted:
    """Returns `result` unless its receipt is a failed one. Errors: TransactionFailed, which says in words which of the
    operations failed, if they are given."""
    if result.receipt is not None and (failure := result.receipt.failure) is not None:
        failed = operations[failure.operation : failure.operation + 1]
        said = "".join(named(operation, sender) for operation in failed)
        error = TransactionFailed(
            f"transaction {result.id} is final and failed at operation {failure.operation} ({failure.code}): {said}"
            + advice(failure.code),
            transaction=result.id,
            failure=failure.code,
            operation=failure.operation,
        )
        raise error.about(result.endpoint, "on the word of {}") if result.endpoint else error
    return result
