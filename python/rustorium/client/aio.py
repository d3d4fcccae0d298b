"""The asynchronous client, on trio or asyncio.

Invariants: signing happens here, on this machine; with a genesis given, every proof and certificate that comes along is
checked before it is handed out.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2

from rustorium import _native
from rustorium.api import Operation
from rustorium.client import operations as ops
from rustorium.client import wire
from rustorium.client.events import EventStream
from rustorium.client.keys import Key
from rustorium.client.proofs import check_block, check_receipt, require_certificate
from rustorium.client.sender import Sender
from rustorium.client.submit import Result
from rustorium.client.transport import Transport
from rustorium.errors import (
    BadResponse,
    ClientError,
    GenesisNeeded,
    NotFound,
    NotReady,
    OutcomeUnknown,
    Refused,
    TransactionFailed,
    UsageError,
)
from rustorium.home import read_genesis
from rustorium.net import read_net
from rustorium.types import (
    Account,
    Balance,
    Block,
    NodeStatus,
    Receipt,
    ReceiptPage,
    SignedTransaction,
    Submitted,
    TransactionStatus,
    Value,
    Wait,
    WriteProof,
)

TIMEOUT_S = 30.0
SIGN_AGAIN_MAX = 4
SIGN_AGAIN = ("nonce_used", "nonce_taken", "nonce_too_far")
POLL_S_MIN, POLL_S_MAX = 0.02, 0.5
DIGEST_DIGITS = 64


class AsyncClient:
    """One client of one chain; use it as `async with`. `key` signs where a method is given none.

    `genesis`: canonical bytes or the path of the genesis file; without it nothing can be proven (GenesisNeeded)."""

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        genesis: bytes | str | Path | None = None,
        key: Key | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        urls = [endpoints] if isinstance(endpoints, str) else endpoints
        self._transport = Transport(urls, transport)
        self._genesis = read_genesis(Path(genesis)) if isinstance(genesis, (str, Path)) else genesis
        self._chain = _native.genesis_hash(self._genesis) if self._genesis is not None else None
        self._key = key
        self._timeout_s = timeout_s
        self._streams: list[EventStream] = []
        self._sender = Sender(self._transport, self._genesis, self.chain)

    @classmethod
    def from_net(cls, path: str | Path, *, key: Key | None = None, timeout_s: float = TIMEOUT_S) -> Self:
        """A client of the net in a `devnet.json`. Errors: UsageError, HomeError."""
        net = read_net(Path(path))
        return cls(net.endpoints, genesis=Path(net.genesis), key=key, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        for stream in self._streams:
            await stream.aclose()
        await self._transport.aclose()

    # ---- transactions -----------------------------------------------------------------------------------------------

    async def sign(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_s: float | None = None
    ) -> SignedTransaction:
        """Signs with the account's next nonce, which is in use from then on. Errors: UsageError, NotFound."""
        return (await self._sender.sign([operations], self._signer(key), self._lifetime_s(timeout_s)))[0]

    async def submit_transaction(
        self, transaction: SignedTransaction, *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> Submitted:
        """Sends it, to other endpoints too until the deadline. A receipt may be a failed one.

        Errors: Refused, Busy, OutcomeUnknown, Unreachable."""
        [result] = await self.submit_all([transaction], wait=wait, timeout_ms=timeout_ms)
        if isinstance(result, ClientError):
            raise result
        return result

    async def submit_all(
        self, transactions: Sequence[SignedTransaction], *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> list[Result]:
        """Sends many, in groups of up to 1,000; one result each, in order. Raises nothing but ProofRefused."""
        deadline = self._deadline(timeout_ms / 1000 if timeout_ms is not None else None)
        results: list[Result] = []
        for group in wire.groups(list(transactions)):
            results += await self._sender.submit(group, wait, deadline)
        return results

    async def send(
        self,
        operations: Sequence[Operation],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Signs and submits, with another nonce where somebody else has used this one.

        Errors: those of `submit_transaction`, and TransactionFailed where the receipt is a failed one."""
        signer, deadline = self._signer(key), self._deadline(timeout_s)
        for attempt in range(1, SIGN_AGAIN_MAX + 1):
            [transaction] = await self._sender.sign([operations], signer, self._lifetime_s(timeout_s))
            [result] = await self._sender.submit([transaction], wait, deadline)
            if isinstance(result, Submitted):
                return _succeeded(result)
            again = isinstance(result, Refused) and result.code in SIGN_AGAIN and attempt < SIGN_AGAIN_MAX
            if not again or anyio.current_time() >= deadline:
                raise result
        raise AssertionError("the loop ends by return or raise")

    async def send_many(
        self,
        transactions: Iterable[Sequence[Operation]],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Result]:
        """Signs and submits many in groups, the next group while the ones before become final; one result each, in
        order. `timeout_s` is per group."""
        signer = self._signer(key)
        wanted = list(transactions)
        return await self._sender.send_many(wanted, signer, wait, self._lifetime_s(timeout_s), on_progress)

    async def put(
        self,
        key_bytes: bytes,
        value: bytes,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Sets a key in the signer's namespace, or in one that granted it the key."""
        signer = self._signer(key)
        operation = ops.put(namespace or signer.address, key_bytes, value)
        return await self.send([operation], key=signer, wait=wait, timeout_s=timeout_s)

    async def delete(
        self,
        key_bytes: bytes,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Removes a key."""
        signer = self._signer(key)
        operation = ops.delete(namespace or signer.address, key_bytes)
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
        operation = ops.create_account(new.region, new.public_key, storage_bytes)
        return await self.send([operation], key=key, wait=wait, timeout_s=timeout_s)

    async def get_transaction(self, transaction: str) -> TransactionStatus:
        """Where it is, by id; "unknown" only where no node knows it."""
        try:
            body = await self._read(f"/v1/transactions/{_hex(transaction, 'a transaction id')}", absent=True)
        except NotFound:
            return TransactionStatus(transaction, "unknown")
        return wire.parse(wire.transaction_status, body)

    async def account_transactions(self, address: str, *, before: str | None = None, limit: int = 30) -> ReceiptPage:
        """Ids of an account's final transactions, newest first; go on with `before=page.next_cursor`."""
        params: dict[str, str | int] = {"limit": limit} | ({"before": before} if before is not None else {})
        body = await self._read(f"/v1/accounts/{address}/transactions", params=params)
        return wire.parse(
            lambda page: ReceiptPage(tuple(str(item["id"]) for item in page["transactions"]), page.get("next")), body
        )

    def subscribe_transactions(self, filter: str | None = None, *, after: str | None = None) -> EventStream:
        """Final transactions in order, from behind event `after`, or from when the first is asked for; reconnects
        without gap or duplicate.

        `filter`: any of `receipts`, `failed`, `sender:rs1…`, `id:<hex>`, separated by commas."""
        stream = EventStream(self._transport, filter or "receipts", after)
        self._streams = [open_ for open_ in self._streams if not open_.closed] + [stream]
        return stream

    # ---- blocks -----------------------------------------------------------------------------------------------------

    async def block(self, which: int | str = "latest", *, proof: bool = True) -> Block:
        """A final block by height, digest or "latest". Errors: NotFound."""
        if isinstance(which, str) and which != "latest":
            which = _hex(which, "a block's digest")
        body = await self._read(f"/v1/blocks/{which}", params={"proof": int(proof)}, absent=True)
        return wire.parse(wire.block, body)

    async def block_receipts(self, which: int | str) -> tuple[Receipt, ...]:
        """All receipts of a final block, in order."""
        found: list[Receipt] = []
        after: str | None = None
        while True:
            params: dict[str, str | int] = {"limit": 100} | ({"after": after} if after is not None else {})
            body = await self._read(f"/v1/blocks/{which}/receipts", params=params, absent=True)
            found += wire.parse(lambda page: [wire.receipt(item) for item in page["receipts"]], body)
            after = body.get("next")
            if after is None:
                return tuple(found)

    async def propose_block(
        self, transactions: Sequence[SignedTransaction], *, timeout_ms: int | None = None
    ) -> tuple[Block, ...]:
        """Submits them, waits, and returns the final blocks that hold them, in height order, each checked.

        Errors: the first of `submit_transaction`'s that one of them met."""
        heights: set[int] = set()
        for result in await self.submit_all(transactions, timeout_ms=timeout_ms):
            if isinstance(result, ClientError):
                raise result
            assert result.receipt is not None
            heights.add(result.receipt.height)
        return tuple([await self.wait_for_quorum(height, timeout_ms=timeout_ms) for height in sorted(heights)])

    async def validate_block(self, block: Block) -> Block:
        """Checks certificate, ancestry and payload root against the genesis. Errors: ProofRefused, GenesisNeeded."""
        genesis = self._pinned()
        require_certificate(block)
        return check_block(genesis, block, await self.block(block.parent))

    async def wait_for_quorum(self, what: int | str, *, timeout_ms: int | None = None) -> Block:
        """Waits until a height, or the block of a transaction id, is final; returns it with its certificate, checked
        where a genesis is given. Errors: NotReady at the deadline, ProofRefused."""
        deadline = self._deadline(timeout_ms / 1000 if timeout_ms is not None else None)
        pause = POLL_S_MIN
        while True:
            found = await self._final_block(what)
            if found is not None:
                return await self.validate_block(found) if self._genesis is not None else found
            if anyio.current_time() + pause >= deadline:
                raise NotReady(
                    f"{what} was not final before the deadline: wait longer, or check that the net makes blocks"
                )
            await anyio.sleep(pause)
            pause = min(2 * pause, POLL_S_MAX)

    async def _final_block(self, what: int | str) -> Block | None:
        height = what
        if isinstance(what, str):
            receipt = (await self.get_transaction(what)).receipt
            if receipt is None:
                return None
            height = receipt.height
        try:
            found = await self.block(height)
        except NotFound:
            return None
        return found if found.proof else None

    # ---- state ------------------------------------------------------------------------------------------------------

    async def read(self, namespace: str, key: bytes, *, at: str | int = "latest") -> Value:
        """A key's value at the newest executed height, without proof. `at="proven"`: with one; raises NoStateRootYet
        until headers carry a state root."""
        try:
            body = await self._read(
                f"/v1/accounts/{namespace}/keys/{key.hex()}", params={"encoding": "hex", "at": str(at)}
            )
        except NotFound as error:
            if error.code != "key_not_found":
                raise
            return Value(namespace, key, None, wire.parse(wire.at, error.details))
        found = wire.parse(wire.value, body)
        if (found.namespace, found.key) != (namespace, key):
            raise BadResponse("a node answered about another key: ask another node")
        return found

    async def get(self, namespace: str, key: bytes, *, verify: bool = True) -> bytes | None:
        """A key's value, proven against a certified header unless `verify=False`; None where it has none."""
        return (await self.read(namespace, key, at="proven" if verify else "latest")).value

    async def account(self, address: str) -> Account:
        """An account's record. Errors: NotFound."""
        return wire.parse(wire.account, await self._read(f"/v1/accounts/{address}"))

    async def balance(self, address: str, asset: str) -> Balance:
        """What an account holds of an asset."""
        path = f"/v1/accounts/{address}/balances/{_hex(asset, 'an asset id')}"
        return wire.parse(wire.balance, await self._read(path))

    async def write_with_proof(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_ms: int | None = None
    ) -> WriteProof:
        """Signs, submits, and waits until a quorum certified the receipt; the proof is checked before it is returned.

        Errors: those of `send`, ProofRefused, GenesisNeeded."""
        self._pinned()
        timeout_s = timeout_ms / 1000 if timeout_ms is not None else None
        done = await self.send(operations, key=key, wait="certified", timeout_s=timeout_s)
        if done.receipt is None or done.proof is None:
            raise OutcomeUnknown(done.id, f"transaction {done.id} is final, its proof came too late: ask again")
        return WriteProof(done.receipt, done.proof)

    async def verify_proof(self, proof: bytes) -> Receipt:
        """Checks a receipt's proof against the genesis alone. Errors: ProofRefused, GenesisNeeded."""
        return check_receipt(self._pinned(), proof)

    async def status(self) -> NodeStatus:
        """What the nearest node says of itself."""
        return wire.parse(wire.node_status, await self._read("/v1/status"))

    async def chain(self) -> str:
        """The chain's id: the genesis' hash, or what a node says where no genesis is given."""
        if self._chain is None:
            self._chain = (await self.status()).chain
        return self._chain

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _deadline(self, timeout_s: float | None) -> float:
        return anyio.current_time() + (self._timeout_s if timeout_s is None else timeout_s)

    def _lifetime_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _pinned(self) -> bytes:
        if self._genesis is None:
            raise GenesisNeeded("nothing can be checked without the chain's genesis: give genesis=PATH to the client")
        return self._genesis

    def _signer(self, key: Key | None) -> Key:
        signer = key or self._key
        if signer is None:
            raise UsageError("no key is given to sign with: give key= to the method or to the client")
        return signer

    async def _read(self, path: str, *, params: dict[str, str | int] | None = None, absent: bool = False) -> Any:
        return await self._transport.get(path, self._deadline(None), params=params, absent=absent)


def _succeeded(result: Submitted) -> Submitted:
    if result.receipt is not None and (failure := result.receipt.failure) is not None:
        raise TransactionFailed(
            f"transaction {result.id} is final and failed at operation {failure.operation} ({failure.code}): "
            "correct it and send a new one",
            transaction=result.id,
            failure=failure.code,
            operation=failure.operation,
        )
    return result


def _hex(text: str, what: str) -> str:
    try:
        if len(bytes.fromhex(text)) * 2 == DIGEST_DIGITS == len(text):
            return text.lower()
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not {what}: give its {DIGEST_DIGITS} hex digits")
