"""A node's requests to its peers: one at a time per object, to one peer after the other.

Invariants: requests are bounded in number and in attempts. A part that still needs an object requests it again, as
resends, heartbeats and finalizations do.
"""

from collections.abc import Callable

from model.vocabulary import GetCertificates, Request

RETRY_MS = 40.0
ATTEMPTS_MAX = 12
REQUESTS_MAX = 256


class Fetcher:
    def __init__(
        self,
        me: int,
        nodes: int,
        send: Callable[[int, Request], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._me, self._n, self._send, self._later = me, nodes, send, later
        self._pending: dict[Request, tuple[int, int]] = {}
        self._armed = False

    def want(self, request: Request, peer: int) -> None:
        if request in self._pending or len(self._pending) >= REQUESTS_MAX or self._n == 1:
            return
        if peer == self._me:
            peer = (peer + 1) % self._n
        self._pending[request] = (1, peer)
        self._send(peer, request)
        self._arm()

    def wants(self, request: Request) -> bool:
        return request in self._pending

    def have(self, request: Request) -> None:
        self._pending.pop(request, None)

    def drop_certificates(self) -> None:
        """A new view needs others."""
        for request in [request for request in self._pending if isinstance(request, GetCertificates)]:
            del self._pending[request]

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._later(RETRY_MS, self._retry)

    def _retry(self) -> None:
        self._armed = False
        pending, self._pending = self._pending, {}
        for request, (attempts, peer) in pending.items():
            if attempts < ATTEMPTS_MAX:
                peer = (peer + 1) % self._n
                if peer == self._me:
                    peer = (peer + 1) % self._n
                self._pending[request] = (attempts + 1, peer)
                self._send(peer, request)
        if self._pending:
            self._arm()
