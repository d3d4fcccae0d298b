"""An installation of the client alone: what needs no node works, and every other command says in one sentence how to
install the node.

The extension of the tests has the node, so a stand-in hides what a build without it lacks.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium import _native

ALONE = """
import sys, types
import rustorium
from rustorium import _native as whole

class Missing(Exception):
    pass

def absent(name):
    if name in whole.node_names:
        error = whole.NativeError(f"`{name}` belongs to the node: install it")
        error.code = "node-missing"
        raise error
    raise AttributeError(name)

alone = types.ModuleType("rustorium._native")
vars(alone).update({k: v for k, v in vars(whole).items() if k not in whole.node_names})
alone.has_node, alone.__getattr__ = False, absent
sys.modules["rustorium._native"] = rustorium._native = alone
"""
# Windows has none of these, and the client is built there.
NO_UNIX = """
import os
for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "geteuid", "getuid"):
    delattr(os, name)
"""


def alone(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def command(*line: str) -> subprocess.CompletedProcess[str]:
    return alone("from rustorium.cli import main\nmain()", *line)


def test_the_extension_of_the_tests_has_all_that_a_client_lacks() -> None:
    assert _native.has_node
    assert all(hasattr(_native, name) for name in _native.node_names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _native.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "line",
    [
        ["init", "--home", "HOME", "--region", "eu-west-1"],
        ["start", "--home", "HOME"],
        ["devnet", "--state", "HOME"],
        ["testnet", "gen", "--out", "HOME", "10.0.0.1", "10.0.0.2", "--single-operator"],
        ["sim", "run", "--count", "1"],
        ["bench", "load", "--net", "HOME"],
        ["recover", "manual", "--home", "HOME"],
        ["backup", "list", "--home", "HOME", "--from", "HOME"],
        ["doctor", "--home", "HOME"],
    ],
    ids=lambda line: line[0],
)
def test_a_command_that_needs_the_node_says_so_and_leaves_nothing(line: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = command(*(str(home) if word == "HOME" else word for word in line))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr == "error: `Node` belongs to the node: install it [node-missing]\n"
    assert not home.exists()


def test_every_command_can_be_asked_for_help_without_node_and_unix() -> None:
    code = """
import typer
from typer.testing import CliRunner
from rustorium.cli.app import GLOBAL_OPTIONS, app
from rustorium.cli.narrowed import narrowed

def leaves(command, path):
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, [*path, name])
    if not hasattr(command, "commands"):
        yield path

lines = list(leaves(typer.main.get_command(app), []))
for line in lines:
    result = CliRunner().invoke(narrowed(app, line, GLOBAL_OPTIONS), [*line, "--help"])
    assert result.exit_code == 0, (line, result.output, result.exception)
print(len(lines))
"""
    done = alone(NO_UNIX + code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_the_client_keys_proofs_and_wallets_need_no_node_and_no_unix(tmp_path: Path) -> None:
    code = """
import pathlib
import rustorium.client, rustorium.zk, rustorium.zk.ceremony, rustorium.zk.walletfile, rustorium.access.netfile
from rustorium.client import AsyncClient, AsyncWallet, Client, Key, LightClient, Wallet, operations
folder = pathlib.Path(sys.argv[1])
(folder / "opens").write_text("a passphrase")
(folder / "opens").chmod(0o600)
key = Key.generate()
key.save(folder / "a.key", b"a passphrase")
assert Key.open(folder / "a.key", folder / "opens").address == key.address
print(operations.put(key.address, b"k", b"v") is not None)
"""
    done = alone(NO_UNIX + code, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_version_says_that_it_is_the_client(tmp_path: Path) -> None:
    whole = subprocess.run(
        [sys.executable, "-m", "rustorium.cli", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert command("--version").stdout == f"{whole} (client)\n"


def test_a_key_is_made_and_shown(tmp_path: Path) -> None:
    file, opens = tmp_path / "a.key", tmp_path / "passphrase"
    opens.write_text("a passphrase\n")
    opens.chmod(0o600)
    line = ["keys", "new", str(file), "--passphrase-file", str(opens), "-o", "json"]
    done = command(*line)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert file.exists()
