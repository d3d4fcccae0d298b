"""A wallet of shielded value: a sealed secret, what it found on the chain, and payments that it proves on this machine.

Invariants: secrets and notes are on disk only sealed; what the chain says of a pool is kept only where it comes to a
proven head; one process at a time uses a wallet's file; nothing here holds the GIL while it looks or proves.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ParamSpec, Self, TypeVar

from rustorium import _native
from rustorium.client.blocking import Client
from rustorium.client.keys import Key
from rustorium.client.pools import RECORDS_MAX
from rustorium.errors import KeyFileError, NotReady, UsageError, WalletError
from rustorium.home import make_folder, open_key_file
from rustorium.types import Submitted

P = ParamSpec("P")
T = TypeVar("T")

KIND = "shielded"
AMOUNT_MAX = 2**64 - 1
MERGES_MAX = 64
"""Payments to itself before one that needs more than two notes."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a wallet holds of an asset: `asset` is None where it knows the tag alone."""

    asset: str | None
    tag: str
    amount: int
    notes: int


@dataclass(frozen=True, slots=True)
class WalletEvent:
    """Something that a wallet saw: a note `received`, `spent` or `sent`, in transfer number `transfer` of the pool."""

    kind: str
    transfer: int
    amount: int
    tag: str
    to: str | None
    memo: bytes


