"""Commands that write a file take its name by `--out`, as all do, or as their argument.

Invariants: no node runs.
"""

from pathlib import Path

import pytest
from cli_runner import Cli


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


def test_dashboards_are_written_to_out(cli: Cli, tmp_path: Path) -> None:
    assert cli("dashboards", "export", "--out", tmp_path / "boards").code == 0
    assert (tmp_path / "boards" / "prometheus").is_dir()
