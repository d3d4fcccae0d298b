"""The asynchronous wallet of shielded value, on trio or asyncio, and the operations that the blocking wallet shares.

Invariants: records are kept only if they lead to a proven head; scanning, proving and disk access run in threads, never
on the event loop, and without the GIL; a wallet does one thing at a time.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import anyio
import anyio.to_thread

from rustorium import _native
from rustorium.client.aio import AsyncClient
from rustorium.client.keys import Key
from rustorium.client.pools import RECORDS_MAX
from rustorium.errors import NotReady, WalletError
from rustorium.types import Submitted
from rustorium.zk.walletfile import WalletEvent, WalletFile, check_amount, event_of, translate_errors

P = ParamSpec("P")
T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with the number of scanned transfers and the number of all transfers."""
MERGES_MAX = 64
"""Maximum number of payments to itself before a payment that needs more than two notes."""


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Runs a function in a thread, to its end."""
    return await anyio.to_thread.run_sync(partial(work, *arguments, **named))


async def check_chain(wallet: WalletFile, client: AsyncClient) -> None:
    """Checks that the nodes serve the wallet's chain. Errors: WalletError."""
    if (chain := await client.chain()) != wallet.chain:
        raise WalletError(f"this wallet is for chain {wallet.chain}, the nodes serve {chain}: name its own net")


async def warning(wallet: WalletFile, client: AsyncClient) -> str | None:
    """Returns a warning if the pool's keys are only for tests, otherwise `None`."""
    key, warning = _native.devnet_pool_key()
    return warning if await client.pool_key(wallet.pool) == key else None


async def start_now(wallet: WalletFile, client: AsyncClient) -> None:
    """Skips the pool's earlier transfers."""
    await check_chain(wallet, client)
    translate_errors(wallet._native.start, await client.pool_head(wallet.pool))
    await in_thread(wallet._save)


async def scan(wallet: WalletFile, client: AsyncClient, on_progress: Progress | None = None) -> list[WalletEvent]:
    """Scans the pool's transfers since the last scan; returns the wallet's own events."""
    await check_chain(wallet, client)
    native, head = wallet._native, await client.pool_head(wallet.pool)
    total, events = _native.pool_transfers(head), []
    try:
        seen = native.transfers(False)
        while seen < total:
            records = await client.pool_records(wallet.pool, seen, min(RECORDS_MAX, total - seen))
            if not records:
                raise NotReady("the node hasn't executed the pool's newest transfers yet: scan again in a moment")
            found = json.loads(await in_thread(translate_errors, native.scan, records))
            events += [event_of(event) for event in found]
            seen = native.transfers(True)
            if on_progress is not None:
                on_progress(seen, total)
        translate_errors(native.settle, head)
    finally:
        native.forget()
    await in_thread(wallet._save)
    return events


async def pay(
    wallet: WalletFile,
    client: AsyncClient,
    kind: str,
    asset: str,
    amount: int,
    key: Key,
    to: str | None = None,
    memo: bytes = b"",
) -> Submitted:
    """Proves and sends a `shield`, `transfer` or `unshield`; first merges notes by payments to itself if it needs more
    than two.

    Errors: WalletError if the notes aren't enough or there is no proving key; those of `client.send`."""
    check_amount(amount)
    await check_chain(wallet, client)
    await in_thread(wallet._know, [asset])
    prover = await in_thread(wallet._proves, await client.pool_key(wallet.pool))

    async def prove(kind: str, amount: int, *more: Any) -> dict[str, Any]:
        proved = await in_thread(
            translate_errors, wallet._native.prove, prover, kind, key.address, asset, amount, *more
        )
        operation: dict[str, Any] = json.loads(proved)
        return operation

    for _ in range(MERGES_MAX):
        await scan(wallet, client)
        try:
            operation = await prove(kind, amount, to, memo)
        except WalletError as error:
            if error.code != "scattered":
                raise
            await client.send([await prove("merge", 0)], key=key)
            continue
        done = await client.send([operation], key=key)
        await scan(wallet, client)
        return done
    raise WalletError("the amount is spread over very many notes: pay a smaller amount first", code="scattered")


class AsyncWallet(WalletFile):
    """One key's notes in one pool of one chain, for an `AsyncClient`. `Wallet` describes the methods. `create`, `open`
    and `know` wait for the disk, so they are asynchronous, too: `async with await AsyncWallet.open(…) as wallet`."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._turn = anyio.Lock()

    @classmethod
    async def create(
        cls,
        path: str | Path,
        chain: str,
        *,
        passphrase: bytes,
        pool: int = 1,
        account: int = 0,
        seed: bytes | None = None,
        viewing_key: str | None = None,
        proving_key: str | Path | None = None,
    ) -> Self:
        """Makes a wallet file. Errors: as `Wallet.create`."""
        return await in_thread(cls._create, path, chain, passphrase, pool, account, seed, viewing_key, proving_key)

    @classmethod
    async def open(
        cls, path: str | Path, passphrase_file: str | Path | None = None, *, proving_key: str | Path | None = None
    ) -> Self:
        """Opens a wallet file. Errors: as `Wallet.open`."""
        return await in_thread(cls._open, path, passphrase_file, proving_key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def warning(self, client: AsyncClient) -> str | None:
        """Returns a warning if the pool's keys are only for tests, otherwise `None`."""
        return await warning(self, client)

    async def start_now(self, client: AsyncClient) -> None:
        """Skips the pool's earlier transfers. Errors: WalletError after a scan."""
        async with self._turn:
            await start_now(self, client)

    async def scan(self, client: AsyncClient, on_progress: Progress | None = None) -> list[WalletEvent]:
        """Scans the pool's transfers since the last scan; returns the wallet's own events."""
        async with self._turn:
            return await scan(self, client, on_progress)

    async def know(self, assets: Iterable[str]) -> None:
        """Tells the wallet the ids of assets, so that balances can name them."""
        async with self._turn:
            await in_thread(self._know, list(assets))

    async def shield(
        self, client: AsyncClient, asset: str, amount: int, *, key: Key, to: str | None = None, memo: bytes = b""
    ) -> Submitted:
        """Moves an amount from the key's account into the pool, to a shielded address or to this wallet."""
        async with self._turn:
            return await pay(self, client, "shield", asset, amount, key, to, memo)

    async def transfer(
        self, client: AsyncClient, to: str, asset: str, amount: int, *, key: Key, memo: bytes = b""
    ) -> Submitted:
        """Pays an amount to a shielded address."""
        async with self._turn:
            return await pay(self, client, "transfer", asset, amount, key, to, memo)

    async def unshield(self, client: AsyncClient, to: str, asset: str, amount: int, *, key: Key) -> Submitted:
        """Moves an amount from the pool to an account."""
        async with self._turn:
            return await pay(self, client, "unshield", asset, amount, key, to)
