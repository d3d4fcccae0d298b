"""Commands and probes send each node the token that a file names for it."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.net.probe import ask

A, B = ("rsk_0123456789abcdef_" + letter * 43 for letter in "AB")


@contextmanager
def listening() -> Iterator[tuple[str, list[str | None]]]:
    """Runs a node; returns its URL and the tokens that it received."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.refuse(503, "not-ready")

        def do_GET(self) -> None:
            self.refuse(401, "token-unknown")

        def refuse(self, status: int, code: str) -> None:
            seen.append(self.headers.get("authorization"))
            body = json.dumps({"code": code, "detail": "No."}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


def test_a_probe_sends_each_node_its_own_token() -> None:
    with ExitStack() as stack:
        (first, told_first), (second, told_second), (third, told_third) = (
            stack.enter_context(listening()) for _ in range(3)
        )
        ask([first, second, third], 5.0, {first: A, f"{second}/": B})
        assert (told_first, told_second, told_third) == ([f"Bearer {A}"], [f"Bearer {B}"], [None])


def test_commands_send_each_node_the_token_that_the_file_names(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    file.touch(0o600)
    with listening() as (first, told_first), listening() as (second, told_second):
        nodes = ("--node", first, "--node", second)
        file.write_text(f"{first} {A}\nhttps://elsewhere.example {B}\n")
        for command in (("status", "check"), ("query", "account", "rs1", "--no-verify")):
            cli(*command, *nodes, "--token-file", file)
            assert (set(told_first), set(told_second)) <= ({f"Bearer {A}"}, {None}), command
            assert told_first, command
        told_first.clear()
        file.write_text(f"{A}\n")
        monkeypatch.setenv("RUSTORIUM_TOKEN_FILE", str(file))
        cli("status", "check", "--node", first)
        assert told_first == [f"Bearer {A}"]
        told_first.clear()
        cli("status", "check", *nodes).fails(2, "names no endpoint", "URL rsk_")
        assert (told_first, set(told_second) - {None}) == ([], set())
        for text in (f"{A} {B}", f"{first} x", f"{first} {A}\n{first}/ {B}", f"{A}\n{B}", f"ftp://x {A}", "\n"):
            file.write_text(text)
            cli("status", "check", *nodes).fails(1, "holds no token" if text == "\n" else "line")


def test_an_admin_token_is_sent_to_no_gateway(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.touch(0o600)
    with listening() as (admin, told_admin), listening() as (gateway, told_gateway):
        command = ("status", "check", "--admin-url", admin, "--node", gateway, "--token-file", file)
        file.write_text(f"{A}\n")
        cli(*command)
        assert (set(told_admin), told_gateway) == ({f"Bearer {A}"}, [None])
        file.write_text(f"{admin} {A}\n{gateway} {B}\n")
        cli(*command)
        assert (set(told_admin), told_gateway) == ({f"Bearer {A}"}, [None, f"Bearer {B}"])
