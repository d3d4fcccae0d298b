"""The asynchronous client's base: connections, the signing key and the light client.

Invariants: given a genesis or checkpoint, every answer that comes with a proof or certificate is checked before it is
returned.
"""

import contextlib
import copy
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import anyio
import httpx2
from anyio.abc import TaskGroup

from rustorium import _native, arguments
from rustorium.access.bearer import Tokens
from rustorium.access.genesis import encoded_genesis, read_genesis
from rustorium.access.tls import Tls
from rustorium.access.zone import zone_place
from rustorium.client import wire
from rustorium.client.endpoints import Endpoint
from rustorium.client.events import EventStream
from rustorium.client.finder import Finder, listed_nodes
from rustorium.client.floors import Floors
from rustorium.client.governance import check_hashes
from rustorium.client.keys import Key
from rustorium.client.light import LightClient
from rustorium.client.sender import Sender
from rustorium.client.shards import is_system
from rustorium.client.transport import Transport
from rustorium.client.trust import shard_of_checkpoint, translate_errors
from rustorium.client.witnesses import Witnesses
from rustorium.errors import (
    EpochUnknown,
    GenesisNeeded,
    NotFound,
    ProofPruned,
    ProofRefused,
    Pruned,
    RustoriumError,
    UsageError,
)
from rustorium.geo.places import parse_place
from rustorium.records import Rows
from rustorium.types import NodeStatus, Receipt, ShardFacts

if TYPE_CHECKING:
    from rustorium.client.state import StateMethods

