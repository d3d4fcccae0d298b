"""Commands that write a file take its name by `--out`, as all do, or as their argument.

Invariants: no node runs.
"""

import os
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.access.files import write_new
from rustorium.cli.output import write_proof
from rustorium.errors import FileExists, UsageError


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("a passphrase for tests\n")
    path.chmod(0o600)
    return path


def test_a_new_key_is_written_to_out_or_to_the_argument(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    assert cli("keys", "new", "--out", first, "--passphrase-file", passphrase).code == 0
    assert cli("keys", "new", second, "--passphrase-file", passphrase).code == 0
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", ["keys new", "checkpoint", "audit export", "dashboards export", "wallet new"])
def test_a_file_without_a_name_or_with_two_is_a_wrong_line(cli: Cli, line: str) -> None:
    cli(*line.split()).fails(2, "--out")
    cli(*line.split(), "a", "--out", "b").fails(2, "both name", "--out")


def test_no_command_overwrites_a_file(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    there, log = tmp_path / "there", tmp_path / "log.jsonl"
    there.write_text("kept")
    log.write_text("")
    secret = ("--passphrase-file", passphrase)
    seed = "seed 7 liveness nodes 4 heights 50"
    for line in (
        ("keys", "new", there, *secret),
        ("checkpoint", there),  # before any node is asked
        ("logs", "aggregate", log, "--out", there),
        ("wallet", "new", there, *secret),
        ("zk", "ceremony", "new", there),
        ("sim", "replay", seed, "--log", there),
    ):
        cli(*line).fails(2, f"{there} exists and is never overwritten: move it away, or name another file")
        assert there.read_text() == "kept"


def test_a_proof_is_written_to_a_new_file_or_to_a_pipe(tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    write_proof(proof, b"a proof")
    with pytest.raises(FileExists, match="never overwritten"):
        write_proof(proof, b"another")
    assert proof.read_bytes() == b"a proof"
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_proof(pipe, b"a proof")
    assert os.read(reader, 100) == b"a proof"
    os.close(reader)
    with pytest.raises(UsageError, match="can't be written"):
        write_proof(tmp_path, b"a proof")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_file_that_could_not_be_written_whole_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "proof.json"
    opened = os.open

    def full(path: Path, flags: int, mode: int) -> int:
        os.close(opened(path, flags, mode))
        return opened("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(UsageError, match="No space left"):
        write_new(file, b"a proof")
    assert not file.exists()


def test_dashboards_are_written_to_out(cli: Cli, tmp_path: Path) -> None:
    assert cli("dashboards", "export", "--out", tmp_path / "boards").code == 0
    assert (tmp_path / "boards" / "prometheus").is_dir()
