"""`tx sign`, `tx combine` and `tx send` of a file, as far as they ask no node."""

import io
import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.keyfiles import account_kind
from rustorium.client import Key, SigningFile, operations
from rustorium.sim.net import EXPIRES_MS, make_net
from rustorium.types import Authority

NET = make_net(4, 4, 2)
KEYS = tuple(sorted((Key(bytes([number]) * 32) for number in (1, 2, 3)), key=lambda key: key.public_key))
TWO_OF_THREE = Authority(2, [key.public_key for key in KEYS])
SENDER = KEYS[0].address
PUT = operations.put(SENDER, b"invoice/17", b"paid")


class Desk:
    """A folder with key files, a genesis and a file to be signed."""

    def __init__(self, folder: Path, passphrase: Path, cli: Cli) -> None:
        self.folder, self.cli = folder, cli
        self.secret = ["--passphrase-file", passphrase]
        for number, key in enumerate((*KEYS, Key(b"\x09" * 32))):
            # As if the passphrase were drawn at random, which makes files that open quickly.
            secret = passphrase.read_bytes().strip()
            _native.seal_key(str(folder / f"{number}.key"), key.seed, account_kind(0), secret, True)
        (folder / "genesis.json").write_text(_native.genesis_describe(NET.genesis))
        self.file = folder / "t.json"
        self.write()

    def write(self, chain: str = NET.chain) -> None:
        made = SigningFile.build(chain, TWO_OF_THREE, SENDER, 4, EXPIRES_MS, [PUT])
        self.file.write_bytes(made.to_bytes())

    def sign_words(self, number: int, file: Path | None = None) -> list[object]:
        key = self.folder / f"{number}.key"
        genesis = ["--genesis", self.folder / "genesis.json"]
        return ["tx", "sign", file or self.file, "--key", key, "--offline", *genesis, *self.secret]


@pytest.fixture
def desk(tmp_path: Path, passphrase: Path, cli: Cli) -> Desk:
    return Desk(tmp_path, passphrase, cli)


def test_each_signs_a_copy_and_the_copies_are_combined(desk: Desk) -> None:
    copy = desk.folder / "copy.json"
    copy.write_bytes(desk.file.read_bytes())
    first = desk.cli(*desk.sign_words(0), "--yes", "-o", "json")
    row = json.loads(first.out)
    assert (row["signed_by"], row["missing"], row["threshold"]) == ([KEYS[0].public_key], 1, 2)
    assert row["open_keys"] == [KEYS[1].public_key, KEYS[2].public_key]
    assert 'operation 0: set key "invoice/17" to "paid" in the account\'s namespace' in first.err
    assert "It needs 1 more of these keys" in first.err
    assert "on the word of whoever made the file" in first.err
    assert desk.cli(*desk.sign_words(2, copy), "--yes").code == 0
    together = desk.folder / "both.json"
    done = desk.cli("tx", "combine", desk.file, copy, "--out", together, "-o", "json")
    assert json.loads(done.out)["missing"] == 0
    assert "sends it" in done.err
    assert SigningFile.read(together).transaction().sender == SENDER
    desk.cli("tx", "combine", desk.file, copy, "--out", together).fails(2, "exists and is never overwritten")


def test_a_key_that_signed_already_is_told_and_is_no_error(desk: Desk) -> None:
    desk.cli(*desk.sign_words(1), "--yes")
    before = desk.file.read_bytes()
    again = desk.cli(*desk.sign_words(1), "--yes")
    assert again.code == 0
    assert f"The key {KEYS[1].public_key} has signed it already." in again.err
    assert desk.file.read_bytes() == before


def test_it_asks_before_it_signs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = desk.file.read_bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    refused = desk.cli(*desk.sign_words(0))
    assert (refused.code, refused.out) == (2, "")
    assert "no terminal to ask on" in refused.err
    for answer, code in (("n\n", 2), ("y\n", 0)):
        typed = io.StringIO(answer)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", typed)
        assert desk.cli(*desk.sign_words(0)).code == code
        assert (desk.file.read_bytes() == before) is (code != 0)


def test_what_must_not_be_signed_is_refused(desk: Desk) -> None:
    before = desk.file.read_bytes()
    stranger = desk.cli(*desk.sign_words(3), "--yes")
    assert stranger.code == 2
    assert "is none of the 3 keys that may sign" in stranger.err
    unnamed = desk.cli("tx", "sign", desk.file, "--key", desk.folder / "0.key", "--offline", *desk.secret, "--yes")
    assert unnamed.code == 2
    assert "nothing says which chain to sign for" in unnamed.err
    assert desk.file.read_bytes() == before
    desk.write(chain="cd" * 32)
    foreign = desk.cli(*desk.sign_words(0), "--yes")
    assert foreign.code == 2
    assert "the file is for chain cdcd" in foreign.err
    lying = json.loads(before)
    lying["words"][3] = "operation 0: nothing\x1b[2J"
    desk.file.write_text(json.dumps(lying))
    desk.cli(*desk.sign_words(0), "--yes").fails(2, "words aren't those of the bytes", "nothing\\u001b[2J")


def test_a_file_is_sent_without_a_key_and_with_enough_signatures(desk: Desk) -> None:
    node = ["--node", "http://127.0.0.1:1"]
    desk.cli("tx", "send", desk.file, *node).fails(2, "has 0 of the 2 signatures that it needs", KEYS[0].public_key)
    with_key = desk.cli("tx", "send", desk.file, "--key", desk.folder / "0.key", *node)
    with_key.fails(2, "leave out --key")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nobody signs"),
        (["--unsigned", "o.json"], "give the address with --account"),
        (["--unsigned", "o.json", "--key", "k", "--account", SENDER], "give only one"),
        (["--account", SENDER, "--key", "k"], "name it with --unsigned"),
        (["--unsigned", "o.json", "--account", SENDER, "--authority", "a.json"], "names no authority"),
    ],
)
def test_options_of_files_that_do_not_fit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(desk.folder)
    (desk.folder / "a.json").write_text('{"threshold": true, "keys": []}')
    desk.cli("tx", "put", "a", "1", "--node", "http://127.0.0.1:1", *words).fails(2, says)
