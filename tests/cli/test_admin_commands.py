"""`admin`: tokens are made, listed and revoked on a stopped or a running node; the rights of remote callers."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

from admin_tools import FakeNode, serving
from rustorium.home.auditlog import log_of, read
from rustorium.home.paths import Home
from rustorium.node.admin.socket import address_of
from rustorium.node.bridge import listen_tcp


@pytest.fixture
def home(cli: Cli, tmp_path: Path, passphrase: Path) -> Home:
    path = tmp_path / "home"
    assert cli("init", "--home", path, "--peer", "node-1=127.0.0.1:1", "--passphrase-file", passphrase).code == 0
    return Home(path)


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """A home without keys, for commands that need none."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.config.write_text("")
    return home


@pytest.fixture
def running(bare: Home) -> Iterator[tuple[FakeNode, str]]:
    """Runs the home's admin plane; returns the URL of its listener."""
    home = bare
    with (
        listen_tcp("127.0.0.1:0") as listener,
        serving(home.admin_socket, home.tokens, listener) as (node, _),
    ):
        yield node, f"http://{address_of(listener)}"


def rows(cli: Cli, *line: object) -> Any:
    ended = cli(*line, "-o", "json")
    assert ended.code == 0, ended
    return json.loads(ended.out)


def test_a_home_at_rest_gets_tokens_and_its_audit_log_says_so(cli: Cli, home: Home, passphrase: Path) -> None:
    at = ("--home", home.path, "--passphrase-file", passphrase)
    ended = cli("admin", "token", "create", *at, "--name", "ops", "--role", "operate", "--expires", "90d", "-o", "json")
    made = json.loads(ended.out)
    assert made["token"].startswith(f"rsk_{made['id']}_")
    assert made["expires_ms"] - made["created_ms"] == 90 * 24 * 3_600_000
    assert "It isn't shown again" in ended.err
    out = home.path.parent / "client.token"
    made = rows(cli, "admin", "token", "create", *at, "--name", "app", "--gateway", "submit", "--out", out)
    assert "token" not in made
    text = out.read_text().strip()
    assert (text[4:20], out.stat().st_mode & 0o777) == (made["id"], 0o600)
    listed = rows(cli, "admin", "token", "list", "--home", home.path)
    assert [(one["name"], one["role"], one["gateway"], one["expired"]) for one in listed] == [
        ("ops", "operate", None, False),
        ("app", None, "submit", False),
    ]
    assert rows(cli, "admin", "token", "revoke", "ops", *at)["name"] == "ops"
    cli("admin", "token", "revoke", "ops", *at).fails(3, "there is no token 'ops'", "app")
    said = [(line["event"], line["fields"]["by"], line["fields"]["name"]) for line in read(log_of(home))]
    assert said == [
        ("token creation ordered", "operator", "ops"),
        ("token creation ordered", "operator", "app"),
        ("token revocation ordered", "operator", "ops"),
        ("token revocation ordered", "operator", "ops"),
    ]
    assert cli("audit", "verify", "--home", home.path).code == 0
    for path in home.path.rglob("*"):
        assert not path.is_file() or text[21:].encode() not in path.read_bytes(), path
    assert text[21:] not in cli("config", "show", "--home", home.path).out


def test_an_invalid_token_is_refused_before_a_file_is_written(cli: Cli, home: Home, passphrase: Path) -> None:
    at = ("admin", "token", "create", "--home", home.path, "--passphrase-file", passphrase)
    out = home.path.parent / "out"
    cli(*at, "--name", "x", "--out", out).fails(2, "allows nothing")
    cli(*at, "--name", "x", "--role", "root", "--out", out).fails(2, "read, operate or admin")
    cli(*at, "--name", "x", "--role", "read", "--expires", "4000d").fails(2, "up to 3650 days")
    cli(*at, "--name", "x y", "--role", "read", "--out", out).fails(2, "not a valid token name")
    assert not out.exists()
    out.touch()
    cli(*at, "--name", "x", "--role", "read", "--out", out).fails(2, "never overwritten")
    assert not home.tokens.exists()
    home.tokens.write_text('{"format": 7}')
    home.tokens.chmod(0o600)
    cli("admin", "token", "list", "--home", home.path).fails(1, "has format 7", "tokens-invalid")


def test_a_remote_token_has_the_rights_of_its_role(
    cli: Cli, bare: Home, running: tuple[FakeNode, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, (node, url) = bare, running
    files = {}
    for role in ("read", "operate", "admin"):
        files[role] = tmp_path / role
        cli("admin", "token", "create", "--home", home.path, "--name", role, "--role", role, "--out", files[role])

    def by(role: str) -> tuple[object, ...]:
        return ("--admin-url", url, "--token-file", files[role])

    assert rows(cli, "admin", "whoami", *by("read"))["token"] == "read"
    assert rows(cli, "admin", "whoami", "--home", home.path)["uid"] == os.geteuid()
    assert rows(cli, "snapshot", "list", *by("read")) == [{"height": 7, "time_ms": 1}]
    cli("snapshot", "create", *by("read")).fails(1, "create_snapshot needs the role operate", "role-too-low")
    assert rows(cli, "snapshot", "create", *by("operate"))["height"] == 9
    cli("keys", "rotate", *by("operate")).fails(1, "needs the role admin")
    cli("admin", "token", "list", *by("operate")).fails(1, "needs the role admin")
    assert [one["name"] for one in rows(cli, "admin", "token", "list", *by("admin"))] == ["read", "operate", "admin"]
    monkeypatch.setenv("RUSTORIUM_ADMIN_TOKEN_FILE", str(files["admin"]))
    assert rows(cli, "admin", "token", "revoke", "read", "--admin-url", url)["name"] == "read"
    cli("admin", "whoami", *by("read")).fails(1, "was revoked", "token-unknown")
    assert cli("admin", "stop", *by("operate")).code == 0
    assert "rotated" not in node.audited
    assert node.said("stop ordered") == [
        {"by": "token", "token": "operate", "id": files["operate"].read_text()[4:20], "address": "127.0.0.1",
         "role": "operate"}
    ]  # fmt: skip


def test_a_token_is_named_by_a_file_that_its_owner_reads(cli: Cli, bare: Home, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9"
    cli("admin", "whoami", "--admin-url", url).fails(2, "requires a token")
    cli("admin", "whoami", "--home", bare.path, "--admin-url", url).fails(2, "give only one of them")
    cli("admin", "whoami", "--home", bare.path, "--token-file", "x").fails(2, "name the plane with --admin-url")
    cli("admin", "whoami", "--admin-url", url, "--token-file", tmp_path / "none").fails(1, "can't be read")
    token = tmp_path / "token"
    token.write_text("rsk_0123456789abcdef_" + "A" * 43)
    cli("admin", "whoami", "--admin-url", url, "--token-file", token).fails(1, "chmod 600")
    token.chmod(0o600)
    cli("admin", "whoami", "--admin-url", url, "--token-file", token).fails(5, "no admin plane answers")
    cli("admin", "whoami", "--admin-url", "http://10.0.0.1:1", "--token-file", token).fails(2, "in the clear")
    cli("query", "--account", "rs1x", "--node", url, "--token-file", tmp_path / "none").fails(1, "can't be read")
