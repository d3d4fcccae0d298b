"""Links between real nodes that a test can cut or delay: each node dials its peers through datagram relays of the test.

Invariants: a datagram between two islands is dropped and counted; others pass unchanged, at once or after the delay of
their link. No test sleeps: it waits for what nodes report, or for a count.
"""

import heapq
import itertools
import re
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from rustorium.config import split_address
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet

DATAGRAM_MAX = 1 << 16
POLL_S = 0.2


class Relay:
    """Relays what one node sends to another, and the answers."""

    def __init__(self, source: int, target: int, address: tuple[str, int]) -> None:
        self.ends = {source, target}
        self.source, self.target = source, target
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.connect(address)
        for end in (self.front, self.back):
            # A socket that the selector found readable because of an error has nothing to read after the send reported
            # the error.
            end.setblocking(False)
        self.dialler: tuple[str, int] | None = None

    def take(self, arrived: socket.socket) -> bytes:
        """Receives a datagram. Errors: the other end's port is closed."""
        if arrived is self.front:
            data, self.dialler = self.front.recvfrom(DATAGRAM_MAX)
            return data
        return self.back.recv(DATAGRAM_MAX)

    def hand_over(self, arrived: socket.socket, data: bytes) -> None:
        """Forwards a datagram to the other side. Errors: the other end's port is closed."""
        if arrived is self.front:
            self.back.send(data)
        elif self.dialler is not None:
            self.front.sendto(data, self.dialler)


class Wires:
    """All links of a net that isn't started yet; its nodes dial through these relays."""

    def __init__(self, net: Devnet) -> None:
        self.dropped = 0
        self._islands: Sequence[int] | None = None
        self._slow: dict[frozenset[int], float] = {}
        self._waiting: list[tuple[float, int, Relay, socket.socket, bytes]] = []
        self._number = itertools.count()
        self._over = False
        # Others count whole milliseconds, and round up.
        self._selector = selectors.SelectSelector()
        homes = [Home(Path(node.home)) for node in net.net.nodes]
        addresses = [split_address(home.load_config().config.p2p.listen) for home in homes]
        self._relays: list[Relay] = []
        for source, home in enumerate(homes):
            text = home.config.read_text()
            for target, (host, port) in enumerate(addresses):
                if target == source:
                    continue
                relay = Relay(source, target, (host, port))
                self._relays.append(relay)
                there = f"127.0.0.1:{relay.front.getsockname()[1]}"
                name = re.escape(net.net.nodes[target].name)
                text, changed = re.subn(rf'(?m)^("?{name}"? = )"{host}:{port}"$', rf'\g<1>"{there}"', text)
                assert changed == 1, text
                for end in (relay.front, relay.back):
                    self._selector.register(end, selectors.EVENT_READ, relay)
            home.config.write_text(text)
        self._thread = threading.Thread(target=self._run)

    def cut(self, islands: Sequence[int] | None) -> None:
        """Cuts the net into islands, so that nodes hear only nodes of their own island; `None` joins all."""
        self._islands = islands

    def delay(self, a: int, b: int, round_trip_s: float) -> None:
        """Makes each direction between these two nodes slower by half of this."""
        self._slow[frozenset((a, b))] = round_trip_s / 2

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        for relay in self._relays:
            relay.front.close()
            relay.back.close()

    def _run(self) -> None:
        while not self._over:
            wait_s = self._waiting[0][0] - time.monotonic() if self._waiting else POLL_S
            for key, _ in self._selector.select(max(0.0, min(POLL_S, wait_s))):
                relay: Relay = key.data
                islands = self._islands
                bars = islands is not None and islands[relay.source] != islands[relay.target]
                self.dropped += bars
                try:
                    data = relay.take(key.fileobj)  # type: ignore[arg-type]  # they are registered so
                    if not bars:
                        self._pass_on(relay, key.fileobj, data)  # type: ignore[arg-type]
                except OSError:
                    continue  # no socket listens there now: the datagram is lost
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, relay, arrived, data = heapq.heappop(self._waiting)
                with suppress(OSError):
                    relay.hand_over(arrived, data)

    def _pass_on(self, relay: Relay, arrived: socket.socket, data: bytes) -> None:
        delay_s = self._slow.get(frozenset(relay.ends), 0.0)
        if delay_s:
            heapq.heappush(self._waiting, (time.monotonic() + delay_s, next(self._number), relay, arrived, data))
        else:
            relay.hand_over(arrived, data)
