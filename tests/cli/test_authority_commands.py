"""`keys authority new`: keys from files and digits, and what makes no authority."""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.client import Key

KEYS = tuple(Key(bytes([number]) * 32) for number in (1, 2, 3))


def test_keys_come_from_files_and_from_digits(tmp_path: Path, passphrase: Path, cli: Cli) -> None:
    cli("keys", "new", tmp_path / "a.key", "--passphrase-file", passphrase)
    shown = cli("keys", "show", tmp_path / "a.key", "-o", "json")
    first = json.loads(shown.out)["public_key"]
    holder = {"address": KEYS[1].address, "public_key": KEYS[1].public_key, "region": 0, "key_file": "b.key"}
    (tmp_path / "b.json").write_text(json.dumps(holder))
    given = [tmp_path / "a.key", tmp_path / "b.json", KEYS[2].public_key.upper()]
    made = cli("keys", "authority", "new", tmp_path / "office.json", *given, "--threshold", 2, "-o", "json")
    row = json.loads(made.out)
    assert row["keys"] == sorted([first, KEYS[1].public_key, KEYS[2].public_key])
    assert (row["address"], row["authority_hash"]) == _native.authority_names(0, 2, row["keys"])
    written = json.loads((tmp_path / "office.json").read_text())
    assert written == {"threshold": 2, "keys": row["keys"], "region": 0, "address": row["address"]}
    again = cli("keys", "authority", "new", tmp_path / "office.json", *given, "--threshold", 2)
    again.fails(2, "exists and is never overwritten")


def test_one_key_alone_keeps_its_address(tmp_path: Path, cli: Cli) -> None:
    made = cli("keys", "authority", "new", tmp_path / "a.json", KEYS[0].public_key, "--threshold", 1, "-o", "json")
    assert json.loads(made.out)["address"] == KEYS[0].address


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([KEYS[0].public_key, "--threshold", "2"], "a threshold of 1 to 1"),
        ([KEYS[0].public_key, KEYS[0].public_key, "--threshold", "1"], "none occurs twice"),
        (["00" * 32, "--threshold", "1"], "of small order"),
        (["abc", "--threshold", "1"], "neither a file nor 64 hex digits"),
    ],
)
def test_what_is_no_authority_is_refused(tmp_path: Path, cli: Cli, words: list[str], says: str) -> None:
    cli("keys", "authority", "new", tmp_path / "a.json", *words).fails(2, says)
    assert not (tmp_path / "a.json").exists()
