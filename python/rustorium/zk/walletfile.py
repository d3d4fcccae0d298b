"""A wallet of shielded value on this machine: its sealed secret, its notes and known assets, and its proving keys.

Invariants: secrets and notes are on disk only sealed; one process at a time uses a wallet's file; this module doesn't
talk to nodes.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ParamSpec, Self, TypeVar

from rustorium import _native, arguments
from rustorium.access.keyfiles import open_key_file
from rustorium.access.private import lock_now, make_folder
from rustorium.errors import KeyFileError, UsageError, WalletError
from rustorium.records import Record

P = ParamSpec("P")
T = TypeVar("T")

KIND = "shielded"
AMOUNT_MAX = 2**64 - 1
PROVING_KEY_BYTES_MAX = 1 << 28


@dataclass(frozen=True, slots=True)
class Holding(Record):
    """A wallet's holding of an asset; `asset` is `None` if the wallet knows only the tag."""

    asset: str | None
    tag: str
    amount: int
    notes: int


@dataclass(frozen=True, slots=True)
class WalletEvent(Record):
    """A note that a wallet saw `received`, `spent` or `sent`, in transfer number `transfer` of the pool."""

    kind: str
    transfer: int
    amount: int
    tag: str
    to: str | None
    memo: bytes


class WalletFile:
    """The part that `Wallet` and `AsyncWallet` share: everything that needs neither a node nor a clock."""

    def __init__(self, path: Path, secret: dict[str, Any], lock: IO[bytes], proving_key: Path | None) -> None:
        self.path, self._lock = path, lock
        self.chain, self.pool = str(secret["chain"]), int(secret["pool"])
        if "seed" in secret:
            seed = bytes.fromhex(secret["seed"])
            self._native = _native.ShieldedWallet.from_seed(seed, secret["account"], self.chain, self.pool)
        else:
            self._native = _native.ShieldedWallet.from_viewing_key(secret["viewing_key"], self.chain, self.pool)
        self._assets: list[str] = []
        self._proving_key = proving_key
        self._prover: _native.ShieldedProver | None = None
        if self._notes.exists():
            more = json.loads(translate_errors(self._native.load, self._notes.read_bytes()))
            self._assets = [str(asset) for asset in more["assets"]]

    @classmethod
    def _create(
        cls,
        path: str | Path,
        chain: str,
        passphrase: bytes,
        pool: int,
        account: int,
        seed: bytes | None,
        viewing_key: str | None,
        proving_key: str | Path | None,
    ) -> Self:
        file = arguments.path(path, "path").absolute()
        secret: dict[str, Any] = {"chain": arguments.text(chain, "chain"), "pool": arguments.whole(pool, "pool")}
        passphrase, proving = arguments.content(passphrase, "passphrase"), _path(proving_key)
        make_folder(file.parent)
        if viewing_key is not None:
            translate_errors(_native.ShieldedWallet.from_viewing_key, viewing_key, chain, pool)
            secret |= {"viewing_key": viewing_key}
        else:
            drawn = arguments.content(seed, "seed") if seed is not None else _native.generate_seed()
            secret |= {"seed": drawn.hex(), "account": arguments.whole(account, "account")}
        _native.seal_secret(str(file), json.dumps(secret).encode(), KIND, passphrase)
        return cls(file, secret, _locked(file), proving)

    @classmethod
    def _open(cls, path: str | Path, passphrase_file: str | Path | None, proving_key: str | Path | None) -> Self:
        file = arguments.path(path, "path").absolute()
        try:
            secret = json.loads(open_key_file(file, KIND, _path(passphrase_file, "passphrase_file"), os.environ))
        except ValueError:
            raise KeyFileError(f"{file} is not a wallet: name a file that `wallet new` made") from None
        lock = _locked(file)
        try:
            return cls(file, secret, lock, _path(proving_key))
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Unlocks the file, so that others can open it. Idempotent."""
        self._lock.close()

    @property
    def address(self) -> str:
        """The wallet's receiving address: `rsz1…`."""
        return self._native.address()

    @property
    def can_pay(self) -> bool:
        """`True` if the wallet comes from a seed, not from a viewing key."""
        return self._native.spends()

    def viewing_key(self, *, incoming: bool = False) -> str:
        """Returns the full viewing key, which sees everything, or the one that sees only incoming notes. Neither can
        pay.

        Errors: WalletError if the wallet has only the other one."""
        return translate_errors(self._native.viewing_key, not incoming)

    def balances(self) -> list[Holding]:
        """Returns the wallet's holdings, as of the last scan. An incoming viewing key doesn't know what was spent."""
        names = {self._native.asset_tag(asset): asset for asset in self._assets}
        sums: dict[str, list[int]] = {}
        for _, tag, value, _ in self._native.notes():
            sums.setdefault(tag, []).append(value)
        return [Holding(names.get(tag), tag, sum(values), len(values)) for tag, values in sorted(sums.items())]

    def balance(self, asset: str) -> int:
        """Returns the wallet's amount of an asset, in smallest units, as of the last scan."""
        tag = self._native.asset_tag(asset)
        return sum(holding.amount for holding in self.balances() if holding.tag == tag)

    def _know(self, assets: Iterable[str]) -> None:
        wanted = [asset for asset in dict.fromkeys(assets) if asset not in self._assets]
        for asset in wanted:
            self._native.asset_tag(asset)
        self._assets += wanted
        if wanted:
            self._save()

    def _proves(self, key: bytes) -> _native.ShieldedProver:
        """Returns the prover for a pool of this verifying key, from a ceremony's `proving.key` or a devnet's. Made
        once.

        Errors: WalletError if there is no proving key, it belongs to another verifying key, or the wallet can't pay."""
        if not self.can_pay:
            raise WalletError(
                "a wallet made from a viewing key can't pay: open the wallet of the seed to pay", code="viewing-key"
            )
        if self._prover is not None and self._prover.verifying_key() == key:
            return self._prover
        devnets, _ = _native.devnet_pool_key()
        hashed = _native.value_hash(key).hex()
        named = self._proving_key
        if named is None and key == devnets:
            self._prover = _native.ShieldedProver.insecure_devnet()
            return self._prover
        file = named or proving_key_place(hashed)
        if named is None and not file.exists():
            raise WalletError(
                f"this pool's verifying key has the BLAKE3 hash {hashed}, and there is no proving key for it at "
                f"{file}: put the ceremony's proving.key there, or name it (--proving-key FILE)",
                code="no-proving-key",
            )
        self._prover = translate_errors(_native.ShieldedProver.open, _content(file), key)
        return self._prover

    @property
    def _notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.notes")

    def _save(self) -> None:
        """Saves by a rename, so that a crash leaves the old file or the new one."""
        sealed = self._native.save(json.dumps({"assets": self._assets}).encode())
        partial = self._notes.with_name(f"{self._notes.name}.partial")
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._notes)
        except OSError as error:
            raise WalletError(f"{self._notes} can't be written ({error.strerror}): free space or move it") from None


