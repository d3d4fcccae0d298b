"""The asynchronous client's base: connections, the signing key and the light client.

Invariants: given a genesis or checkpoint, every answer that comes with a proof or certificate is checked before it is
returned.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx2

from rustorium import _native
from rustorium.access.bearer import Tokens
from rustorium.access.genesis import read_genesis
from rustorium.access.tls import Tls
from rustorium.client import wire
from rustorium.client.events import EventStream
from rustorium.client.floors import Floors
from rustorium.client.keys import Key
from rustorium.client.light import LightClient
from rustorium.client.sender import Sender
from rustorium.client.transport import Transport
from rustorium.client.witnesses import Witnesses
from rustorium.errors import GenesisNeeded, UsageError
from rustorium.types import NodeStatus, Receipt

TIMEOUT_S = 30.0
CHANGES_PAGE = 100
DIGEST_DIGITS = 64


class ClientBase:
    """One chain's nodes, the signing key, and the light client that checks the nodes' answers."""

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
    ) -> None:
        urls = [endpoints] if isinstance(endpoints, str) else endpoints
        self._transport = Transport(urls, transport, token, tls)
        self._genesis = read_genesis(Path(genesis)) if isinstance(genesis, (str, Path)) else genesis
        self._checkpoint = Path(checkpoint).read_bytes() if isinstance(checkpoint, (str, Path)) else checkpoint
        self._trust_period_s = trust_period_s
        self._trust_file = trust_file
        self._max_age_s = max_age_s
        self._witnesses = Witnesses(list(witnesses), transport, lambda: self.light, tls)
        self._light: LightClient | None = None
        self._chain = _native.genesis_hash(self._genesis) if self._genesis is not None else None
        if self._checkpoint is not None and self.light.chain != (self._chain or self.light.chain):
            raise UsageError("the checkpoint is of another chain than the genesis: give those of one chain")
        self._key = key
        self._timeout_s = timeout_s
        self._streams: list[EventStream] = []
        self._floors = Floors()
        self._sender = Sender(self._transport, self._check_receipt, self.chain)

    def __repr__(self) -> str:
        """Names the endpoints and the chain, but no secret."""
        urls = ", ".join(one.url for one in self._transport.endpoints.all)
        return f"<{type(self).__name__} of chain {self._chain[:8] if self._chain else 'unknown'} at {urls}>"

    @property
    def light(self) -> LightClient:
        """The light client that checks proofs, started at the checkpoint or else at the genesis. Errors:
        GenesisNeeded."""
        if self._light is None:
            if self._checkpoint is not None:
                self._light = self._start(self._checkpoint, checkpoint=True)
            elif self._genesis is not None:
                self._light = self._start(self._genesis)
            else:
                raise GenesisNeeded(
                    "nothing can be checked without the chain's genesis: give genesis=PATH or checkpoint=PATH to "
                    "the client"
                )
        return self._light

    def _start(self, anchor: bytes, *, checkpoint: bool = False) -> LightClient:
        return LightClient(
            anchor,
            checkpoint=checkpoint,
            trust_period_s=self._trust_period_s,
            trust_file=self._trust_file,
            fetch=self._fetch_changes,
        )

    async def status(self) -> NodeStatus:
        """Returns the nearest node's report about itself."""
        return wire.parse(wire.node_status, await self._read("/v1/status"))

    async def validators(self) -> wire.Answer:
        """Returns the current epoch's committee as a node reports it: `epoch`, `next` and `validators`."""
        return wire.parse(wire.committee, await self._read("/v1/validators"))

    async def chain(self) -> str:
        """Returns the chain's id, which is the genesis hash; without genesis and checkpoint it is the node's claim."""
        if self._chain is None:
            trusted = self._checkpoint is not None
            self._chain = self.light.chain if trusted else (await self.status()).chain
        return self._chain

    def _trusts(self) -> bool:
        return self._genesis is not None or self._checkpoint is not None

    async def _check_receipt(self, proof: bytes) -> dict[str, Any] | None:
        """Returns the facts of a receipt's proof (canonical bytes); `None` without a genesis or checkpoint."""
        if not self._trusts():
            return None
        return await self._show(self.light, _native.wrap_proof("receipt", proof))

    async def _show(self, light: LightClient, proof: bytes, max_age_s: float | None = None) -> dict[str, Any]:
        """Checks a proof (canonical bytes) and asks the witnesses for its header; returns its facts. Errors:
        VerificationFailed, WitnessesSilent."""
        facts = await light.show(proof, max_age_s=max_age_s)
        await self._witnesses.confirm(proof, facts, ", ".join(one.url for one in self._transport.endpoints.all))
        return facts

    async def catch_up(self) -> dict[str, Any]:
        """Follows the committees to the newest that the nodes know. Returns its chain, its epoch, and the block that it
        follows.

        Errors: VerificationFailed, GenesisNeeded."""
        return await self.light.catch_up()

    async def _fetch_changes(self, first: int) -> list[bytes]:
        body = await self._read("/v1/epochs", params={"from": first, "limit": CHANGES_PAGE})
        return wire.parse(wire.epoch_changes, body)

    def _wrote(self, receipt: Receipt | None) -> None:
        """Notes a receipt of this client's own write: later proven reads of its shard are not below it."""
        if receipt is not None:
            self._floors.write(receipt, time.time_ns() // 1_000_000)

    def _deadline(self, timeout_s: float | None) -> float:
        return anyio.current_time() + (self._timeout_s if timeout_s is None else timeout_s)

    def _lifetime_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _signer(self, key: Key | None) -> Key:
        signer = key or self._key
        if signer is None:
            raise UsageError("no key is given to sign with: give key= to the method or to the client")
        return signer

    async def _read(self, path: str, *, params: dict[str, str | int] | None = None, absent: bool = False) -> Any:
        return await self._transport.get(path, self._deadline(None), params=params, absent=absent)


def hex_of(text: str, what: str) -> str:
    """Returns 64 hex digits in lower case. Errors: UsageError."""
    try:
        if len(bytes.fromhex(text)) * 2 == DIGEST_DIGITS == len(text):
            return text.lower()
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not {what}: give its {DIGEST_DIGITS} hex digits")


def address_of(text: str) -> str:
    """Checks an account's address and returns it unchanged. Errors: UsageError."""
    try:
        _native.parse_address(text)
    except (ValueError, TypeError):
        raise UsageError(f"{text!r} is not an address: give one as it was printed, such as rs1q…") from None
    return text
