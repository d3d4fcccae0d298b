"""Free loopback ports that no other net on this machine uses; each is leased until this process ends.

Invariants: a lease is an abstract Unix socket, so it can't outlive its process; ports are outside the kernel's range
for outgoing connections, so that no client takes one before the server starts.
"""

import random
import socket

from rustorium.errors import DevnetError

FIRST, LAST = 20_000, 32_000


class PortLeases:
    """Leases ports; `close` releases them."""

    def __init__(self) -> None:
        self._leases: list[socket.socket] = []

    def take(self, count: int) -> list[int]:
        """Leases ports on which nobody listens (TCP and UDP). Errors: DevnetError if there are too few."""
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(FIRST, LAST), LAST - FIRST):
            if len(ports) == count:
                return ports
            if self.lease(port):
                ports.append(port)
        raise DevnetError(f"there are no {count} free ports from {FIRST} to {LAST}: stop something that listens there")

    def hold(self, ports: list[int]) -> None:
        """Leases ports of an existing configuration, except those that are leased elsewhere."""
        for port in ports:
            self._claim(port)

    def close(self) -> None:
        """Releases all ports."""
        for lease in self._leases:
            lease.close()
        self._leases.clear()

    def lease(self, port: int) -> bool:
        """Leases a port if nobody uses it; returns whether it did."""
        return self._claim(port) and _is_free(port)

    def _claim(self, port: int) -> bool:
        lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lease.bind(f"\0rustorium-port-{port}")
        except OSError:
            lease.close()
            return False
        self._leases.append(lease)
        return True


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