def check_amount(amount: int) -> None:
    """Checks that one note can be worth this amount. Errors: UsageError."""
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
        raise UsageError(f"{amount} can't be moved at once: an amount is above 0 and below 2^64")


def event_of(event: dict[str, Any]) -> WalletEvent:
    """Converts the extension's report of one note."""
    return WalletEvent(
        kind=str(event["type"]),
        transfer=int(event["transfer"]),
        amount=int(event["value"]),
        tag=str(event["asset_tag"]),
        to=event.get("to"),
        memo=bytes.fromhex(event.get("memo_hex", "")),
    )


def translate_errors(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Calls the extension. Errors: WalletError with the extension's code, UsageError for input that can't be parsed."""
    try:
        return work(*arguments, **named)
    except _native.NativeError as error:
        raise WalletError(str(error.args[0]), code=error.code) from None
    except ValueError as error:
        raise UsageError(str(error)) from None


def _locked(path: Path) -> IO[bytes]:
    file = path.open("rb")
    try:
        lock_now(file)
    except OSError:
        file.close()
        raise WalletError(f"another process uses {path}: wait until it ends", code="wallet-locked") from None
    return file


def _path(named: str | Path | None, name: str = "proving_key") -> Path | None:
    return arguments.path(named, name).expanduser() if named is not None else None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > PROVING_KEY_BYTES_MAX:
                raise UsageError(f"{path} has more bytes than any proving key: name a ceremony's proving.key")
            return file.read()
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a file that can") from None


__all__: Sequence[str] = ["Holding", "WalletEvent", "WalletFile"]


def proving_key_place(verifying_key_hash: str) -> Path:
    """Returns the place of the proving key of a pool whose verifying key has this BLAKE3 hash (hex)."""
    root = Path(os.environ.get("RUSTORIUM_HOME") or Path.home() / ".rustorium")
    return root / "proving-keys" / f"{verifying_key_hash}.key"
