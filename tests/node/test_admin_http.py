"""The admin plane over HTTP: only tokens are accepted, and any input gets a result or a problem."""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from admin_tools import FakeNode, calls, serving
from rustorium.errors import AccessRefused, ConfigError, NodeError, NotReady, TooManyCalls, UsageError
from rustorium.home.tokens import Role, Scope, issue, revoke
from rustorium.node.admin import socket as admin
from rustorium.node.admin.http import BODY_BYTES_MAX
from rustorium.node.admin.remote import Remote
from rustorium.node.admin.socket import address_of, call
from rustorium.node.bridge import listen_tcp

NOW = 1_800_000_000_000


@contextmanager
def listening(folder: Path) -> Iterator[tuple[FakeNode, str, Path]]:
    """Runs a server with a listener; returns its address, and its file of tokens."""
    tokens = folder / "tokens.json"
    with listen_tcp("127.0.0.1:0") as listener, serving(folder / "admin.sock", tokens, listener) as (node, _):
        yield node, address_of(listener), tokens


def made(tokens: Path, role: Role | None, name: str | None = None, expires_ms: int | None = None) -> str:
    return issue(
        tokens,
        name or (role.value if role is not None else "client"),
        role,
        Scope.read if role is None else None,
        expires_ms,
        NOW,
    )[1]


def ask(address: str, method: str, path: str, token: str | None, body: bytes = b"") -> tuple[int, Any, Any]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    media = "application/json" if answer.status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == media
    found = json.loads(content)
    if answer.status != 200:
        assert found["status"] == answer.status
        assert found["type"] == f"urn:rustorium:problem:{found['code']}"
        assert found["detail"]
        assert found["title"]
    return answer.status, found, answer.headers


def test_calls_with_a_token_are_those_of_the_socket(tmp_path: Path) -> None:
    with listening(tmp_path) as (node, address, tokens):
        reader, operator = made(tokens, Role.read), made(tokens, Role.operate)
        remote = Remote(f"http://{address}/", operator)
        assert operator not in repr(remote)
        assert call(remote, "status") == {"height": 7}
        assert call(tmp_path / "admin.sock", "addresses") == {"http": "127.0.0.1:1", "admin": address}
        assert call(remote, "create_snapshot") == {"height": 9, "time_ms": 2}
        assert call(remote, "whoami") == {
            "by": "token", "token": "operate", "id": operator[4:20], "address": "127.0.0.1", "role": "operate",
        }  # fmt: skip
        with pytest.raises(AccessRefused, match="create_snapshot needs the role operate, and token read has read"):
            call(Remote(f"http://{address}", reader), "create_snapshot")
        with pytest.raises(NotReady, match="runs no steps yet"):
            call(remote, "profile_steps", seconds=1)
        assert node.said("snapshot ordered") == [
            {"by": "token", "token": "operate", "id": operator[4:20], "address": "127.0.0.1", "role": "operate"}
        ]
        # The owner makes and revokes tokens; the next call already uses the change.
        path = tmp_path / "admin.sock"
        new = call(path, "create_token", name="new", role="admin", expires_in_ms=60_000)
        boss = Remote(f"http://{address}", new["token"])
        assert [one["name"] for one in call(boss, "tokens")] == ["read", "operate", "new"]
        with pytest.raises(UsageError, match="there is a token new already"):
            call(boss, "create_token", name="new", role="read")
        assert call(boss, "revoke_token", name="operate")["role"] == "operate"
        with pytest.raises(AccessRefused, match="was revoked"):
            call(remote, "status")
        revoke(tokens, "new")
        with pytest.raises(AccessRefused) as refused:
            call(boss, "status")
        assert refused.value.code == "token-unknown"
    told = calls(node)
    assert told["token operate", "status", "ok"] == 1
    assert told["token read", "create_snapshot", "role-too-low"] == 1
    assert told["address 127.0.0.1", "status", "token-unknown"] == 2
    written = json.dumps(node.lines)
    for text in (reader, operator, new["token"]):
        assert text[21:] not in written


def test_refusals_are_problems_with_a_challenge(tmp_path: Path) -> None:
    with listening(tmp_path) as (_, address, tokens):
        reader, gateway = made(tokens, Role.read), made(tokens, None)
        old = made(tokens, Role.admin, "old", expires_ms=1)
        cases = [
            ("POST", "/v1/admin/status", None, 401, "token-missing"),
            ("POST", "/v1/admin/status", "nonsense", 401, "token-unknown"),
            ("POST", "/v1/admin/status", old, 401, "token-expired"),
            ("POST", "/v1/admin/status", gateway, 403, "role-too-low"),
            ("POST", "/v1/admin/stop", reader, 403, "role-too-low"),
            ("POST", "/v1/admin/reboot", None, 401, "token-missing"),
            ("POST", "/v1/admin/reboot", reader, 404, "unknown-route"),
            ("POST", "/", reader, 404, "unknown-route"),
            ("GET", "/v1/admin/status", reader, 405, "method-not-allowed"),
        ]
        for method, path, token, status, code in cases:
            found_status, found, headers = ask(address, method, path, token)
            assert (found_status, found["code"]) == (status, code), path
            assert ("www-authenticate" in headers) == (status in (401, 403))
        for body in (b"[]", b"{", b"\xff", b"[" * 60_000, b"1" * 5_000):
            assert ask(address, "POST", "/v1/admin/status", reader, body)[1]["code"] == "bad-request"
        status, found, _ = ask(address, "POST", "/v1/admin/status", reader, b" " * (BODY_BYTES_MAX + 1))
        assert (status, found["code"]) == (413, "body-too-large")
        assert ask(address, "POST", "/v1/admin/status", reader, b"")[0] == 200
        tokens.chmod(0o644)
        status, found, _ = ask(address, "POST", "/v1/admin/status", reader)
        assert (status, found["code"]) == (503, "tokens-exposed")
        assert str(tokens) not in found["detail"]


