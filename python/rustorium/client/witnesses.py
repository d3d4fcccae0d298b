"""Witnesses: further nodes that are asked for the block at a height, to detect forks.

Invariants: a witness is only asked whether it has the same block; a different block counts only if the light client
finds it final; witnesses never get a token.
"""

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import anyio
import httpx2

from rustorium import _native
from rustorium.access.tls import Tls
from rustorium.client import wire
from rustorium.client.light import LightClient
from rustorium.client.proofs import require_certificate
from rustorium.client.transport import Transport
from rustorium.client.trust import translate_errors
from rustorium.errors import ChainForked, NotFound, RustoriumError, WitnessesSilent
from rustorium.types import Block

WAIT_S = 3.0
"""Maximum time that a witness may lag behind."""
PAUSE_S = 0.05
CONFIRMED_MAX = 256
CHANGES_PAGE = 100


class Witnesses:
    """The witnesses of one client; they are separate from its endpoints."""

    def __init__(
        self,
        urls: Sequence[str],
        transport: httpx2.AsyncBaseTransport | None,
        light: Callable[[], LightClient],
        tls: Tls | None = None,
    ) -> None:
        self._all = [_Witness(url, Transport([url], transport, tls=tls)) for url in urls]
        self._light = light
        self._confirmed: OrderedDict[str, None] = OrderedDict()
        """Digests of headers that a witness has confirmed."""

    def for_shard(self, shard: int, light: Callable[[], LightClient]) -> Self:
        """Returns the same witnesses, which are asked about this shard; `light` checks what they answer."""
        part = copy.copy(self)
        part._all = [_Witness(one.url, one.transport.for_shard(shard)) for one in self._all]
        part._light = light
        return part

    async def aclose(self) -> None:
        """Closes all connections."""
        for witness in self._all:
            await witness.transport.aclose()

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._all)

    async def add_heights(self, chain: str, heights: list[int], deadline: float) -> None:
        """Appends the newest heights of the witnesses that answer and are of the chain; the witnesses' claims."""

        async def ask(witness: _Witness) -> None:
            with contextlib.suppress(RustoriumError):
                of, height, _ = await witness.transport.get(wire.progress, "/v1/status", deadline)
                if of == chain:
                    heights.append(height)

        async with anyio.create_task_group() as tasks:
            for witness in self._all:
                tasks.start_soon(ask, witness)

    async def confirm(self, proof: bytes, facts: Mapping[str, Any], source: str) -> None:
        """Asks all witnesses for the header of a checked proof. One that has it is enough; one that shows another final
        header is evidence of a fork. Errors: ChainForked, WitnessesSilent."""
        digest = str(facts["claimed_by"]["digest"])
        if not self._all or digest in self._confirmed:
            return
        silent: list[str] = []
        forks: list[ChainForked] = []

        async def ask(witness: _Witness) -> None:
            try:
                await witness.compare(self._light(), proof, facts, source)
            except ChainForked as error:
                forks.append(error)
            except RustoriumError as error:
                silent.append(str(error) if witness.url in str(error) else f"{witness.url}: {error}")

        async with anyio.create_task_group() as tasks:
            for witness in self._all:
                tasks.start_soon(ask, witness)
        if forks:
            raise forks[0]
        if len(silent) == len(self._all):
            raise WitnessesSilent(
                f"no witness has block {facts['claimed_by']['height']} ({'; '.join(silent)}): check the witnesses' "
                "URLs, and don't rely on the answer if it stays so"
            )
        self._confirmed[digest] = None
        while len(self._confirmed) > CONFIRMED_MAX:
            self._confirmed.popitem(last=False)


class _Witness:
    def __init__(self, url: str, transport: Transport) -> None:
        self.url = url
        self.transport = transport

    async def compare(self, light: LightClient, proof: bytes, facts: Mapping[str, Any], source: str) -> None:
        """Returns if the witness has the same header. It then has all earlier ones, since headers name their parents.

        Errors: ChainForked; others if it has no header, or one that isn't final."""
        found = await self._block(int(facts["claimed_by"]["height"]))
        require_certificate(found)
        if translate_errors(_native.block_digest, found.raw) == facts["claimed_by"]["digest"]:
            return
        await self._find_other_end(light, int(facts["epoch"]))
        other = translate_errors(_native.wrap_proof, "block", found.raw, found.proof)
        await light.show(other)
        raise light.fork(proof, other, (source, self.url))

    async def _find_other_end(self, light: LightClient, epoch: int) -> None:
        """Looks for an earlier epoch whose end differs: its committee signed both ends, and the light client reports
        it. Errors: those of `LightClient.follow`."""
        first = next((number for number in range(epoch) if light.end_of(number) is not None), epoch)
        while first < epoch:
            params: dict[str, str | int] = {"from": first, "limit": CHANGES_PAGE}
            deadline = anyio.current_time() + WAIT_S
            changes = await self.transport.get(wire.epoch_changes, "/v1/epochs", deadline, params=params)
            for change in changes:
                number, height, digest = translate_errors(_native.describe_change, change)
                if light.end_of(number) not in (None, (height, digest)):
                    light.follow(change)
            if not changes:
                return
            first += len(changes)

    async def _block(self, height: int) -> Block:
        deadline = anyio.current_time() + WAIT_S
        while True:
            try:
                return await self.transport.get(wire.block, f"/v1/blocks/{height}", deadline, params={"proof": 1})
            except NotFound:
                if anyio.current_time() + PAUSE_S >= deadline:
                    raise
                await anyio.sleep(PAUSE_S)
