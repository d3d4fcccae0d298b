"""Free ports on loopback that no other net of this machine takes: each is leased for as long as this process lives.

Invariants: a lease is an abstract unix socket, so that it can't outlive its process; ports lie outside the kernel's
range for outgoing connections, so that no client takes one between the lease and the server's start.
"""

import random
import socket

from rustorium.errors import DevnetError

FIRST, LAST = 20_000, 32_000


class PortLeases:
    """Hands out ports; `close` gives them back."""

    def __init__(self) -> None:
        self._leases: list[socket.socket] = []

    def take(self, count: int) -> list[int]:
        """Ports that nobody listens on (TCP and UDP) or has leased. Errors: DevnetError when there are too few."""
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(FIRST, LAST), LAST - FIRST):
            if len(ports) == count:
                return ports
            if self.lease(port):
                ports.append(port)
        raise DevnetError(f"there are no {count} free ports from {FIRST} to {LAST}: stop something that listens there")

    def hold(self, ports: list[int]) -> None:
        """Leases ports that were written down earlier; one that is leased elsewhere is left alone."""
        for port in ports:
            self._claim(port)

    def close(self) -> None:
        """Gives all ports back."""
        for lease in self._leases:
            lease.close()
        self._leases.clear()

    def lease(self, port: int) -> bool:
        """Leases this port, if nobody has it."""
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