def test_a_client_that_asks_too_often_learns_how_long_to_wait(tmp_path: Path) -> None:
    with listening(tmp_path) as (_, address, _tokens):
        found = [ask(address, "POST", "/v1/admin/status", "nonsense") for _ in range(20)]
        codes = [one[1]["code"] for one in found]
        assert codes[:10] == ["token-unknown"] * 10
        assert "too-many-calls" in codes
        status, problem, headers = found[codes.index("too-many-calls")]
        assert status == 429
        assert 0 < problem["retry_after_ms"] <= 1000
        assert headers["retry-after"] == "1"
        remote = Remote(f"http://{address}", "rsk_x")
        errors = []
        for _ in range(20):
            with pytest.raises(AccessRefused) as refused:
                call(remote, "status")
            errors.append(refused.value)
        assert all(one.retry_after_ms > 0 for one in errors if isinstance(one, TooManyCalls))
        assert any(isinstance(one, TooManyCalls) for one in errors)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"POST /v1/admin/status HTTP/1.1\r\n\r\n",
        b"POST /v1/admin/status HTTP/1.1\r\nhost: x\r\ncontent-length: nine\r\n\r\n",
        b"POST /v1/admin/status HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/admin/status HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\r\n\r\n",
        b"POST /v1/admin/status HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n",
        b"POST /v1/admin/status HTTP/1.1\r\nhost: x\r\nauthorization:\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000,
        b"",
    ],
)
def test_any_bytes_get_a_problem_or_a_closed_connection(tmp_path: Path, sent: bytes) -> None:
    with listening(tmp_path) as (_, address, tokens):
        reader = made(tokens, Role.read)
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            got = b""
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65_536):
                    got += chunk
            except OSError:  # the server closed the connection before all was sent
                pass
        if got:
            head, _, body = got.partition(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
            assert json.loads(body)["code"] in ("bad-request", "token-missing", "token-unknown")
        assert call(Remote(f"http://{address}", reader), "status") == {"height": 7}, "the next one is served"


def test_a_connection_serves_many_calls(tmp_path: Path) -> None:
    with listening(tmp_path) as (_, address, tokens):
        reader = made(tokens, Role.read)
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            connection.request("POST", "/v1/admin/status", b"{}", {"authorization": f"bearer {reader}"})
            assert json.loads(connection.getresponse().read()) == {"height": 7}
            assert connection.sock is kept
        connection.close()


def test_the_socket_is_for_its_owner_and_root_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "admin.sock"
    monkeypatch.setattr(admin, "owner_of", lambda _: (7, os.geteuid() + 12_345))
    with serving(path) as (node, _):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(AccessRefused, match="for the node's own user and root") as refused:
            call(path, "status")
        assert refused.value.code == "not-the-owner"
    assert calls(node) == {(f"uid {os.geteuid() + 12_345}", "unknown", "not-the-owner"): 1}


def test_a_token_goes_to_this_machine_or_over_tls(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://node.example/admin"):
        Remote(url, "rsk_x")
    for url in ("http://10.0.0.1:1", "http://node.example", "http://127.0.0.1.example"):
        with pytest.raises(UsageError, match="in the clear"):
            Remote(url, "rsk_x")
    for url in ("", "127.0.0.1:1", "ftp://127.0.0.1", "http://", "http://[::1"):
        with pytest.raises(UsageError, match="is not the URL of an endpoint"):
            Remote(url, "rsk_x")
    with pytest.raises(NotReady, match="no admin plane answers"):
        call(Remote("http://127.0.0.1:9", "rsk_x"), "status")


def test_the_listener_is_for_this_machine_alone() -> None:
    from rustorium.config import load

    for good in ("", "127.0.0.1:0", "localhost:1", "[::1]:2"):
        assert load(f'[admin]\nlisten = "{good}"').config.admin.listen == good
    for bad, said in (
        ("0.0.0.0:1", "SSH tunnel"),
        ("[::]:1", "SSH tunnel"),
        ("node:1", "SSH tunnel"),
        ("x", "host:port"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(f'[admin]\nlisten = "{bad}"')
    with pytest.raises(ConfigError, match=r"gateway\.submit"):
        load('[gateway]\nsubmit = "closed"')
    with listen_tcp("127.0.0.1:0") as taken, pytest.raises(NodeError, match="is in use") as refused:
        listen_tcp(address_of(taken))
    assert refused.value.code == "port-in-use"
