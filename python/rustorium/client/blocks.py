"""Methods that read blocks, wait for them and check them.

Invariants: a block is called valid only after its certificate, ancestry and payload root were checked here.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from rustorium import _native, arguments
from rustorium.client import wire
from rustorium.client.proofs import check_block, require_certificate
from rustorium.client.transactions import TransactionMethods
from rustorium.client.trust import translate_errors
from rustorium.errors import (
    BadResponse,
    ClientError,
    NotFound,
    NotReady,
    ProofRefused,
    RustoriumError,
    UsageError,
    VerificationFailed,
)
from rustorium.records import Rows
from rustorium.types import Block, Receipt, SignedTransaction
from rustorium.zk import blockproofs
from rustorium.zk.blockproofs import BlockProofs, ProofInBlock, Verifier

T = TypeVar("T")
POLL_S_MIN, POLL_S_MAX = 0.02, 0.5
READERS = 8
"""Maximum number of concurrent requests for a block's transactions."""


class BlockMethods(TransactionMethods):
    """The client's methods about blocks."""

    async def block(self, which: int | str = "latest", *, proof: bool = True) -> Block:
        """Returns a final block by height, digest or "latest". Errors: NotFound, ProofRefused if the nodes are of
        another chain."""
        return (await self._block_from(which, proof))[0]

    async def _block_from(self, which: int | str, proof: bool) -> tuple[Block, str]:
        named = _named(which)
        try:
            return await self._read_from(
                partial(_asked, named), f"/v1/blocks/{named}", params={"proof": int(proof)}, absent=True
            )
        except NotFound:
            await self._require_own_chain()
            raise

    async def block_receipts(self, which: int | str, *, verify: bool = True) -> Rows[Receipt]:
        """Returns all receipts of a final block, in order.

        Given a genesis or checkpoint, it waits until each receipt is certified, and checks it here. It can't check
        that the node left out none at the end. With `verify=False` everything is the node's claim.

        Errors: NotFound, NotReady if they aren't certified before the deadline, VerificationFailed, also if the nodes
        are of another chain."""
        deadline = self._deadline(None)
        receipts, url = await self._receipts_told(which)
        if not (verify and self._trusts()) or not receipts:
            return receipts
        height = which
        if isinstance(which, str):
            height = (await self.validate_block(await self.block(which))).height
        try:
            in_order(receipts, height)
            await for_each(receipts, lambda receipt: self._confirm(receipt, deadline))
        except VerificationFailed as error:
            raise error.about(url, "{} listed them") from None
        return receipts

    async def _confirm(self, receipt: Receipt, deadline: float) -> None:
        """Waits until a receipt is certified, and compares it with the proven one."""
        pause = POLL_S_MIN
        while not (status := await self.get_transaction(receipt.transaction)).proven:
            if anyio.current_time() + pause >= deadline:
                raise NotReady(
                    f"the receipts of block {receipt.height} are not certified yet: ask again in a moment, or add "
                    "verify=False to take the node's word"
                )
            await anyio.sleep(pause)
            pause = min(2 * pause, POLL_S_MAX)
        if status.receipt != receipt:
            raise ProofRefused(
                f"block {receipt.height} has another receipt at place {receipt.index} than the node said: don't trust "
                "that node"
            )

    async def _receipts_told(self, which: int | str) -> tuple[Rows[Receipt], str]:
        """Returns a block's receipts as nodes list them, and the URL of the node that listed the last of them."""
        found: list[Receipt] = []
        named, after = _named(which), None
        while True:
            params: dict[str, str | int] = {"limit": 100} | ({"after": after} if after is not None else {})
            try:
                (receipts, after), url = await self._read_from(
                    _receipts_page, f"/v1/blocks/{named}/receipts", params=params, absent=True
                )
            except NotFound:
                await self._require_own_chain()
                raise
            found += receipts
            if after is None:
                return Rows(found), url

    async def propose_block(
        self, transactions: Sequence[SignedTransaction], *, timeout_ms: int | None = None
    ) -> tuple[Block, ...]:
        """Submits transactions, waits until they are final, and returns their checked blocks in height order.

        Errors: those of `submit_transaction`, for the first transaction that failed."""
        heights: set[int] = set()
        for result in await self.submit_all(transactions, timeout_ms=timeout_ms):
            if isinstance(result, ClientError):
                raise result
            assert result.receipt is not None
            heights.add(result.receipt.height)
        return tuple([await self.wait_for_quorum(height, timeout_ms=timeout_ms) for height in sorted(heights)])

    async def validate_block(self, block: Block) -> Block:
        """Checks certificate, ancestry and payload root against the genesis or checkpoint. Returns the block with its
        signers.

        Errors: ProofRefused, GenesisNeeded."""
        require_certificate(arguments.instance(block, Block, "block", "client.block returns one"))
        checked = await check_block(self.light, block, await self.block(block.parent))
        await self._show(self.light, translate_errors(_native.wrap_proof, "block", block.raw, block.proof))
        return replace(checked, signed_by=self.light.signers(checked.digest))

    async def wait_for_quorum(self, what: int | str, *, timeout_ms: int | None = None) -> Block:
        """Waits until a height, or the block of a transaction id, is final; returns the block with its certificate.

        Given a genesis or checkpoint, the block is checked. That it holds the transaction is the node's claim.
        Errors: NotReady at the deadline, ProofRefused."""
        deadline = self._deadline_ms(timeout_ms)
        pause = POLL_S_MIN
        while True:
            found = await self._final_block(what)
            if found is not None:
                block, url = found
                try:
                    return await self.validate_block(block) if self._trusts() else block
                except VerificationFailed as error:
                    raise error.about(url) from None
            if anyio.current_time() + pause >= deadline:
                raise NotReady(
                    f"{what} was not final before the deadline: wait longer, or check that the net makes blocks"
                )
            await anyio.sleep(pause)
            pause = min(2 * pause, POLL_S_MAX)

    async def _final_block(self, what: int | str) -> tuple[Block, str] | None:
        """Returns a block with its certificate, and the URL of the node that has it; `None` if none has it yet."""
        _named(what)
        height = what
        if isinstance(what, str):
            receipt = (await self.get_transaction(what, verify=False)).receipt
            if receipt is None:
                return None
            height = receipt.height
        try:
            found = await self._block_from(height, True)
        except NotFound:
            return None
        return found if found[0].proof else None

    async def prove_block(self, which: int | str) -> bytes:
        """Returns the proof file of a final block's header. Errors: NotFound, VerificationFailed, GenesisNeeded."""
        light = self.light
        found, url = await self._block_from(which, True)
        try:
            require_certificate(found)
            header, digest = await light.check_block(found)
            if (header.get("height"), digest) != (found.height, found.digest):
                raise ProofRefused(f"block {found.height} is another one than the node said: don't trust that node")
            proof = translate_errors(_native.wrap_proof, "block", found.raw, found.proof)
            return await light.file(proof, await self._show(light, proof))
        except VerificationFailed as error:
            raise error.about(url) from None

    async def verify_block_proofs(self, height: int, verifiers: Sequence[Verifier]) -> BlockProofs:
        """Checks the Groth16 proofs in a final block on this machine.

        It checks that a quorum certified their transactions as executed in the block and the others as failed, and that
        the proofs for these verifiers hold, as one equation. Errors: ZkRefused names a bad proof; NotFound, NotReady
        until the block's results are certified, VerificationFailed, GenesisNeeded."""
        deadline = self._deadline(None)
        receipts, url = await self._receipts_told(height)
        good = [receipt for receipt in receipts if receipt.ok]
        failed = [receipt for receipt in receipts if not receipt.ok]
        found: dict[str, list[ProofInBlock]] = {}

        async def one(receipt: Receipt) -> None:
            facts = json.loads(await self.prove_transaction(receipt.transaction))["facts"]
            found[receipt.transaction] = wire.parse(partial(blockproofs.in_block, receipt=receipt), facts)

        try:
            in_order(receipts, height)
            await for_each(good, one)
            await for_each(failed, lambda receipt: self._confirm(receipt, deadline))
        except VerificationFailed as error:
            raise error.about(url, "{} listed them") from None
        proofs = [proof for receipt in good for proof in found[receipt.transaction]]
        return await anyio.to_thread.run_sync(blockproofs.check, height, proofs, verifiers)


