"""From a ceremony to a payment: a ceremony of the real circuit by the command line, a chain that pins its key, and
wallets that prove with the result.

The ceremony takes minutes of processor time, so the test is part of `just torture`. Its cheap parts are tested in
tests/cli and crates/zk; `test_shielded.py` tests wallets under a key that isn't a devnet's.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rustorium import _native
from rustorium.testing import DevnetFactory

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(os.environ.get("RUSTORIUM_CEREMONY") != "long", reason="takes minutes: `just torture`"),
]


def run_cli(*arguments: object, home: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command, started = [sys.executable, "-m", "rustorium.cli", *map(str, arguments)], time.monotonic()
    environment = os.environ | {"RUSTORIUM_HOME": str(home)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False, env=environment)
    print(f"{time.monotonic() - started:6.1f} s  {' '.join(map(str, arguments[:3]))}")
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def hold(folder: Path) -> tuple[Path, str]:
    """A whole ceremony with two contributors and two beacons; returns the folder of its keys, and the verifying key's
    hash."""

    def ceremony(*arguments: object) -> str:
        return run_cli("zk", "ceremony", *arguments, "-o", "json", home=folder).stdout

    ceremony("new", folder / "1-0", "--circuit", "shielded-transfer")
    ceremony("contribute", folder / "1-0", folder / "1-1", "--name", "alice")
    ceremony("contribute", folder / "1-1", folder / "1-2", "--name", "beacon", "--beacon", "ab" * 32)
    ceremony("new", folder / "2-0", "--circuit", "shielded-transfer", "--powers", folder / "1-2")
    told = json.loads(ceremony("contribute", folder / "2-0", folder / "2-1", "--name", "bob"))["hash"]
    ceremony("contribute", folder / "2-1", folder / "2-2", "--name", "beacon", "--beacon", "cd" * 32)
    hashes = json.loads(ceremony("finalize", folder / "2-2", folder / "keys"))
    lines = json.loads(ceremony("verify", folder / "2-2", "--expect", told, "--key", folder / "keys" / "verifying.key"))
    assert [(line["phase"], line["name"]) for line in lines] == [
        (1, "alice"),
        (1, "beacon"),
        (2, "bob"),
        (2, "beacon"),
    ]
    for name in ("proving", "verifying"):
        content = (folder / "keys" / f"{name}.key").read_bytes()
        assert _native.value_hash(content).hex() == hashes[f"{name}_key"]
    return folder / "keys", hashes["verifying_key"]


def test_a_ceremonys_keys_go_into_a_genesis_and_wallets_pay_with_them(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    keys, hashed = hold(tmp_path)
    secret = tmp_path / "passphrase"
    secret.touch(0o600)
    secret.write_text("secret word")
    gen = (
        "testnet",
        "gen",
        "10.0.0.1",
        "--single-operator",
        "--out",
        tmp_path / "net",
        "--pool-key",
        keys / "verifying.key",
    )
    assert f"BLAKE3 hash {hashed}" in run_cli(*gen, home=tmp_path).stderr
    assert json.loads((tmp_path / "net" / "genesis.json").read_text())["pools"][0]["key_hash"] == hashed

    net = devnet_factory(pool_key=(keys / "verifying.key").read_bytes())
    signed = ("--net", net.path, "--key", net.net.accounts[0].key_file, "-o", "json")
    for name in ("alice", "bob"):
        run_cli("wallet", "new", tmp_path / name, "--net", net.path, "--passphrase-file", secret, home=tmp_path)
    told = run_cli("wallet", "shield", tmp_path / "alice", 1000, *signed, home=tmp_path, code=1).stderr
    place = tmp_path / "proving-keys" / f"{hashed}.key"
    assert "no-proving-key" in told
    assert str(place) in told
    named = ("--proving-key", keys / "proving.key")
    done = run_cli("wallet", "shield", tmp_path / "alice", 1000, *named, *signed, home=tmp_path)
    assert f"BLAKE3 hash {hashed}" in done.stderr
    assert "WARNING" not in done.stderr
    place.parent.mkdir()
    (keys / "proving.key").rename(place)
    to = json.loads(run_cli("wallet", "address", tmp_path / "bob", "-o", "json", home=tmp_path).stdout)["address"]
    run_cli("wallet", "transfer", tmp_path / "alice", to, 300, *signed, home=tmp_path)
    seen = run_cli("wallet", "scan", tmp_path / "bob", "--net", net.path, "-o", "json", home=tmp_path).stdout
    assert [(row["event"], row["amount"]) for row in json.loads(seen)] == [("received", 300)]
