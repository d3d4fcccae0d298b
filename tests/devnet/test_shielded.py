"""Shielded value on a devnet: deposits, payments and withdrawals, from the command line and from Python, across a
restart of the net, with an auditor, and invalid operations."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from rustorium import _native
from rustorium.client import AsyncClient, AsyncWallet, Client, Key, Wallet
from rustorium.errors import NotFound, TransactionFailed, WalletError
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def run_cli(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rustorium.cli", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def make(devnet: Devnet, folder: Path, name: str) -> Path:
    """Makes a wallet file, with its passphrase beside it, where commands find it."""
    secret = folder / "passphrase"
    secret.touch(0o600)
    secret.write_text("secret word")
    file = folder / name
    run_cli("wallet", "new", file, "--net", devnet.path, "--passphrase-file", secret)
    return file


def test_from_the_command_line(devnet: Devnet, tmp_path: Path) -> None:
    alice, bob = make(devnet, tmp_path, "alice"), make(devnet, tmp_path, "bob")
    signed = ("--net", devnet.path, "--key", devnet.net.accounts[0].key_file, "-o", "json")
    done = run_cli("wallet", "shield", alice, 1000, *signed)
    assert json.loads(done.stdout)["outcome"] == "ok"
    assert "for tests only" in done.stderr
    pinned = json.loads(Path(devnet.net.genesis).read_text())["pools"][0]["key_hash"]
    assert f"The pool's verifying key has the BLAKE3 hash {pinned}" in done.stderr
    to = json.loads(run_cli("wallet", "address", bob, "-o", "json").stdout)["address"]
    run_cli("wallet", "transfer", alice, to, 300, "--memo", "rent", *signed)
    seen = json.loads(run_cli("wallet", "scan", bob, "--net", devnet.path, "-o", "json").stdout)
    assert [(row["event"], row["amount"], row["memo"]) for row in seen] == [("received", 300, "rent")]
    run_cli("wallet", "unshield", bob, devnet.net.accounts[1].address, 120, *signed)
    held = {
        name: json.loads(run_cli("wallet", "balance", file, "-o", "json").stdout)
        for name, file in (("alice", alice), ("bob", bob))
    }
    assert {name: (rows[0]["amount"], rows[0]["asset"]) for name, rows in held.items()} == {
        "alice": (700, devnet.net.asset),
        "bob": (180, devnet.net.asset),
    }
    assert (
        "not-enough" in run_cli("wallet", "unshield", bob, devnet.net.accounts[1].address, 181, *signed, code=1).stderr
    )
    key = json.loads(run_cli("wallet", "viewing-key", bob, "-o", "json").stdout)["viewing_key"]
    assert key.startswith("rszall1")


def test_from_python_over_a_restart_under_a_key_of_its_own(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    """The chain's key and the wallet's file have the form that a ceremony makes (`test_whole_ceremony.py` runs a real
    one)."""
    made = _native.ShieldedProver.insecure_of_seed(bytes([7]) * 32)
    proving_key = tmp_path / "proving.key"
    proving_key.write_bytes(made.file())
    devnet = devnet_factory(pool_key=made.verifying_key())
    signer = Key.open(devnet.net.accounts[2].key_file)
    receiver, asset = devnet.net.accounts[3].address, devnet.net.asset
    with Wallet.open(make(devnet, tmp_path, "one"), tmp_path / "passphrase", proving_key=proving_key) as wallet:
        with Client.from_net(devnet.path) as client:
            before = client.pool_balance(asset)
            assert wallet.warning(client) is None
            had = client.balance(receiver, asset).amount
            for amount in (10, 20, 30):
                wallet.shield(client, asset, amount, key=signer)
            assert client.pool_balance(asset) == before + 60
        devnet.stop()
        with Devnet.resume(devnet.root) as again, Client.from_net(devnet.path) as client:
            again.start()
            # More than any two notes have together, so two are merged first.
            wallet.unshield(client, receiver, asset, 55, key=signer)
            assert wallet.balance(asset) == 5
            assert client.balance(receiver, asset).amount == had + 55
            assert client.pool_balance(asset) == before + 5
            # An auditor finds all of it with the viewing key; so does a fresh copy of the wallet.
            auditor = Wallet.create(
                tmp_path / "auditor", wallet.chain, passphrase=b"auditors", viewing_key=wallet.viewing_key()
            )
            with auditor:
                steps: list[tuple[int, int]] = []
                events = auditor.scan(client, lambda done, total: steps.append((done, total)))
                assert auditor.balance(asset) == 5
                assert steps[-1][0] == steps[-1][1]
                assert sum(event.amount for event in events if event.kind == "spent") == 110
                with pytest.raises(WalletError, match="can't pay"):
                    auditor.unshield(client, receiver, asset, 5, key=signer)


def test_from_python_asynchronously(devnet: Devnet, tmp_path: Path) -> None:
    signer, asset = Key.open(devnet.net.accounts[3].key_file), devnet.net.asset
    file = make(devnet, tmp_path, "async")

    async def body() -> None:
        async with (
            await AsyncWallet.open(file, tmp_path / "passphrase") as wallet,
            AsyncClient.from_net(devnet.path) as client,
        ):
            warning = await wallet.warning(client)
            assert warning is not None
            assert "for tests only" in warning
            await wallet.start_now(client)
            await wallet.shield(client, asset, 9, key=signer)
            await wallet.unshield(client, signer.address, asset, 4, key=signer)
            assert await wallet.scan(client) == []
            assert wallet.balance(asset) == 5

    trio.run(body)


def test_invalid_shielded_operations_are_refused(devnet: Devnet, tmp_path: Path) -> None:
    signer, other = (Key.open(devnet.net.accounts[number].key_file) for number in (0, 1))
    asset = devnet.net.asset
    with (
        Wallet.open(make(devnet, tmp_path, "two"), tmp_path / "passphrase") as wallet,
        Client.from_net(devnet.path) as client,
    ):
        wallet.shield(client, asset, 50, key=signer)
        operation = json.loads(
            wallet._native.prove(
                _native.ShieldedProver.insecure_devnet(), "unshield", signer.address, asset, 50, signer.address
            )
        )

        def fails(failure: str, changed: dict[str, object], key: Key = signer) -> None:
            with pytest.raises(TransactionFailed) as error:
                client.send([changed], key=key)
            assert error.value.failure == failure

        fails("not-proved", operation, other)
        fails("not-proved", operation | {"to": other.address})
        fails("not-proved", operation | {"amount": "49"})
        fails("no-such-pool", operation | {"pool": 2})
        fails("bad-transfer", operation | {"transfer": operation["transfer"] | {"root": "ff" * 32}})
        fails("old-root", operation | {"transfer": operation["transfer"] | {"root": "00" * 32}})
        client.send([operation], key=signer)
        fails("note-spent", operation)
        # A new key starts at the pool's current position, and finds later records.
        with Wallet.create(tmp_path / "late", wallet.chain, passphrase=b"another") as late:
            late.start_now(client)
            wallet.shield(client, asset, 7, key=signer, to=late.address)
            assert [(event.kind, event.amount) for event in late.scan(client)] == [("received", 7)]
            late.unshield(client, signer.address, asset, 7, key=signer)
            with pytest.raises(WalletError, match="already"):
                late.start_now(client)
        with pytest.raises(NotFound):
            client.pool_head(2)
        with pytest.raises(NotFound):
            client.pool_records(2, 0)
        assert len(client.pool_records(1, 0, 2)) == 2 * 792
