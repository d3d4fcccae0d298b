"""Error output of failed commands, for people and for scripts."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.cli.failure import explain, wants_json
from rustorium.errors import Busy, ChainForked, OutcomeUnknown, Refused

PROBLEM = {
    "type": "urn:rustorium:problem:height-not-kept",
    "code": "height-not-kept",
    "title": "The state of that height is not kept",
    "status": 409,
    "detail": "The state of height 3 is not kept; ask for at=latest.",
}


@pytest.fixture
def refusing() -> Iterator[str]:
    """Runs a node that refuses every request."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(PROBLEM).encode()
            self.send_response(409)
            self.send_header("content-type", "application/problem+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("line", "json_wanted"),
    [
        ("tx status -o json", True),
        ("tx status -ojsonl", True),
        ("tx status --output=json", True),
        ("tx status --output jsonl --nonsense", True),
        ("tx status -o table", False),
        ("tx put json jsonl", False),
        ("tx put -o", False),
        ("", False),
    ],
)
def test_json_is_asked_for_however_it_is_spelled(line: str, json_wanted: bool) -> None:
    assert wants_json(line.split()) is json_wanted


def test_a_servers_refusal_is_shown_with_its_code(cli: Cli, refusing: str) -> None:
    asked = ("tx", "status", "ab" * 32, "--node", refusing)
    ended = cli(*asked)
    assert (ended.code, ended.out) == (1, "")
    sentence = f"{refusing} answered: the state of height 3 is not kept; ask for at=latest"
    assert ended.err == f"error: {sentence} [height-not-kept]\n"
    ended = cli(*asked, "-o", "json")
    assert (ended.code, ended.out) == (1, "")
    assert json.loads(ended.err) == {
        "error": sentence,
        "code": "height-not-kept",
        "exit_code": 1,
    }


def test_local_and_usage_errors_have_codes_too(cli: Cli, tmp_path: Path) -> None:
    ended = cli("start", "--home", tmp_path / "none", "-o", "json")
    assert json.loads(ended.err)["code"] == "usage", "start has no -o"
    ended = cli("config", "show", "--home", tmp_path / "none", "-o", "json")
    assert (ended.code, json.loads(ended.err)["code"]) == (3, "home-missing")
    assert cli("config", "show", "--home", tmp_path / "none").err.endswith("[home-missing]\n")
    ended = cli("keys", "show", tmp_path / "none.key", "-o", "jsonl")
    assert (ended.code, json.loads(ended.err)["exit_code"]) == (3, 3)


def test_an_error_has_fields_for_scripts_beside_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(OutcomeUnknown("ab" * 32), as_json=True) == 5
    assert json.loads(capsys.readouterr().err)["transaction"] == "ab" * 32
    assert explain(Busy("the pool is full", code="pool-full", retry_after_ms=70), as_json=True) == 5
    busy = {"error": "the pool is full", "code": "pool-full", "exit_code": 5, "retry_after_ms": 70}
    assert json.loads(capsys.readouterr().err) == busy
    assert explain(Refused("no", code="nonce-used"), as_json=False) == 1
    assert capsys.readouterr().err == "error: no [nonce-used]\n"
    assert explain(RuntimeError("what"), as_json=False) == 1
    assert capsys.readouterr().err.endswith("report it [internal]\n")


def test_evidence_of_a_fork_is_kept_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert explain(ChainForked("the chain has forked", evidence=b"{}"), as_json=False) == 4
    [file] = tmp_path.iterdir()
    assert file.read_bytes() == b"{}"
    assert f"the evidence is in {file} [chain-forked]" in capsys.readouterr().err
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert explain(ChainForked("the chain has forked", evidence=b"{}"), as_json=True) == 4
    assert "No space left" in json.loads(capsys.readouterr().err)["error"]
