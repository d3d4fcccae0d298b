"""The blocks of proofs.md, zk.md and operations.md that need a devnet, run unchanged."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from process_tools import wait_for
from rustorium.cli import main
from rustorium.client import Client, Key, Verifier
from rustorium.net.devnet import Devnet
from rustorium.types import Subject
from rustorium.zk import groth16 as zk

pytestmark = pytest.mark.nodes
ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "tests" / "zk" / "bn128"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = 3
"""The input that the verifier in zk.md names."""


def shown(page: str, tag: str) -> list[str]:
    found = [text for kind, text in BLOCK.findall((ROOT / "docs" / page).read_text()) if kind == tag]
    assert found, f"{page} has no {tag}"
    return found


def run_shell(folder: Path, text: str, **words: str) -> str:
    """Returns the output of shell lines, with these words replaced."""
    for word, meant in words.items():
        text = re.sub(rf"\b{re.escape(word).replace('__', '[.]')}\b", meant, text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUSTORIUM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_python(folder: Path, text: str, **names: Any) -> dict[str, Any]:
    """Runs Python lines; returns the names defined at the end."""
    (folder / "page.py").write_text(text)
    return runpy.run_path(str(folder / "page.py"), init_globals=names)


@pytest.fixture
def folder(devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the net's files."""
    (tmp_path / "net").symlink_to(devnet.root)
    (tmp_path / "devnet.json").symlink_to(devnet.path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_proofs(devnet: Devnet, folder: Path) -> None:
    key = Key.open(devnet.net.accounts[0].key_file)
    with Client.from_net(devnet.path, key=key) as client:
        client.put(b"invoice/17", b"paid")
    [lines] = shown("proofs.md", "sh")
    assert "paid" in run_shell(folder, lines, ADDRESS=key.address)
    [code] = shown("proofs.md", "python")
    done = run_python(folder, code)
    assert done["state"].items[Subject(key.address, key=b"invoice/17")].value == b"paid"


def test_zk(devnet: Devnet, folder: Path) -> None:
    for name, file in (("verification_key", "verification_key"), ("proof", "1.proof"), ("public", "1.public")):
        shutil.copyfile(MADE / f"{file}.json", folder / f"{name}.json")
    first, second = (devnet.net.accounts[number] for number in (1, 3))
    verifier = zk.verifier_id(first.address, "verification_key.json", named=[NAMED], once=[1])
    [lines] = shown("zk.md", "sh")
    assert verifier in run_shell(folder, lines, VERIFIER=verifier, ACCOUNT__key=first.key_file)
    code, check = shown("zk.md", "python")
    value = int(json.loads((folder / "public.json").read_text())[NAMED]).to_bytes(32, "big")
    key = Key.open(second.key_file)
    done = run_python(folder, code, key=key, value=value)
    with Client.from_net(devnet.path) as client:
        # A client that didn't write, so it sees the proven state.
        wait_for("the door is open", lambda: client.get(key.address, b"door") == b"open")
        last = client.account_transactions(zk.address_of(done["verifier"])).transactions[0]
        receipt = client.get_transaction(last).receipt
        assert receipt is not None
        names = {"client": client, "Verifier": Verifier, "owner": key.address, "height": receipt.height}
        found = run_python(folder, check, **names)["found"]
    assert [one.transaction for one in found.verified] == [last]


def test_operations(devnet: Devnet, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["metrics", "collect", "--net", "devnet.json", "--for", "1s", "--out", "run.jsonl"])
    assert ended.value.code == 0
    [code] = shown("operations.md", "python")
    capsys.readouterr()
    run_python(folder, code)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {row[1] for row in rows} == {node.name for node in devnet.net.nodes}
