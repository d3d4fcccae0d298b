"""A node's owner is answered from the moment in which the node begins to open its stores."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from process_tools import DEADLINE_S, wait_for
from rustorium.node.bridge import connect_unix
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def connected(path: Path) -> socket.socket:
    """Returns a connection to a node that has just been started, as early as possible."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return connect_unix(path, DEADLINE_S)
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {path}"


def test_a_connection_to_the_admin_socket_lasts_from_the_opening_on(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=1, accounts=0, start=False)
    path = Path(net.net.nodes[0].home, "run", "admin.sock")
    net.spawn(0)
    with connected(path) as connection, connection.makefile("rwb") as file:

        def answer() -> dict[str, Any]:
            file.write(b'{"op": "status"}\n')
            file.flush()
            return dict(json.loads(file.readline()))

        def ready() -> bool:
            said = answer()
            assert said["ok"] or said["code"] == "not-ready", said
            return bool(said["ok"] and said["result"]["ready"])

        file_at_first = path.stat().st_ino
        wait_for("the node runs", ready)
        assert path.stat().st_ino == file_at_first
