"""Commands tell a node that doesn't answer in one way, and without the numbers of the system's errors.

Invariants: the port of these tests is bound and nobody listens on it.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Cli


@pytest.fixture
def dead() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("line", ["status check", "metrics collect"])
def test_a_dead_node_refuses_connections(cli: Cli, dead: str, line: str) -> None:
    ended = cli(*line.split(), "--node", dead)
    assert ended.code == 5
    assert "doesn't answer (connection refused)" in ended.out
    assert "Errno" not in ended.out + ended.err


def test_a_dead_admin_plane_refuses_connections(cli: Cli, dead: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("rsk_0123456789abcdef_" + "A" * 43)
    token.chmod(0o600)
    ended = cli("admin", "whoami", "--admin-url", dead, "--token-file", token)
    ended.fails(5, f"no admin plane answers on {dead} (connection refused)")


def test_a_name_without_an_address_is_told_so(cli: Cli) -> None:
    ended = cli("status", "check", "--node", "http://no-such-name.invalid:26651")
    assert ended.code == 5
    assert "doesn't answer (its name has no address)" in ended.out
