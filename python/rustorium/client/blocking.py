"""The blocking client: the asynchronous client on an event loop in its own thread.

Invariants: the same method names, arguments, results and errors; usable from any thread.
"""

import copy
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx2

from rustorium import arguments
from rustorium.access.bearer import Tokens
from rustorium.access.netfile import read_net
from rustorium.access.tls import Tls
from rustorium.api import Operation
from rustorium.client.aio import AsyncClient
from rustorium.client.base import TIMEOUT_S
from rustorium.client.blockingsigning import BlockingSigning
from rustorium.client.directory import ListedNode
from rustorium.client.keys import Key
from rustorium.client.light import LightClient
from rustorium.client.loop import LoopThread
from rustorium.client.pools import RECORDS_MAX
from rustorium.client.submit import Result
from rustorium.client.text import K
from rustorium.client.wire import Answer
from rustorium.records import Rows
from rustorium.types import (
    Account,
    Balance,
    Block,
    Event,
    KeyPage,
    NodeStatus,
    ProvenState,
    Receipt,
    ReceiptPage,
    ShardFacts,
    SignedTransaction,
    Subject,
    SubjectContent,
    Submitted,
    TransactionStatus,
    Value,
    VerifiedProof,
    Wait,
    WriteProof,
)
from rustorium.zk.blockproofs import BlockProofs, Verifier
from rustorium.zk.groth16 import Document, Public

T = TypeVar("T")


