"""The asynchronous client, on trio or asyncio.

Invariants: its methods are those of its parts, each of which knows the ones before it: transactions, blocks, state.
"""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from rustorium.access.bearer import Tokens
from rustorium.access.netfile import read_net
from rustorium.access.tls import Tls
from rustorium.client.base import TIMEOUT_S
from rustorium.client.convenience import ConvenienceMethods
from rustorium.client.keys import Key


class AsyncClient(ConvenienceMethods):
    """One client of one chain; use it as `async with`. `key` signs where a method is given none.

    `genesis`: canonical bytes or the path of the genesis file. `checkpoint`: content or path of a checkpoint's file, to
    start at instead. Without either nothing can be proven (GenesisNeeded). `trust_period_s`: committees that retired
    longer ago prove nothing; the default is 30 days from a checkpoint or trust file on, and from a genesis none
    (`math.inf`: never). `trust_file`: where the committees that were followed are kept for the next start. `max_age_s`:
    how old the header of a proven read may be by this machine's clock. `witnesses`: URLs of further nodes, without
    tokens; one of them must have the header of each proof, and none another final one (ChainForked has the evidence).
    `token`: a gateway token (`rsk_…`), for a node whose operator asks for one; with several endpoints `{URL: token}`.
    Each is shown to its own endpoint alone, over TLS or within this machine. `tls`: PEM files for `https://` endpoints:
    whose certificates are trusted, and the certificate to show (`Tls(ca=…, certificate=…, key=…)`)."""

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
        """A client of the net in a `devnet.json`. Errors: UsageError, HomeError."""
        net = read_net(Path(path))
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
        if self._light is not None:
            # Without room for it the next start follows again what this one followed.
            with contextlib.suppress(OSError):
                self._light.save_trust()