def _named(which: int | str) -> int | str:
    """Returns a block's height, digest or "latest" as it stands in a path. Errors: UsageError."""
    if type(which) is int or which == "latest":
        return which
    if not isinstance(which, str):
        kind = arguments.kind_of(which)
        raise UsageError(f'a block is named by its height, its digest or "latest", not {kind}')
    return arguments.hex_of(which, "a block's digest")


def _asked(named: int | str, answer: wire.Answer) -> Block:
    """Returns the block that was asked for. Its check compares what is claimed here with the block itself. Errors:
    BadResponse for another one: it may be final, too, and is no answer."""
    block = wire.block(answer)
    if named not in (block.height, block.digest, "latest"):
        raise BadResponse(f"a node sent block {block.height} where block {named} was asked for: ask another node")
    return block


def _receipts_page(answer: wire.Answer) -> tuple[list[Receipt], str | None]:
    """Returns the receipts of a page, and the cursor of the next one."""
    shard, after = wire.shard_of(answer), answer.get("next")
    return [wire.receipt(item, shard) for item in answer["receipts"]], str(after) if after is not None else None


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Runs `work` for each item, for some at a time. The first fault ends the others.

    Errors: that of `work`; a ProofRefused before any other."""
    room = anyio.CapacityLimiter(READERS)
    faults: list[RustoriumError] = []

    async def one(item: T) -> None:
        async with room:
            try:
                await work(item)
            except RustoriumError as error:
                faults.append(error)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for item in items:
            tasks.start_soon(one, item)
    if faults:
        raise next((fault for fault in faults if isinstance(fault, ProofRefused)), faults[0])


def in_order(receipts: Sequence[Receipt], height: int | str) -> None:
    """Checks that receipts are of this height and numbered without gaps. Errors: ProofRefused."""
    if [(one.height, one.index) for one in receipts] != [(height, index) for index in range(len(receipts))]:
        raise ProofRefused(f"the receipts of block {height} are not its own, in order: don't trust that node")
