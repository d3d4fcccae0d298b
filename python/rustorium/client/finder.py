"""Finds nodes near a client: reads the directory now and then, and hands the nearest nodes to the transport.

Invariants: no request waits long for the directory, or fails because of it; while it is being read, requests go to the
nodes that are known.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

import anyio

from rustorium import _native
from rustorium.client import directory
from rustorium.client.directory import ListedNode, records_in
from rustorium.client.light import now_ms
from rustorium.client.transport import Transport
from rustorium.errors import RustoriumError
from rustorium.geo.places import Place
from rustorium.types import Subject, Value

if TYPE_CHECKING:
    from rustorium.client.state import StateMethods


class Finder:
    """Keeps a transport's candidates up to date."""

    def __init__(
        self,
        transport: Transport,
        chain: str,
        at: Place | None,
        read: Callable[[], Awaitable[list[ListedNode]]],
        *,
        random: Random | None = None,
        file: Path | None = None,
    ) -> None:
        """`read`: returns the directory's proven records. `file`: where they are kept between runs."""
        self._transport, self._chain, self._at, self._read = transport, chain, at, read
        self._random = random or Random()
        self._file = file or directory.cache_file(chain)
        self._busy, self._loaded, self._next_s = False, False, 0.0

    async def __call__(self, deadline: float) -> None:
        """Reads the directory if that is due, in at most half of the time until the deadline."""
        now = anyio.current_time()
        if self._busy or now < self._next_s:
            return
        self._busy = True
        try:
            if not self._loaded:
                self._load(now)
            if now >= self._next_s:
                self._next_s = now + self._about(directory.RETRY_S)
                with anyio.move_on_after(max(0.0, min(directory.READ_S, (deadline - now) / 2))):
                    await self._renew()
        finally:
            self._busy = False

    def _load(self, now: float) -> None:
        """Takes what an earlier run has read."""
        self._loaded = True
        kept, read_s = directory.load(self._file, self._chain)
        age_s = time.time() - read_s
        if kept:
            self._take(kept)
        if kept and 0 <= age_s < directory.FRESH_S:
            self._next_s = now + directory.FRESH_S - age_s

    async def _renew(self) -> None:
        try:
            found = await self._read()
        except RustoriumError:
            return
        self._next_s = anyio.current_time() + self._about(directory.FRESH_S)
        self._take(found)
        directory.save(self._file, found, time.time())

    def _take(self, records: list[ListedNode]) -> None:
        own = [endpoint.url for endpoint in self._transport.endpoints.own]
        nodes = directory.usable(directory.newest(records, now_ms()), own)
        chosen, rest = directory.choose(nodes, self._at, self._random)
        self._transport.found([one.url.rstrip("/") for one in chosen], [one.url.rstrip("/") for one in rest])

    def _about(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.5, 1.5)


async def listed_nodes(client: "StateMethods", *, at: Literal["proven", "current"] = "proven") -> list[ListedNode]:
    """Returns the records of nodes in the accounts of the committee's owners, proven; `at` as for `proven`. Errors:
    VerificationFailed, NoStateRoot, Busy, Unreachable."""
    await client.light.catch_up()
    owners = sorted({owner for _, _, owner in client.light.members()})
    found = list[ListedNode]()
    for shard in sorted({client.shard_of(owner) for owner in owners}):
        part = client.in_shard(shard) if client.shards > 1 else client
        subjects = [Subject(one, key=_native.directory_key()) for one in owners if client.shard_of(one) == shard]
        for held in (await part.proven(subjects, at=at)).items.values():
            if isinstance(held, Value) and held.value is not None:
                found += records_in(held.value, client.light.chain, held.namespace)
    return found