class Client(BlockingSigning):
    """A client of one chain; use it as `with`, or `close` it. An open client is closed when the script ends, with a
    ResourceWarning. `AsyncClient` describes the methods."""

    _loop: LoopThread | None = None
    _whole: "Client | None" = None
    """The client that this one is a part of, which is the one to be closed."""

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        genesis: bytes | str | Path | None = None,
        checkpoint: bytes | str | Path | None = None,
        trust_period_s: float | None = None,
        trust_file: str | Path | None = None,
        max_age_s: float | None = None,
        witnesses: Sequence[str] = (),
        key: Key | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
        token: Tokens | None = None,
        tls: Tls | None = None,
        at: str | None = None,
    ) -> None:
        loop = self._loop = LoopThread()
        try:
            make = partial(
                AsyncClient,
                endpoints,
                genesis=genesis,
                checkpoint=checkpoint,
                trust_period_s=trust_period_s,
                trust_file=trust_file,
                max_age_s=max_age_s,
                witnesses=witnesses,
                key=key,
                timeout_s=timeout_s,
                transport=transport,
                token=token,
                tls=tls,
                at=at,
            )
            self._client = loop.make(make)
        except BaseException:
            loop.close()
            raise
        loop.closes(self._client.aclose, ", ".join([endpoints] if isinstance(endpoints, str) else endpoints))

    @classmethod
    def from_net(
        cls,
        path: str | Path,
        *,
        key: Key | None = None,
        timeout_s: float = TIMEOUT_S,
        token: Tokens | None = None,
        tls: Tls | None = None,
    ) -> Self:
        """Returns a client of the net in a `devnet.json`. Errors: UsageError, HomeError."""
        net = read_net(arguments.path(path, "path"))
        tls, genesis = tls or net.tls, Path(net.genesis)
        return cls(net.endpoints, genesis=genesis, key=key, timeout_s=timeout_s, token=token, tls=tls)

    def __repr__(self) -> str:
        return repr(self._client).replace("Async", "", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections and ends the thread; idempotent."""
        if self._loop is not None and self._whole is None:
            self._loop.close()

    def __del__(self) -> None:
        if self._loop is not None and self._whole is None:
            self._loop.forgotten()

    def sign(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_s: float | None = None
    ) -> SignedTransaction:
        """Signs with the account's next nonce."""
        return self._call(self._client.sign, operations, key=key, timeout_s=timeout_s)

    def submit_transaction(
        self, transaction: SignedTransaction, *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> Submitted:
        """Sends a transaction to one endpoint after another until the deadline."""
        return self._call(self._client.submit_transaction, transaction, wait=wait, timeout_ms=timeout_ms)

    def submit_all(
        self, transactions: Sequence[SignedTransaction], *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> list[Result]:
        """Sends many transactions; returns one result each, in order."""
        return self._call(self._client.submit_all, transactions, wait=wait, timeout_ms=timeout_ms)

    def send(
        self,
        operations: Sequence[Operation],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Signs and submits a transaction."""
        return self._call(self._client.send, operations, key=key, wait=wait, timeout_s=timeout_s)

    def send_many(
        self,
        transactions: Iterable[Sequence[Operation]],
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Result]:
        """Signs and submits many transactions; returns one result each, in order. `on_progress` is called from another
        thread."""
        return self._call(
            self._client.send_many, transactions, key=key, wait=wait, timeout_s=timeout_s, on_progress=on_progress
        )

    def put(
        self,
        key_bytes: bytes | str,
        value: bytes | str,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Sets a key."""
        return self._call(
            self._client.put, key_bytes, value, key=key, namespace=namespace, wait=wait, timeout_s=timeout_s
        )

    def delete(
        self,
        key_bytes: bytes | str,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Removes a key."""
        return self._call(self._client.delete, key_bytes, key=key, namespace=namespace, wait=wait, timeout_s=timeout_s)

    def transfer(
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
        return self._call(self._client.transfer, to, asset, amount, key=key, wait=wait, timeout_s=timeout_s)

    def create_account(
        self,
        new: Key,
        storage_bytes: int,
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Makes the account of a new key."""
        return self._call(self._client.create_account, new, storage_bytes, key=key, wait=wait, timeout_s=timeout_s)

    def register_verifier(
        self,
        verifying_key: Document,
        *,
        named: Sequence[int] = (),
        once: Sequence[int] = (),
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Registers a Groth16 verifying key."""
        register = self._client.register_verifier
        return self._call(register, verifying_key, named=named, once=once, key=key, wait=wait, timeout_s=timeout_s)

    def submit_proof(
        self,
        verifier: str,
        proof: Document,
        public: Public,
        *,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Proves a statement to a verifier, which records it."""
        return self._call(self._client.submit_proof, verifier, proof, public, key=key, wait=wait, timeout_s=timeout_s)

    def get_transaction(self, transaction: str, *, verify: bool = True) -> TransactionStatus:
        """Returns a transaction's status by its id. Given a genesis, a certified receipt is proven, unless
        `verify=False`."""
        return self._call(self._client.get_transaction, transaction, verify=verify)

    def prove_transaction(self, transaction: str) -> bytes:
        """Returns the proof file of a certified transaction."""
        return self._call(self._client.prove_transaction, transaction)

    def list_keys(
        self,
        account: str,
        prefix: bytes | str = b"",
        *,
        cursor: str | None = None,
        at: int | None = None,
        limit: int = 30,
        values: bool = False,
    ) -> KeyPage:
        """Returns a page of a namespace's keys that begin with `prefix`; it is the node's claim, not proven.
        `cursor=page.next_cursor` gives the next page, until it is `None`."""
        call = self._client.list_keys
        return self._call(call, account, prefix, cursor=cursor, at=at, limit=limit, values=values)

    def account_transactions(self, address: str, *, before: str | None = None, limit: int = 30) -> ReceiptPage:
        """Returns ids of an account's final transactions, newest first; the node's claim, not proven."""
        return self._call(self._client.account_transactions, address, before=before, limit=limit)

    def subscribe_transactions(self, filter: str | None = None, *, after: str | None = None) -> Iterator[Event]:
        """Yields final transactions in order, after event `after` or from now on; the node's claim, not proven."""
        stream = self._client.subscribe_transactions(filter, after=after)
        try:
            while True:
                yield self._call(stream.__anext__)
        finally:
            if self._loop is not None and self._loop.usable:
                self._loop.call(stream.aclose)

    def block(self, which: int | str = "latest", *, proof: bool = True) -> Block:
        """Returns a final block by height, digest or "latest"."""
        return self._call(self._client.block, which, proof=proof)

    def block_receipts(self, which: int | str, *, verify: bool = True) -> Rows[Receipt]:
        """Returns all receipts of a final block, in order. Given a genesis, each is proven, unless `verify=False`."""
        return self._call(self._client.block_receipts, which, verify=verify)

    def prove_block(self, which: int | str) -> bytes:
        """Returns the proof file of a final block's header."""
        return self._call(self._client.prove_block, which)

    def verify_block_proofs(self, height: int, verifiers: Sequence[Verifier]) -> BlockProofs:
        """Checks the Groth16 proofs in a final block on this machine, as one equation."""
        return self._call(self._client.verify_block_proofs, height, verifiers)

    def propose_block(
        self, transactions: Sequence[SignedTransaction], *, timeout_ms: int | None = None
    ) -> tuple[Block, ...]:
        """Submits transactions, waits until they are final, and returns their blocks."""
        return self._call(self._client.propose_block, transactions, timeout_ms=timeout_ms)

    def validate_block(self, block: Block) -> Block:
        """Checks certificate, ancestry and payload root against the genesis."""
        return self._call(self._client.validate_block, block)

    def wait_for_quorum(self, what: int | str, *, timeout_ms: int | None = None) -> Block:
        """Waits until a height, or the block of a transaction id, is final."""
        return self._call(self._client.wait_for_quorum, what, timeout_ms=timeout_ms)

    def read(
        self, namespace: str, key: bytes | str, *, at: str | int = "latest", max_age_s: float | None = None
    ) -> Value:
        """Returns a key's value; `at` is "latest", "proven" or a height."""
        return self._call(self._client.read, namespace, key, at=at, max_age_s=max_age_s)

    def held(self, subject: Subject, *, at: str | int = "latest") -> SubjectContent:
        """Returns a subject's content; the node's claim, not proven."""
        return self._call(self._client.held, subject, at=at)

    def get(
        self, namespace: str, key: bytes | str, *, verify: bool = True, max_age_s: float | None = None
    ) -> bytes | None:
        """Returns a key's value, proven unless `verify=False`; `None` if it has none."""
        return self._call(self._client.get, namespace, key, verify=verify, max_age_s=max_age_s)

    def get_many(
        self,
        namespace: str,
        keys: Iterable[K],
        *,
        verify: bool = True,
        max_age_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[K, bytes | None]:
        """Returns the values of any number of keys. Each 1,024 of them have one height and one proof, unless
        `verify=False`. `on_progress` is called from another thread."""
        get, told = self._client.get_many, on_progress
        return self._call(get, namespace, keys, verify=verify, max_age_s=max_age_s, on_progress=told)

    def account(self, address: str, *, verify: bool = True, max_age_s: float | None = None) -> Account:
        """Returns an account's record, proven unless `verify=False`."""
        return self._call(self._client.account, address, verify=verify, max_age_s=max_age_s)

    def balance(self, address: str, asset: str, *, verify: bool = True, max_age_s: float | None = None) -> Balance:
        """Returns an account's balance of an asset, proven unless `verify=False`."""
        return self._call(self._client.balance, address, asset, verify=verify, max_age_s=max_age_s)

    def proven(
        self,
        subjects: Sequence[Subject],
        *,
        at: Literal["proven", "current", "fresh"] = "proven",
        max_age_s: float | None = None,
    ) -> ProvenState:
        """Returns the content of up to 1,024 subjects, verified here, without a proof file."""
        return self._call(self._client.proven, subjects, at=at, max_age_s=max_age_s)

    def directory(self) -> list[ListedNode]:
        """Returns the nodes that the validators' owners list for clients, proven."""
        return self._call(self._client.directory)

    def prove(
        self,
        subjects: Sequence[Subject],
        *,
        at: int | Literal["proven", "current", "fresh"] = "proven",
        from_height: int = 0,
        max_age_s: float | None = None,
    ) -> ProvenState:
        """Returns the content of up to 1,024 subjects, with one proof file."""
        return self._call(self._client.prove, subjects, at=at, from_height=from_height, max_age_s=max_age_s)

    def write_with_proof(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_ms: int | None = None
    ) -> WriteProof:
        """Signs, submits, and waits until a quorum has certified the receipt and a root with the written values."""
        return self._call(self._client.write_with_proof, operations, key=key, timeout_ms=timeout_ms)

    def verify_proof(self, proof: bytes) -> VerifiedProof:
        """Returns the facts that a proof file proves, from the genesis or checkpoint alone."""
        return self._call(self._client.verify_proof, proof)

    def pool_head(self, pool: int = 1) -> bytes:
        """Returns the canonical bytes of a pool's head; proven."""
        return self._call(self._client.pool_head, pool)

    def pool_key(self, pool: int = 1) -> bytes:
        """Returns the canonical bytes of a pool's verifying key; proven."""
        return self._call(self._client.pool_key, pool)

    def pool_balance(self, asset: str, pool: int = 1) -> int:
        """Returns a pool's balance of an asset; proven."""
        return self._call(self._client.pool_balance, asset, pool)

    def pool_records(self, pool: int, first: int, limit: int = RECORDS_MAX) -> bytes:
        """Returns the records of transfers from number `first` on; unproven."""
        return self._call(self._client.pool_records, pool, first, limit)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs of the nodes that are asked: those that the user named, then those of the directory."""
        return self._client.endpoints

    @property
    def shard(self) -> int:
        """The shard that calls without an account are about."""
        return self._client.shard

    @property
    def shards(self) -> int:
        """The number of the net's shards, by the genesis; 1 without one."""
        return self._client.shards

    def shard_list(self) -> Rows[ShardFacts]:
        """Returns the shards that the net begins with, by the genesis alone."""
        return self._client.shard_list()

    def shard_of(self, address: str) -> int:
        """Returns the number of the shard that has an account, by the genesis."""
        return self._client.shard_of(address)

    def in_shard(self, shard: int) -> Self:
        """Returns this client for calls that name no account: they are about another shard then. Close this one."""
        client = self._client.in_shard(shard)
        part = copy.copy(self)
        part._client, part._whole = client, self._whole or self
        return part

    @property
    def light(self) -> LightClient:
        """The light client that checks proofs; another client can start from its checkpoint."""
        return self._client.light

    def catch_up(self) -> dict[str, Any]:
        """Follows the committees to the newest that the nodes know, and returns it."""
        return self._call(self._client.catch_up)

    def status(self) -> NodeStatus:
        """Returns the nearest node's report about itself."""
        return self._call(self._client.status)

    def validators(self) -> Answer:
        """Returns the current epoch's committee as a node reports it: `epoch`, `next` and `validators`."""
        return self._call(self._client.validators)

    def governance(self) -> Answer:
        """Returns who governs the chain as a node reports it: the operators' `seats` and their `quorum`, the open
        `proposals`, the `pauses`, and the `wanted` parameters with their hash."""
        return self._call(self._client.governance)

    def parameters(self) -> Answer:
        """Returns the rules of the current epoch as a node reports them: the protocol's `version`, the chain's
        `parameters`, and `since_epoch`, from which on these are in force."""
        return self._call(self._client.parameters)

    def chain(self) -> str:
        """Returns the chain's id."""
        return self._call(self._client.chain)

    def _call(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **named: Any) -> T:
        assert self._loop is not None
        return self._loop.call(method, *arguments, **named)
