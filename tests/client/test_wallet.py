"""Wallets of shielded value without a node: files, keys, and refusals. tests/devnet tests them on a chain."""

import json
from pathlib import Path

import pytest

from rustorium import _native
from rustorium.client import Wallet
from rustorium.errors import KeyFileError, UsageError, WalletError

CHAIN, PASSPHRASE, ASSET = "ab" * 32, b"secret word", "cd" * 32


def make(folder: Path, name: str = "one", **more: object) -> Wallet:
    (folder / "passphrase").touch(0o600)
    (folder / "passphrase").write_bytes(PASSPHRASE)
    return Wallet.create(folder / name, CHAIN, passphrase=PASSPHRASE, **more)  # type: ignore[arg-type]


def test_a_wallet_is_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    with make(tmp_path) as made:
        address, full, incoming = made.address, made.viewing_key(), made.viewing_key(incoming=True)
        made.know([ASSET])
    assert address.startswith("rsz1")
    assert full.startswith("rszall1")
    assert incoming.startswith("rszin1")
    assert (tmp_path / "one").stat().st_mode & 0o777 == (tmp_path / "one.notes").stat().st_mode & 0o777 == 0o600
    with Wallet.open(tmp_path / "one", tmp_path / "passphrase") as again:
        assert (again.address, again.chain, again.pool, again.can_pay) == (address, CHAIN, 1, True)
        assert (again.balances(), again.balance(ASSET)) == ([], 0)
    with make(tmp_path, "other") as other:
        assert other.address != address


def test_accounts_of_a_seed_and_viewing_keys(tmp_path: Path) -> None:
    seed = bytes(range(32))
    with make(tmp_path, "a", seed=seed) as first, make(tmp_path, "b", seed=seed, account=1) as second:
        assert first.address != second.address
        full, incoming = first.viewing_key(), first.viewing_key(incoming=True)
        with make(tmp_path, "auditor", viewing_key=full) as auditor:
            assert (auditor.address, auditor.can_pay) == (first.address, False)
            assert (auditor.viewing_key(), auditor.viewing_key(incoming=True)) == (full, incoming)
        with make(tmp_path, "watcher", viewing_key=incoming) as watcher:
            assert (watcher.address, watcher.can_pay) == (first.address, False)
            with pytest.raises(WalletError, match="incoming one only"):
                watcher.viewing_key()
    with pytest.raises(WalletError, match="viewing key") as error:
        make(tmp_path, "none", viewing_key=full[:-1])
    assert error.value.code == "viewing-key"
    assert not (tmp_path / "none").exists()


def test_a_wallets_file_has_no_plain_text(tmp_path: Path) -> None:
    seed = b"known seed of thirty-two bytes!!"
    with make(tmp_path, seed=seed) as wallet:
        wallet.know([ASSET])
        known = [seed, seed.hex().encode(), wallet.viewing_key().encode(), ASSET.encode(), bytes.fromhex(ASSET)]
    for file in (tmp_path / "one", tmp_path / "one.notes"):
        content = file.read_bytes()
        assert not any(text in content for text in known)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with make(tmp_path), pytest.raises(WalletError, match="another process") as error:
        Wallet.open(tmp_path / "one", tmp_path / "passphrase")
    assert error.value.code == "wallet-locked"
    Wallet.open(tmp_path / "one", tmp_path / "passphrase").close()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with make(tmp_path) as wallet:
        wallet.know([ASSET])
    with make(tmp_path, "other") as other:
        other.know([ASSET])
    (tmp_path / "other.notes").rename(tmp_path / "one.notes")
    with pytest.raises(WalletError, match="another wallet"):
        Wallet.open(tmp_path / "one", tmp_path / "passphrase")
    (tmp_path / "one.notes").unlink()
    with Wallet.open(tmp_path / "one", tmp_path / "passphrase") as again:
        again.know([ASSET])
    sealed = (tmp_path / "one.notes").read_bytes()
    for place in range(0, len(sealed), 7):
        changed = bytes(byte ^ (at == place) for at, byte in enumerate(sealed))
        (tmp_path / "one.notes").write_bytes(changed)
        with pytest.raises(WalletError):
            Wallet.open(tmp_path / "one", tmp_path / "passphrase")
    with pytest.raises(KeyFileError):
        Wallet.open(tmp_path / "absent", tmp_path / "passphrase")
    (tmp_path / "wrong").touch(0o600)
    (tmp_path / "wrong").write_bytes(b"another word")
    (tmp_path / "one.notes").write_bytes(sealed)
    with pytest.raises(KeyFileError, match="passphrase"):
        Wallet.open(tmp_path / "one", tmp_path / "wrong")


