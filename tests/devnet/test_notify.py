"""A real node tells its service manager when it is up, that it is alive, and when it stops."""

import socket
from pathlib import Path

import pytest

from process_tools import wait_for
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def test_a_node_speaks_to_its_service_manager(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(nodes=1, accounts=0, start=False)
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)

        def says(what: str) -> bool:
            try:
                while True:
                    heard.extend(listener.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return any(line.startswith(what) for line in heard)

        net.spawn(0, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"})
        wait_for("it is up", lambda: says("READY=1"))
        assert heard.index("READY=1") == max(i for i, line in enumerate(heard) if line == "READY=1"), "said once"
        wait_for("its height is shown", lambda: says("STATUS=height "))
        before = heard.count("WATCHDOG=1")
        wait_for("it shows that it lives", lambda: says("STATUS") and heard.count("WATCHDOG=1") >= before + 3)
        assert net.terminate(0) == 0
        assert says("STOPPING=1")