T = TypeVar("T")
TIMEOUT_S = 30.0
CHAIN_S = 3.0
"""Time that nodes have to say which chain they are of."""
CHANGES_PAGE = 100
ACCOUNT_PATH = re.compile(r"/v1/accounts/([^/]+)")
AT_VARIABLE = "RUSTORIUM_AT"
HERE = "here"
"""In place of a place: that of this machine's time zone."""
SECOND_VERSION = 2
"""The first protocol version whose transactions several keys can sign."""


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
        at: str | None = None,
    ) -> None:
        urls = [endpoints] if isinstance(endpoints, str) else endpoints
        if not isinstance(urls, Iterable):
            raise arguments.refused("endpoints", "the URL of a node, or a list of URLs", endpoints)
        arguments.many(witnesses, "witnesses", "URLs")
        self._timeout_s = arguments.seconds(timeout_s, "timeout_s")
        self._trust_period_s = trust_period_s
        self._trust_file = arguments.path(trust_file, "trust_file") if trust_file is not None else None
        self._max_age_s = arguments.seconds(max_age_s, "max_age_s") if max_age_s is not None else None
        self._key = _checked_key(key) if key is not None else None
        found = content_or_path(genesis, "genesis") if genesis is not None else None
        self._genesis = _canonical(found) if found is not None else None
        start = content_or_path(checkpoint, "checkpoint") if checkpoint is not None else None
        self._checkpoint = start.read_bytes() if isinstance(start, Path) else start
        self._shard = shard_of_checkpoint(self._checkpoint) if self._checkpoint is not None else 0
        self._transport = Transport(list(urls), transport, token, tls).for_shard(self._shard)
        asked = Witnesses(list(witnesses), transport, lambda: self.light, tls)
        self._witnesses = asked.for_shard(self._shard, lambda: self.light)
        self._light: LightClient | None = None
        self._chain = _native.genesis_hash(self._genesis) if self._genesis is not None else None
        if self._checkpoint is not None and self.light.chain != (self._chain or self.light.chain):
            raise UsageError(
                f"the checkpoint is of another chain ({self.light.chain}) than the genesis ({self._chain}): give those "
                "of one chain"
            )
        self._shards = _native.Shards(self._genesis) if self._genesis is not None else None
        self._parts: dict[int, Any] = {self._shard: self}
        self._known_version_2 = self._is_own_chain = False
        self._streams: list[EventStream] = []
        self._floors = Floors()
        self._sender = self._new_sender()
        named = at if at is not None else os.environ.get(AT_VARIABLE) or None
        if named is not None and (at is not None or self._trusts()):
            place = zone_place() if named == HERE else parse_place(arguments.text(named, "at"))
            read = partial(listed_nodes, cast("StateMethods", self))
            self._transport.find = Finder(self._transport, self.light.chain, place, read)

    def _new_sender(self) -> Sender:
        check = self._check_receipt if self._trusts() else None
        return Sender(self._transport, check, self.chain, self._has_version_2)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs of the nodes that are asked: those that the user named, then those of the directory."""
        return tuple(endpoint.url for endpoint in self._transport.endpoints.all)

    @property
    def shard(self) -> int:
        """The shard that calls without an account are about, such as `status`, `block` and events."""
        return self._shard

    @property
    def shards(self) -> int:
        """The number of the net's shards, by the genesis; 1 without one."""
        return len(self._shards) if self._shards is not None else 1

    def in_shard(self, shard: int) -> Self:
        """Returns this client for calls that name no account: they are about another shard then. It shares connections,
        key and state with this one, which is the one to be closed. Errors: UsageError, GenesisNeeded."""
        arguments.whole(shard, "shard")
        if (known := cast(Self | None, self._parts.get(shard))) is not None:
            return known
        if self._shards is None:
            raise GenesisNeeded(f"only the genesis tells how to check shard {shard}: give genesis=PATH to the client")
        if not 0 <= shard < len(self._shards):
            raise UsageError(f"the net has the shards 0 to {len(self._shards) - 1}, not {shard}")
        part = copy.copy(self)
        part._shard, part._light, part._known_version_2 = shard, None, False
        part._checkpoint = None
        part._transport = self._transport.for_shard(shard)
        part._witnesses = self._witnesses.for_shard(shard, lambda: part.light)
        part._sender = part._new_sender()
        self._parts[shard] = part
        return part

    def shard_list(self) -> Rows[ShardFacts]:
        """Returns the shards that the net begins with, by the genesis alone. Errors: GenesisNeeded."""
        if self._shards is None:
            raise GenesisNeeded("only the genesis lists the shards: give genesis=PATH to the client")
        listed = self._shards.list()
        above = [first for first, _ in listed[1:]]
        parts = zip(listed, [*above, None], strict=True)
        return Rows(ShardFacts(shard, first, to, tuple(names)) for shard, ((first, names), to) in enumerate(parts))

    def shard_of(self, address: str) -> int:
        """Returns the number of the shard that has an account, by the genesis. Errors: UsageError."""
        return self._shards.of(address_of(address)) if self._shards is not None else self._shard

    def _part_of(self, address: str) -> Self:
        """Returns the part of this client for the shard that has an account: this one for owners and seats, which each
        shard has."""
        if self.shards == 1 or is_system(address_of(address)):
            return self
        return self.in_shard(self.shard_of(address))

    def __repr__(self) -> str:
        """Names the endpoints and the chain, but no secret."""
        urls = ", ".join(self.endpoints)
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
            trust_file=self._trust_path(),
            shard=0 if checkpoint else self._shard,
            fetch=self._fetch_changes,
        )

    def _trust_path(self) -> Path | None:
        """Each shard but the root has a trust file of its own, beside the root's."""
        file = self._trust_file
        return file if file is None or not self._shard else file.with_name(f"{file.name}.shard-{self._shard}")

    async def status(self) -> NodeStatus:
        """Returns the nearest node's report about itself."""
        return await self._read(wire.node_status, "/v1/status")

    async def validators(self) -> wire.Answer:
        """Returns the current epoch's committee as a node reports it: `epoch`, `next` and `validators`."""
        return await self._read(wire.committee, "/v1/validators")

    async def governance(self) -> wire.Answer:
        """Returns who governs the chain as a node reports it: the operators' `seats` and their `quorum`, the open
        `proposals`, the `pauses`, and the `wanted` parameters with their hash.

        Errors: ProofRefused if a change or the parameters stand beside another hash than theirs."""
        answer = await self._read(wire.governance, "/v1/governance")
        check_hashes(answer)
        return answer

    async def parameters(self) -> wire.Answer:
        """Returns the rules of the current epoch as a node reports them: the protocol's `version`, the chain's
        `parameters`, and `since_epoch`, from which on these are in force."""
        return await self._read(wire.in_force, "/v1/chain")

    async def chain(self) -> str:
        """Returns the chain's id, which is the genesis hash; without genesis and checkpoint it is the node's claim."""
        if self._chain is None:
            trusted = self._checkpoint is not None
            self._chain = self.light.chain if trusted else (await self.status()).chain
        return self._chain

    def _trusts(self) -> bool:
        return self._genesis is not None or self._checkpoint is not None

    async def _progress(self, endpoint: Endpoint, deadline: float) -> tuple[str, int, str]:
        """Returns which chain a node is of, its newest height, and why it isn't ready; empty if it is."""
        return wire.parse(wire.progress, await self._transport.attempt("GET", endpoint, "/v1/status", deadline))

    async def _require_own_chain(self) -> None:
        """Asks the nodes once which chain they are of, where they say that they don't have something. One of this chain
        is enough. Without a genesis or checkpoint it asks nobody.

        Errors: ProofRefused if all that answer are of other chains."""
        if self._is_own_chain or not self._trusts():
            return
        found: dict[str, str] = {}
        deadline = min(self._deadline(None), anyio.current_time() + CHAIN_S)

        async def ask(endpoint: Endpoint, tasks: TaskGroup) -> None:
            with contextlib.suppress(RustoriumError):
                found[endpoint.url], _, _ = await self._progress(endpoint, deadline)
                if found[endpoint.url] == self.light.chain:
                    tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for endpoint in self._transport.endpoints.own:
                tasks.start_soon(ask, endpoint, tasks)
        self._is_own_chain = self.light.chain in found.values()
        if found and not self._is_own_chain:
            raise of_another_chain(*next(iter(found.items())), self.light.chain)

    def _has_version_2(self) -> bool:
        """Returns whether the newest committee that was followed makes blocks of protocol version 2 or a later one. It
        never goes back, so an older view of the chain only says too little."""
        if not self._known_version_2 and self._trusts():
            self._known_version_2 = int(self.light.trusted.get("protocol_version", 1)) >= SECOND_VERSION
        return self._known_version_2

    async def _check_receipt(self, proof: bytes) -> dict[str, Any]:
        """Returns the facts of a receipt's proof (canonical bytes). Errors: VerificationFailed."""
        return await self._show(self.light, translate_errors(_native.wrap_proof, "receipt", proof))

    async def _show(self, light: LightClient, proof: bytes, max_age_s: float | None = None) -> dict[str, Any]:
        """Checks a proof (canonical bytes) and asks the witnesses for its header; returns its facts. Errors:
        VerificationFailed, WitnessesSilent."""
        facts = await light.show(proof, max_age_s=max_age_s)
        await self._witnesses.confirm(proof, facts, ", ".join(self.endpoints))
        return facts

    async def catch_up(self) -> dict[str, Any]:
        """Follows the committees to the newest that the nodes know. Returns its chain, its epoch, and the block that it
        follows.

        Errors: VerificationFailed, GenesisNeeded."""
        return await self.light.catch_up()

    async def _fetch_changes(self, first: int) -> list[bytes]:
        params: dict[str, str | int] = {"from": first, "limit": CHANGES_PAGE}
        try:
            return await self._read(wire.epoch_changes, "/v1/epochs", params=params, absent=True)
        except (NotFound, Pruned, ProofPruned) as error:
            # This 404 says that the check can't be made. It says nothing about what the caller asked for.
            raise EpochUnknown(
                f"{error.endpoint} says that it has no epoch changes from {first} on: give another node, or a newer "
                "checkpoint"
            ) from None

    def _wrote(self, receipt: Receipt | None) -> None:
        """Notes a receipt of this client's own write: later proven reads of its shard are not below it."""
        if receipt is not None:
            self._floors.write(receipt, time.time_ns() // 1_000_000)

    def _deadline(self, timeout_s: float | None) -> float:
        return anyio.current_time() + self._lifetime_s(timeout_s)

    def _lifetime_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else arguments.seconds(timeout_s, "timeout_s")

    def _deadline_ms(self, timeout_ms: int | None) -> float:
        return self._deadline(arguments.whole(timeout_ms, "timeout_ms") / 1000 if timeout_ms is not None else None)

    def _signer(self, key: Key | None) -> Key:
        signer = _checked_key(key) if key is not None else self._key
        if signer is None:
            raise UsageError("no key is given to sign with: give key= to the method or to the client")
        return signer

    async def _read(
        self,
        what: Callable[[Any], T],
        path: str,
        *,
        params: dict[str, str | int] | None = None,
        absent: bool = False,
    ) -> T:
        return (await self._read_from(what, path, params=params, absent=absent))[0]

    async def _read_from(
        self,
        what: Callable[[Any], T],
        path: str,
        *,
        params: dict[str, str | int] | None = None,
        absent: bool = False,
    ) -> tuple[T, str]:
        """Returns the parsed answer and the URL of the node that gave it. A path of an account is asked for in its
        shard."""
        named = ACCOUNT_PATH.match(path)
        part = self._part_of(named[1]) if named is not None else self
        return await part._transport.get_from(what, path, self._deadline(None), params=params, absent=absent)


def content_or_path(given: bytes | str | Path, name: str) -> bytes | Path:
    """Returns a file's content as it was given, or the file's path. Errors: UsageError."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str) and given.lstrip().startswith("{"):
        return given.encode()
    if not arguments.is_path(given):
        raise arguments.refused(name, "bytes or a path", given)
    return Path(given)


def _canonical(found: bytes | Path) -> bytes:
    return read_genesis(found) if isinstance(found, Path) else encoded_genesis(found)


def _checked_key(key: Key) -> Key:
    return arguments.instance(key, Key, "key", "open one with Key.open")


def address_of(text: str) -> str:
    """Checks an account's address and returns it unchanged. Errors: UsageError."""
    arguments.text(text, "an address")
    try:
        _native.parse_address(text)
    except (ValueError, TypeError):
        raise UsageError(f"{text!r} is not an address: give one as it was printed, such as rs1q…") from None
    return text


def of_another_chain(url: str, theirs: str, ours: str) -> ProofRefused:
    """Returns the refusal of a node that says itself that it is of another chain."""
    return ProofRefused(
        f"{url} is of chain {theirs}, and the genesis is of chain {ours}: give the genesis of the chain that you mean, "
        "and a node of it"
    )
