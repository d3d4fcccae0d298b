"""A script that forgets `with` or `close` ends normally, with a warning as for an open file."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_net import FakeNet

from rustorium.client import Client, Key
from rustorium.errors import UsageError

BEGIN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from fake_net import FakeNet
from rustorium.client import Client
net = FakeNet()
client = Client(net.urls, transport=net.transport)
print("height", client.status().height)
"""


def play(rest: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end. A script that hangs fails the test at the deadline."""
    command = [sys.executable, *options, "-c", BEGIN + rest, str(Path(__file__).parent)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("rest", "code", "said"),
    [
        ("", 0, ""),
        ("raise ValueError('mine')", 1, "ValueError: mine"),
        ("raise SystemExit(3)", 3, ""),
        ("events = client.subscribe_transactions(); del events", 0, ""),
        ("other = Client(net.urls, transport=net.transport); other.status(); other.close()", 0, ""),
        ("if os.fork() == 0: sys.exit(0)\nos._exit(os.waitstatus_to_exitcode(os.wait()[1]))", 0, ""),
    ],
)
def test_a_script_without_close_ends(rest: str, code: int, said: str) -> None:
    ended = play(rest)
    assert (ended.returncode, ended.stdout) == (code, "height 0\n"), ended.stderr
    assert said in ended.stderr
    assert "ResourceWarning" not in ended.stderr, "silent unless warnings are asked for, as for a file"


def test_a_script_is_warned_about_an_open_client() -> None:
    ended = play("", "-W", "always::ResourceWarning")
    assert ended.returncode == 0, ended.stderr
    assert "ResourceWarning: the client of http://n0, http://n1, http://n2 was not closed: use `with`" in ended.stderr
    assert "ResourceWarning" not in play("client.close()", "-W", "always::ResourceWarning").stderr


def test_a_client_that_nobody_refers_to_ends_its_thread(net: FakeNet) -> None:
    before = set(threading.enumerate())
    client = Client(net.urls, transport=net.transport)
    client.status()
    [loop] = set(threading.enumerate()) - before
    owners = [client]
    del client
    with pytest.warns(ResourceWarning, match="was not closed"):
        owners.clear()  # the last reference
    loop.join(timeout=30)
    assert not loop.is_alive()


def test_a_closed_client_says_so(net: FakeNet, key: Key) -> None:
    client = Client(net.urls, key=key, transport=net.transport)
    client.close()
    client.close()
    with pytest.raises(UsageError, match="the client is closed"):
        client.put(b"a", b"b")
    with pytest.raises(UsageError, match="the client is closed"):
        next(client.subscribe_transactions())
