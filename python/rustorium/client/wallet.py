"""A wallet of shielded value: a sealed secret, the notes that it found on the chain, and payments proven on this
machine.

Invariants: it has the methods of `AsyncWallet`, which run on the event loop of the given client; `zk.walletfile` and
`walletaio` have the rules of files and of the chain's data.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar

from rustorium.client.blocking import Client
from rustorium.client.keys import Key
from rustorium.client.walletaio import Progress, pay, scan, start_now, warning
from rustorium.types import Submitted
from rustorium.zk.walletfile import Holding, WalletEvent, WalletFile, check_amount

T = TypeVar("T")


class Wallet(WalletFile):
    """One key's notes in one pool of one chain. `create` or `open` it; a context manager that closes it.

    The named file has the sealed secret. Notes found on the chain are in a second file, whose name ends with `.notes`;
    if it is deleted, a scan finds them again. `proving_key` is the path of a ceremony's `proving.key`. Without it the
    wallet uses `proving-keys/HASH.key` in RUSTORIUM_HOME or `~/.rustorium`, or the devnet key on a chain that has
    it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._turn = Lock()

    @classmethod
    def create(
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
        """Makes a wallet file (0600) from a new seed, from a given seed, or from a viewing key, which can't pay.

        Errors: WalletError for an invalid viewing key, NativeError if the file exists."""
        return cls._create(path, chain, passphrase, pool, account, seed, viewing_key, proving_key)

    @classmethod
    def open(
        cls, path: str | Path, passphrase_file: str | Path | None = None, *, proving_key: str | Path | None = None
    ) -> Self:
        """Opens a wallet file; the passphrase is found as the commands find it.

        Errors: KeyFileError, WalletError if another process has it open or the notes are another wallet's."""
        return cls._open(path, passphrase_file, proving_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warning(self, client: Client) -> str | None:
        """Returns a warning if the pool's keys are only for tests, otherwise `None`."""
        return self._on(client, warning)

    def start_now(self, client: Client) -> None:
        """Skips the pool's earlier transfers, in which a new seed received nothing. Errors: WalletError after a
        scan."""
        self._on(client, start_now)

    def scan(self, client: Client, on_progress: Progress | None = None) -> list[WalletEvent]:
        """Scans the pool's transfers since the last scan; returns the wallet's own events.

        `on_progress` gets the number of scanned transfers and of all transfers, on the client's thread. Nothing is kept
        unless all records lead to the head that a quorum certified. Errors: WalletError, NotReady, and those of the
        client's proven reads.

        `on_progress` gets the transfers that were looked at, and all there are, on the client's thread. Nothing is kept
        unless all of it comes to the head that a quorum certified. Errors: WalletError, NotReady, and those of the
        client's proven reads."""
        return self._on(client, scan, on_progress)

    def know(self, assets: Iterable[str]) -> None:
        """Tells the wallet the ids of assets, so that balances can name them: notes contain only tags, which are
        hashes."""
        with self._turn:
            self._know(assets)

    def shield(
        self, client: Client, asset: str, amount: int, *, key: Key, to: str | None = None, memo: bytes = b""
    ) -> Submitted:
        """Moves an amount from the key's account into the pool, to a shielded address or to this wallet."""
        check_amount(amount)
        return self._on(client, pay, "shield", asset, amount, key, to, memo)

    def transfer(self, client: Client, to: str, asset: str, amount: int, *, key: Key, memo: bytes = b"") -> Submitted:
        """Pays an amount to a shielded address; receiver, amount and asset are hidden. `key` is the account that sends
        the transaction and pays for its bytes; this account is public."""
        return self._on(client, pay, "transfer", asset, amount, key, to, memo)

    def unshield(self, client: Client, to: str, asset: str, amount: int, *, key: Key) -> Submitted:
        """Moves an amount from the pool to an account."""
        return self._on(client, pay, "unshield", asset, amount, key, to)

    def _on(self, client: Client, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        with self._turn:
            return client._call(work, self, client._client, *arguments)


__all__: Sequence[str] = ["Holding", "Wallet", "WalletEvent"]
