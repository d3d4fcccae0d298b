"""A wallet of shielded value: a sealed secret, what it found on the chain, and payments that it proves on this machine.

Invariants: its methods are those of `AsyncWallet`, on the event loop of the client that each is given; what must hold
of files and of what the chain says stands in `zk.walletfile` and `walletaio`.
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

    The secret is sealed in the file that is named, what was found on the chain in another with `.notes` behind its
    name: that one can be deleted, and a scan finds all of it again. `proving_key` names a ceremony's `proving.key`;
    without it the one at the home-wide place is used, `proving-keys/HASH.key` in RUSTORIUM_HOME or `~/.rustorium`, or
    a devnet's on a chain that has a devnet's key."""

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
        """Makes a wallet's file (0600): of a new seed, of one that is given, or of a viewing key, which can't pay.

        Errors: WalletError for a viewing key that is none, NativeError where the file exists."""
        return cls._create(path, chain, passphrase, pool, account, seed, viewing_key, proving_key)

    @classmethod
    def open(
        cls, path: str | Path, passphrase_file: str | Path | None = None, *, proving_key: str | Path | None = None
    ) -> Self:
        """Opens a wallet's file; finds the passphrase like the commands do.

        Errors: KeyFileError, WalletError where another process has it open or its notes are another's, NativeError."""
        return cls._open(path, passphrase_file, proving_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warning(self, client: Client) -> str | None:
        """What whoever uses this pool must know: that its keys are for tests, where they are."""
        return self._on(client, warning)

    def start_now(self, client: Client) -> None:
        """Skips what was in the pool before, of which a new seed got nothing. Errors: WalletError after a scan."""
        self._on(client, start_now)

    def scan(self, client: Client, on_progress: Progress | None = None) -> list[WalletEvent]:
        """Looks through what happened in the pool since the last time; what of it was this wallet's.

        `on_progress` gets the transfers that were looked at, and all there are, on the client's thread. Nothing is kept
        unless all of it comes to the head that a quorum certified. Errors: WalletError, NotReady, and those of the
        client's proven reads."""
        return self._on(client, scan, on_progress)

    def know(self, assets: Iterable[str]) -> None:
        """Tells it ids of assets, so that balances name them: notes show nothing but tags, which are hashes."""
        with self._turn:
            self._know(assets)

    def shield(
        self, client: Client, asset: str, amount: int, *, key: Key, to: str | None = None, memo: bytes = b""
    ) -> Submitted:
        """Moves an amount of the key's account into the pool, to a shielded address or to this wallet."""
        check_amount(amount)
        return self._on(client, pay, "shield", asset, amount, key, to, memo)

    def transfer(self, client: Client, to: str, asset: str, amount: int, *, key: Key, memo: bytes = b"") -> Submitted:
        """Pays an amount to a shielded address: nobody else sees to whom, what and how much. `key` is of the account
        that sends the transaction and pays for its bytes; that one shows."""
        return self._on(client, pay, "transfer", asset, amount, key, to, memo)

    def unshield(self, client: Client, to: str, asset: str, amount: int, *, key: Key) -> Submitted:
        """Moves an amount out of the pool, to an account."""
        return self._on(client, pay, "unshield", asset, amount, key, to)

    def _on(self, client: Client, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        with self._turn:
            return client._call(work, self, client._client, *arguments)


__all__: Sequence[str] = ["Holding", "Wallet", "WalletEvent"]