def native(number: int = 1, chain: str = CHAIN) -> _native.ShieldedWallet:
    return _native.ShieldedWallet.from_seed(bytes([number]) * 32, 0, chain, 1)


def test_records_without_a_proven_head_are_dropped() -> None:
    """A head is 8 + 32 + 32 bytes, then a frontier; this one is of an empty tree."""
    wallet, prover = native(), _native.ShieldedProver.insecure_devnet()
    sender = _native.account_id(0, bytes(32))
    operation = json.loads(wallet.prove(prover, "shield", sender, ASSET, 5, None, b"hello"))
    part = operation["transfer"]
    record = bytes.fromhex("".join([*part["nullifiers"], *part["commitments"], part["sealed_hex"]]))
    events = json.loads(wallet.scan(record))
    kinds = [(event["type"], event["value"], event["memo_hex"]) for event in events]
    assert kinds == [("received", "5", b"hello".hex()), ("sent", "5", b"hello".hex())]
    assert (wallet.transfers(True), wallet.transfers(False), wallet.notes()) == (1, 0, [])
    empty = bytes(8) + bytes.fromhex(part["root"]) + bytes(32) + (8).to_bytes(4, "little") + bytes(8)
    assert _native.pool_transfers(empty) == 0
    with pytest.raises(_native.NativeError, match="none of them is kept") as error:
        wallet.settle(empty)
    assert error.value.code == "records-refused"
    assert wallet.transfers(True) == 0
    wallet.settle(empty)
    for broken in (record[:-1], b"\xff" * 792):
        with pytest.raises(_native.NativeError):
            wallet.scan(broken)
    for head in (b"", empty[:-1], empty + b"\0"):
        with pytest.raises(ValueError, match="canonical encoding"):
            wallet.settle(head)


def test_an_impossible_payment_is_refused() -> None:
    wallet, prover = native(), _native.ShieldedProver.insecure_devnet()
    sender = _native.account_id(0, bytes(32))
    with pytest.raises(_native.NativeError, match="has 0 of this asset") as error:
        wallet.prove(prover, "transfer", sender, ASSET, 1, native(2).address())
    assert error.value.code == "not-enough"
    with pytest.raises(_native.NativeError, match="no two notes"):
        wallet.prove(prover, "merge", sender, ASSET, 0)
    with pytest.raises(_native.NativeError, match="address") as error:
        wallet.prove(prover, "shield", sender, ASSET, 1, "rsz1nonsense")
    assert error.value.code == "shielded-address"
    with pytest.raises(_native.NativeError, match="140 bytes"):
        wallet.prove(prover, "shield", sender, ASSET, 1, None, b"m" * 141)
    for kind, amount, to in [("shield", 0, None), ("transfer", 1, None), ("unshield", 1, "rs1x"), ("steal", 1, None)]:
        with pytest.raises(ValueError, match=r"amount|transfer|address"):
            wallet.prove(prover, kind, sender, ASSET, amount, to)
    looking = _native.ShieldedWallet.from_viewing_key(wallet.viewing_key(True), CHAIN, 1)
    with pytest.raises(_native.NativeError, match="viewing wallet"):
        looking.prove(prover, "shield", sender, ASSET, 1)


def test_amounts_have_64_bits(tmp_path: Path) -> None:
    with make(tmp_path) as wallet:
        for amount in (0, -1, 2**64):
            with pytest.raises(UsageError, match="2\\^64"):
                wallet.shield(None, ASSET, amount, key=None)  # type: ignore[arg-type]
