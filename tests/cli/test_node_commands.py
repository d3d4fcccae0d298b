"""`node add`, `node list` and `node remove` as an operator runs them, on a devnet of real processes."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cli_runner import Cli, CommandResult

from process_tools import wait_for
from rustorium.errors import RustoriumError
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.net.joining import runs
from rustorium.net.probe import is_ready
from rustorium.node.admin.socket import call
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of the added node, which is stopped at the end."""
    path = tmp_path / "tokyo"
    yield path
    with suppress(RustoriumError):
        call(path / "run" / "admin.sock", "stop")
        wait_for("it ended", lambda: not runs(Home(path)))


class Node:
    """The commands of `node` on one net, signed by its operator unless another account is named."""

    def __init__(self, cli: Cli, net: Devnet) -> None:
        self._cli, self._net = cli, net

    def __call__(self, command: str, *more: object, account: int | None = 0) -> CommandResult:
        signed = () if account is None else ("--key", self._net.net.accounts[account].key_file)
        return self._cli("node", command, "--net", self._net.path, *signed, *more)

    def committee(self) -> dict[str, str]:
        ended = self("list", "-o", "json", account=None)
        assert (ended.code, ended.err) == (0, "")
        return {one["name"]: one["region_name"] for one in json.loads(ended.out)}


def test_a_node_is_added_listed_and_removed(
    cli: Cli, devnet_factory: DevnetFactory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustorium.net.joining.PROGRESS_S", 0.0)
    net = devnet_factory()
    node = Node(cli, net)
    refused_before_anything_is_made(cli, net, node, home)
    added(node, home)
    removed(node)


def refused_before_anything_is_made(cli: Cli, net: Devnet, node: Node, home: Path) -> None:
    assert cli("node", "--help").code == 0
    assert "--region" in cli("node", "add", "--help").out
    node("add", "--home", home, "--region", "asia-nrtheast").fails(2, "'asia-nrtheast'", "asia-northeast, ")
    node("add", "--home", home, "--region", "%§").fails(2, "there is no region", "local")
    node("add", "--home", home, account=1).fails(2, "is not an operator")
    node("add", "--home", home, "--name", "node-2").fails(2, "has a validator node-2 already", "--name")
    node("add", "--home", net.net.nodes[0].home).fails(1, "are not what `node add` makes", "--home")
    cli("node", "add", "--home", home, "--key", net.net.accounts[0].key_file).fails(2, "no net is named")
    silent = home.with_name("silent.json")
    content = json.loads(net.path.read_text())
    silent.write_text(
        json.dumps(content | {"nodes": [one | {"http": "http://127.0.0.1:9"} for one in content["nodes"]]})
    )
    deaf = ("--net", silent, "--home", home, "--key", net.net.accounts[0].key_file, "--timeout-s", "0.3")
    cli("node", "add", *deaf).fails(5, "http://127.0.0.1:9", "check that the nodes run")
    node("remove", "node-9").fails(3, "no validator node-9, but node-0")
    node("remove", "node-3", account=2).fails(2, "is not an operator")
    wrong = cli("node", "remove", "--net", net.path, "-o", "json")
    assert (wrong.code, json.loads(wrong.err)["code"]) == (2, "usage")
    assert list(home.parent.iterdir()) == [silent]
    assert node.committee() == {f"node-{index}": "local" for index in range(4)}


def added(node: Node, home: Path) -> None:
    ended = node("add", "--home", home, "--region", "asia-northeast", "--timeout-s", 60, "-o", "json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert (said["name"], said["region"], said["home"], said["epoch"]) == ("tokyo", "asia-northeast", str(home), 1)
    assert list(dict.fromkeys(line.split()[0] for line in ended.err.splitlines())) == ["Made", "tokyo", "Admitted."]
    assert "tokyo starts." in ended.err, "whoever waits is told how far it is"
    assert home.with_name("tokyo.owner.key").stat().st_mode & 0o777 == 0o600
    assert node.committee() == {f"node-{index}": "local" for index in range(4)} | {"tokyo": "asia-northeast"}
    # A second call continues where the first ended, which is the end, also if the process is gone.
    again = node("add", "--home", home, "--region", "asia-northeast", "-o", "json")
    assert json.loads(again.out) == said | {"pid": None}
    call(home / "run" / "admin.sock", "stop")
    wait_for("it ended", lambda: not runs(Home(home)))
    back = json.loads(node("add", "--home", home, "--region", "asia-northeast", "-o", "json").out)
    assert back == said | {"pid": back["pid"]}
    assert is_ready("http://" + Home(home).load_config().config.http.listen)
    assert subprocess.run(["ps", "-p", str(back["pid"])], capture_output=True, check=False).returncode == 0


def removed(node: Node) -> None:
    ended = node("remove", "tokyo", "-o", "json")
    assert (ended.code, json.loads(ended.out)["epoch"]) == (0, 2)
    assert ended.err.splitlines() == ["tokyo leaves with this epoch; 4 stay"]
    fewer = node("remove", "node-3")
    assert (fewer.code, "A committee of 3 tolerates no fault" in fewer.err) == (0, True)
    assert list(node.committee()) == ["node-0", "node-1", "node-2"]
    ended = node("end-epoch", "-o", "json")
    assert (ended.code, json.loads(ended.out)["approved"]) == (0, "its end")
    node("end-epoch", account=2).fails(2, "is not an operator")
