"""Blocking and asynchronous wallets that prove with a ceremony's key, on a chain that the test simulates."""

import inspect
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from rustorium import _native
from rustorium.client import AsyncWallet, Key, Wallet
from rustorium.errors import UsageError, WalletError

CHAIN, PASSPHRASE, ASSET, KEY = "ab" * 32, b"secret word", "cd" * 32, Key(bytes(range(32)))


@dataclass(frozen=True)
class Keys:
    """Keys of the form that a ceremony makes."""

    verifying: bytes
    file: bytes
    operation: dict[str, Any]
    """A shield operation that was proved with these keys in an empty pool."""

    @property
    def hashed(self) -> str:
        return _native.value_hash(self.verifying).hex()


@pytest.fixture(scope="module")
def keys() -> Keys:
    prover = _native.ShieldedProver.insecure_of_seed(bytes([7]) * 32)
    wallet = _native.ShieldedWallet.from_seed(bytes(32), 0, CHAIN, 1)
    operation = json.loads(wallet.prove(prover, "shield", KEY.address, ASSET, 5))
    return Keys(prover.verifying_key(), prover.file(), operation)


@dataclass
class FakePool:
    """An asynchronous client of a chain whose pool counts `transfers`, for which there are no proofs."""

    keys: Keys
    verifying: bytes
    transfers: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def chain(self) -> str:
        return CHAIN

    async def pool_head(self, pool: int) -> bytes:
        root, tree = bytes.fromhex(self.keys.operation["transfer"]["root"]), (2 * self.transfers).to_bytes(8, "little")
        nodes = bytes(32 * (2 * self.transfers))
        return bytes(8) + root + bytes(32) + len(tree + nodes).to_bytes(4, "little") + tree + nodes

    async def pool_key(self, pool: int) -> bytes:
        return self.verifying

    async def pool_records(self, pool: int, first: int, limit: int) -> bytes:
        part = self.keys.operation["transfer"]
        return bytes.fromhex("".join([*part["nullifiers"], *part["commitments"], part["sealed_hex"]]))

    async def send(self, operations: list[dict[str, Any]], *, key: Key) -> str:
        self.sent += operations
        return "sent"


class RecordingWallet:
    """The extension's wallet, which records the threads of its calls."""

    def __init__(self, native: _native.ShieldedWallet) -> None:
        self.native, self.threads = native, dict[str, int]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.threads[name] = threading.get_ident()
            return getattr(self.native, name)(*arguments)

        return call


def run(folder: Path, body: Callable[[AsyncWallet], Any], proving_key: Path | None = None) -> Any:
    async def main() -> Any:
        made = AsyncWallet.create(folder / "wallet", CHAIN, passphrase=PASSPHRASE, proving_key=proving_key)
        async with await made as wallet:
            return await body(wallet)

    return trio.run(main)


def test_both_wallets_have_the_same_methods() -> None:
    def methods(of: type) -> dict[str, list[str]]:
        found = inspect.getmembers(of, inspect.isroutine)
        return {name: list(inspect.signature(m).parameters) for name, m in found if not name.startswith("_")}

    assert methods(Wallet) == methods(AsyncWallet)


def test_a_ceremonys_key_is_found_at_its_place_and_all_work_is_done_off_the_event_loop(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSTORIUM_HOME", str(tmp_path))
    place = tmp_path / "proving-keys" / f"{keys.hashed}.key"
    pool: Any = FakePool(keys, keys.verifying)

    async def body(wallet: AsyncWallet) -> None:
        watched: Any = RecordingWallet(wallet._native)
        wallet._native = watched
        with pytest.raises(WalletError, match=keys.hashed) as error:
            await wallet.shield(pool, ASSET, 5, key=KEY)
        assert (error.value.code, str(place) in str(error.value)) == ("no-proving-key", True)
        assert await wallet.warning(pool) is None
        place.parent.mkdir()
        place.write_bytes(keys.file)
        assert await wallet.shield(pool, ASSET, 5, key=KEY, memo=b"hello") == "sent"
        assert [(each["type"], each["amount"]) for each in pool.sent] == [("shield", "5")]
        # Records that no certified head covers are scanned and dropped.
        pool.transfers = 1
        with pytest.raises(WalletError) as refused:
            await wallet.scan(pool)
        assert refused.value.code == "records-refused"
        elsewhere = {name: thread != threading.get_ident() for name, thread in watched.threads.items()}
        assert [elsewhere[name] for name in ("prove", "scan", "save")] == [True] * 3

    run(tmp_path, body)


def test_a_proving_key_of_another_verifying_key_is_refused_by_both_hashes(keys: Keys, tmp_path: Path) -> None:
    file = tmp_path / "proving.key"
    file.write_bytes(keys.file)
    devnets, _ = _native.devnet_pool_key()
    pool: Any = FakePool(keys, devnets)

    async def body(wallet: AsyncWallet) -> None:
        with pytest.raises(WalletError, match=keys.hashed) as error:
            await wallet.shield(pool, ASSET, 5, key=KEY)
        assert error.value.code == "other-proving-key"
        assert _native.value_hash(devnets).hex() in str(error.value)
        file.write_bytes(keys.file[:-1])
        with pytest.raises(WalletError, match="cut off"):
            await wallet.shield(pool, ASSET, 5, key=KEY)
        file.unlink()
        with pytest.raises(UsageError, match="name a file that can"):
            await wallet.shield(pool, ASSET, 5, key=KEY)
        assert pool.sent == []

    run(tmp_path, body, proving_key=file)
