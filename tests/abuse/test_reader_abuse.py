"""Clients request large answers from a node's gateway and read nothing, or one byte a second. The node's memory is
bounded, and the writes of others go on."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest
from attackers import MIB, answer_of, connect, memory_bytes, problem_of
from watching import MARK, TIMES, VICTIM, Watch, attacked_net

from process_tools import counter, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

pytestmark = MARK

GROWTH_BYTES_MAX = 64 * MIB
SLOWER_TIMES_MAX = 1.3
VALUES, VALUE_BYTES = 48, 60_000
"""Bytes of the answer that each client requests: 2.9 MB. Earlier releases wrote each byte as six characters of JSON,
with two hex digits as well."""
KEPT_S = 5.0 * TIMES
"""Time for which clients read a byte a second."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with attacked_net(tmp_path_factory.mktemp("readers")) as net:
        with Client.from_net(net.path) as client:
            for number in range(VALUES):
                client.put(b"L/%d" % number, b"\x01" * VALUE_BYTES, key=Key.open(net.net.accounts[2].key_file))
        yield net


class Readers:
    """Connections that request a page of large values and read nothing of it, or a byte a second."""

    def __init__(self, net: Devnet, many: ExitStack, sources: list[str]) -> None:
        node = net.net.nodes[VICTIM]
        address = Key.open(net.net.accounts[2].key_file).address
        request = f"GET /v1/accounts/{address}/keys?prefix=L/&values=1&limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self._open: list[socket.socket] = []
        for source in sources:
            connection = many.enter_context(connect(node, source, receive_bytes=4096))
            connection.sendall(request.encode())
            self._open.append(connection)

    def refused(self) -> tuple[int, int]:
        """Returns the numbers of answered and of refused requests; each is decided within the time that a request waits
        for room."""
        with selectors.DefaultSelector() as waiting:
            for connection in self._open:
                waiting.register(connection, selectors.EVENT_READ)
            answered, refused = list[socket.socket](), 0
            while waiting.get_map():
                for key, _ in waiting.select():
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    waiting.unregister(connection)
                    if connection.recv(12, socket.MSG_PEEK).startswith(b"HTTP/1.1 200"):
                        answered.append(connection)
                    else:
                        status, body = answer_of(connection)
                        assert (status, problem_of(body)["code"]) == (503, "busy")
                        refused += 1
            self._open = answered
            return len(answered), refused

    def sip(self, stopping: threading.Event) -> None:
        """Reads a byte a second of each answer until told to stop."""
        while not stopping.wait(1.0):
            for connection in self._open:
                connection.recv(1)


def peak_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    with open(f"/proc/{pid}/clear_refs", "w") as marks:
        marks.write("5")


ONE, MANY, CROWD = "40 readers of one address", "40 readers of 40 addresses", "1,000 readers of one address"
CROWDS = {
    ONE: ["127.0.2.1"] * 40,
    MANY: [f"127.0.2.{1 + number}" for number in range(40)],
    CROWD: ["127.0.2.1"] * 1_000,
}


NOTHING, SIPS = "nothing", "a byte a second"
ALL = list(product(CROWDS, (NOTHING, SIPS)))
QUICK = [(ONE, NOTHING), (MANY, SIPS), (CROWD, NOTHING)]
"""Each number of clients and each way of not reading occurs once."""


@pytest.mark.parametrize(("crowd", "taking"), ALL if TIMES > 1 else QUICK)
def test_unread_answers_take_bounded_memory_and_delay_no_write(net: Devnet, crowd: str, taking: str) -> None:
    pid = net.net.nodes[VICTIM].pid
    forget_peak(pid)
    with ExitStack() as many, Watch(net, f"{crowd}, {taking}", GROWTH_BYTES_MAX, SLOWER_TIMES_MAX) as watch:
        before, stopping = memory_bytes(pid), threading.Event()
        readers = Readers(net, many, CROWDS[crowd])
        answered, refused = readers.refused()
        thread = threading.Thread(target=readers.sip, args=(stopping,))
        if taking != NOTHING:
            thread.start()
            many.callback(thread.join)
            many.callback(stopping.set)
        until = time.monotonic() + KEPT_S
        watch.beat()
        wait_for("they kept on", lambda: time.monotonic() >= until)
        held, grown = counter(net, VICTIM, "rustorium_gateway_answer_bytes"), peak_bytes(pid) - before
        print(f"{answered} answered, {refused} refused, {held / MIB:.1f} MiB held, peak {grown / MIB:+.1f} MiB")
        assert 0 < answered < len(CROWDS[crowd])
        assert refused > 0
        assert held <= 32 * MIB
        assert grown <= GROWTH_BYTES_MAX
    wait_for("nothing is held of who has left", lambda: counter(net, VICTIM, "rustorium_gateway_answer_bytes") == 0)