class Wallet:
    """One key's notes in one pool of one chain. `create` or `open` it; a context manager that closes it.

    The secret is sealed in the file that is named, what was found on the chain in another with `.notes` behind its
    name: that one can be deleted, and a scan finds all of it again."""

    def __init__(self, path: Path, secret: dict[str, Any], lock: IO[bytes]) -> None:
        self.path, self._lock = path, lock
        self.chain, self.pool = str(secret["chain"]), int(secret["pool"])
        if "seed" in secret:
            seed = bytes.fromhex(secret["seed"])
            self._native = _native.ShieldedWallet.from_seed(seed, secret["account"], self.chain, self.pool)
        else:
            self._native = _native.ShieldedWallet.from_viewing_key(secret["viewing_key"], self.chain, self.pool)
        self._assets: list[str] = []
        self._prover: _native.ShieldedProver | None = None
        if self._notes.exists():
            more = json.loads(_refusing(self._native.load, self._notes.read_bytes()))
            self._assets = [str(asset) for asset in more["assets"]]

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
    ) -> Self:
        """Makes a wallet's file (0600): of a new seed, of one that is given, or of a viewing key, which can't pay.

        Errors: WalletError for a viewing key that is none, NativeError where the file exists."""
        file = Path(path).absolute()
        make_folder(file.parent)
        secret: dict[str, Any] = {"chain": chain, "pool": pool}
        if viewing_key is not None:
            _refusing(_native.ShieldedWallet.from_viewing_key, viewing_key, chain, pool)
            secret |= {"viewing_key": viewing_key}
        else:
            secret |= {"seed": (seed or _native.generate_seed()).hex(), "account": account}
        _native.seal_secret(str(file), json.dumps(secret).encode(), KIND, passphrase)
        return cls(file, secret, _locked(file))

    @classmethod
    def open(cls, path: str | Path, passphrase_file: str | Path | None = None) -> Self:
        """Opens a wallet's file; finds the passphrase like the commands do.

        Errors: KeyFileError, WalletError where another process has it open or its notes are another's, NativeError."""
        file = Path(path).absolute()
        named = Path(passphrase_file) if passphrase_file is not None else None
        try:
            secret = json.loads(open_key_file(file, KIND, named, os.environ))
        except ValueError:
            raise KeyFileError(f"{file} holds no wallet: name a file that `wallet new` made") from None
        lock = _locked(file)
        try:
            return cls(file, secret, lock)
        except BaseException:
            lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets others open it; idempotent."""
        self._lock.close()

    @property
    def address(self) -> str:
        """Where it receives: `rsz1…`."""
        return self._native.address()

    @property
    def can_pay(self) -> bool:
        """Whether it is of a seed, not of a viewing key."""
        return self._native.spends()

    def viewing_key(self, *, incoming: bool = False) -> str:
        """Its full viewing key, which sees all that it does, or the one that sees only what comes in. Neither pays.

        Errors: WalletError where it has the other one alone."""
        return _refusing(self._native.viewing_key, not incoming)

    def warning(self, client: Client) -> str | None:
        """What whoever uses this pool must know: that its keys are for tests, where they are."""
        key, warning = _native.devnet_pool_key()
        return warning if client.pool_key(self.pool) == key else None

    def start_now(self, client: Client) -> None:
        """Skips what was in the pool before, of which a new seed got nothing. Errors: WalletError after a scan."""
        self._check(client)
        _refusing(self._native.start, client.pool_head(self.pool))
        self._save()

    def scan(self, client: Client, on_progress: Callable[[int, int], None] | None = None) -> list[WalletEvent]:
        """Looks through what happened in the pool since the last time; what of it was this wallet's.

        `on_progress` gets the transfers that were looked at, and all there are. Nothing is kept unless all of it comes
        to the head that a quorum certified. Errors: WalletError, NotReady, and those of the client's proven reads."""
        self._check(client)
        head = client.pool_head(self.pool)
        total, events = _native.pool_transfers(head), []
        try:
            seen = self._native.transfers(False)
            while seen < total:
                records = client.pool_records(self.pool, seen, min(RECORDS_MAX, total - seen))
                if not records:
                    raise NotReady("the node hasn't executed the pool's newest transfers yet: scan again in a moment")
                events += [_event(event) for event in json.loads(_refusing(self._native.scan, records))]
                seen = self._native.transfers(True)
                if on_progress is not None:
                    on_progress(seen, total)
            _refusing(self._native.settle, head)
        finally:
            self._native.forget()
        self._save()
        return events

    def balances(self) -> list[Holding]:
        """What it holds, as of the last scan. An incoming viewing key doesn't know what was spent."""
        names = {self._native.asset_tag(asset): asset for asset in self._assets}
        sums: dict[str, list[int]] = {}
        for _, tag, value, _ in self._native.notes():
            sums.setdefault(tag, []).append(value)
        return [Holding(names.get(tag), tag, sum(values), len(values)) for tag, values in sorted(sums.items())]

    def balance(self, asset: str) -> int:
        """What it holds of an asset, in smallest units, as of the last scan."""
        tag = self._native.asset_tag(asset)
        return sum(holding.amount for holding in self.balances() if holding.tag == tag)

    def know(self, assets: Iterable[str]) -> None:
        """Tells it ids of assets, so that balances name them: notes show nothing but tags, which are hashes."""
        wanted = [asset for asset in dict.fromkeys(assets) if asset not in self._assets]
        for asset in wanted:
            self._native.asset_tag(asset)
        self._assets += wanted
        if wanted:
            self._save()

    def shield(
        self, client: Client, asset: str, amount: int, *, key: Key, to: str | None = None, memo: bytes = b""
    ) -> Submitted:
        """Moves an amount of the key's account into the pool, to a shielded address or to this wallet."""
        return self._pay(client, "shield", asset, amount, key, to, memo)

    def transfer(self, client: Client, to: str, asset: str, amount: int, *, key: Key, memo: bytes = b"") -> Submitted:
        """Pays an amount to a shielded address: nobody else sees to whom, what and how much. `key` is of the account
        that sends the transaction and pays for its bytes; that one shows."""
        return self._pay(client, "transfer", asset, amount, key, to, memo)

    def unshield(self, client: Client, to: str, asset: str, amount: int, *, key: Key) -> Submitted:
        """Moves an amount out of the pool, to an account."""
        return self._pay(client, "unshield", asset, amount, key, to, b"")

    def _pay(
        self, client: Client, kind: str, asset: str, amount: int, key: Key, to: str | None, memo: bytes
    ) -> Submitted:
        """Errors: WalletError where the notes don't do or the pool has no devnet's keys; those of `client.send`."""
        if not 0 < amount <= AMOUNT_MAX:
            raise UsageError(f"{amount} can't be moved at once: an amount is above 0 and below 2^64")
        self.know([asset])
        prover = self._proves(client)
        for _ in range(MERGES_MAX):
            self.scan(client)
            try:
                operation = _refusing(self._native.prove, prover, kind, key.address, asset, amount, to, memo)
            except WalletError as error:
                if error.code != "scattered":
                    raise
                merge = _refusing(self._native.prove, prover, "merge", key.address, asset, 0)
                client.send([json.loads(merge)], key=key)
                continue
            done = client.send([json.loads(operation)], key=key)
            self.scan(client)
            return done
        raise WalletError("the amount is scattered over very many notes: pay a smaller one first", code="scattered")

    def _check(self, client: Client) -> None:
        if (chain := client.chain()) != self.chain:
            raise WalletError(f"this wallet is for chain {self.chain}, the nodes serve {chain}: name its own net")

    def _proves(self, client: Client) -> _native.ShieldedProver:
        if self._prover is None:
            self._check(client)
            if self.warning(client) is None:
                raise WalletError(
                    "this pool's keys are no devnet's, and no proving key is there to pay with: look only"
                )
            self._prover = _native.ShieldedProver.insecure_devnet()
        return self._prover

    @property
    def _notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.notes")

    def _save(self) -> None:
        """By way of a rename, so that a crash leaves the old file or the new one."""
        sealed = self._native.save(json.dumps({"assets": self._assets}).encode())
        partial = self._notes.with_name(f"{self._notes.name}.partial")
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._notes)
        except OSError as error:
            raise WalletError(f"{self._notes} can't be written ({error.strerror}): free space or move it") from None


def _locked(path: Path) -> IO[bytes]:
    file = path.open("rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise WalletError(f"another process uses {path}: wait until it ends", code="wallet-locked") from None
    return file


def _event(event: dict[str, Any]) -> WalletEvent:
    return WalletEvent(
        kind=str(event["type"]),
        transfer=int(event["transfer"]),
        amount=int(event["value"]),
        tag=str(event["asset_tag"]),
        to=event.get("to"),
        memo=bytes.fromhex(event.get("memo_hex", "")),
    )


def _refusing(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return work(*arguments, **named)
    except _native.NativeError as error:
        raise WalletError(str(error.args[0]), code=error.code) from None
    except ValueError as error:
        raise UsageError(str(error)) from None


__all__: Sequence[str] = ["Holding", "Wallet", "WalletEvent"]
