"""The asynchronous client, on trio or asyncio.

Invariants: the methods come from a chain of base classes, in which each class uses only the ones before it:
transactions, blocks, state.
"""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from rustorium import arguments
from rustorium.access.bearer import Tokens
from rustorium.access.netfile import read_net
from rustorium.access.tls import Tls
from rustorium.client.base import TIMEOUT_S
from rustorium.client.keys import Key
from rustorium.client.signing import SigningMethods


class AsyncClient(SigningMethods):
    """A client of one chain; use it as `async with`. `key` signs if a method is called without one.

    `genesis`: canonical bytes or the path of the genesis file. `checkpoint`: content or path of a checkpoint file to
    start from instead. Without either, nothing can be proven (GenesisNeeded). `trust_period_s`: committees that retired
    longer ago are not trusted. The default is 30 days when starting from a checkpoint or trust file, and no limit
    (`math.inf`) from a genesis. `trust_file`: path of the file that keeps the followed committees and the newest
    verified height for the next start. `max_age_s`: maximum age of the header of a proven read, by this machine's
    clock. `witnesses`: URLs of further nodes, used without tokens. At least one must have the header of each proof, and
    none may have another final header (ChainForked has the evidence). `token`: a gateway token (`rsk_…`) for a node
    that requires one; with several endpoints `{URL: token}`. Each token is sent only to its own endpoint, over TLS or
    within this machine. `tls`: PEM files for `https://` endpoints: the trusted authorities and the client's own
    certificate (`Tls(ca=…, certificate=…, key=…)`). `at`: where the client is, for it to find the nearest nodes by the
    chain's directory: degrees north and east ("35.7,139.7"), a region ("asia-northeast"), or "here" for the place of
    this machine's time zone; by default `RUSTORIUM_AT`. Without a place only `endpoints` are asked."""

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
        await self._witnesses.aclose()
        await self._transport.aclose()
        for part in self._parts.values():
            if part._light is not None:
                # If the disk is full, the next start fetches the same epoch changes again.
                with contextlib.suppress(OSError):
                    part._light.save_trust()
