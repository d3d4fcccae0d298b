"""One round of a hedged read: it asks the nearest node first, and the next one too if the answer takes long.

Invariants: a node is asked once in a round; the first answer ends the round, and slower nodes are asked last for a
while; without a hedge to spare (`Endpoints.may_hedge`) the next node waits for its share of the time; a round raises
the error of one node, never a group of errors.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

from rustorium.client.endpoints import Endpoint, Endpoints
from rustorium.errors import (
    BadResponse,
    Busy,
    ChainForked,
    ClientError,
    NoStateRoot,
    NotFound,
    NotReady,
    ProofPruned,
    Pruned,
    Refused,
    RustoriumError,
    Unreachable,
    VerificationFailed,
)

T = TypeVar("T")

WORDS = (NotFound, Refused, NoStateRoot, Pruned, ProofPruned)
"""What one node says and another may contradict."""
HEDGE_S = 0.25
"""Shortest wait for an answer before another node is asked, too."""
HEDGE_ROUND_TRIPS = 4
GRACE_S = 0.5
"""Time after the deadline for checking an answer that came in time."""


class Round(Generic[T]):
    """One question that goes to nodes in order until one answers."""

    def __init__(self, endpoints: Endpoints, ask: Callable[[Endpoint], Awaitable[T]], *, absent: bool) -> None:
        """`absent`: after a 404 or another refusal of a node the other nodes are asked, too."""
        self._endpoints, self._ask, self._absent = endpoints, ask, absent
        self._scope = anyio.CancelScope()
        self._waiting: list[Endpoint] = []
        self._fatal: BaseException | None = None
        self.answers: list[T] = []
        """The first answer; empty if no node gave one."""
        self.asked: list[Endpoint] = []
        self.causes: dict[str, str] = {}
        """Why the connection to an endpoint failed, by URL."""
        self.last: RustoriumError | None = None
        self.told: RustoriumError | None = None
        """What the last node said that answered, but not with what was asked for: a refused answer before others."""
        self.refused = 0
        self.spoken = set[Endpoint]()
        """Nodes that answered, but not with what was asked for."""

    async def run(self, nodes: Sequence[Endpoint], deadline: float, patience_s: float) -> None:
        """Asks until the deadline, and another node after `patience_s` or some round trips. Errors: those of `ask` that
        every node would give."""
        self._scope.deadline = deadline + GRACE_S
        with self._scope:
            async with anyio.create_task_group() as group:
                for position, endpoint in enumerate(nodes):
                    done = anyio.Event()
                    group.start_soon(self._one, endpoint, done)
                    # The remaining time is shared by the remaining nodes.
                    share_s = (deadline - anyio.current_time()) / (len(nodes) - position)
                    wait_s = max(patience_s, HEDGE_ROUND_TRIPS * (endpoint.rtt_s or 0.0))
                    with anyio.move_on_after(max(0.0, min(wait_s, share_s))):
                        await done.wait()
                    if not done.is_set() and not self._endpoints.may_hedge(anyio.current_time()):
                        with anyio.move_on_after(max(0.0, share_s - wait_s)):
                            await done.wait()
                    if anyio.current_time() >= deadline:
                        break
        if self._fatal is not None:
            raise self._fatal
        if self.answers:
            for endpoint in self._waiting:
                self._endpoints.failed(endpoint, anyio.current_time())

    async def _one(self, endpoint: Endpoint, done: anyio.Event) -> None:
        self.asked.append(endpoint)
        self._waiting.append(endpoint)
        try:
            answer = await self._ask(endpoint)
        except Exception as error:
            self._waiting.remove(endpoint)
            if not self._go_on(endpoint, error):
                self._fatal = error
                self._scope.cancel()
        else:
            self._waiting.remove(endpoint)
            self.answers.append(answer)
            self._scope.cancel()
        finally:
            done.set()

    def _go_on(self, endpoint: Endpoint, error: Exception) -> bool:
        """Counts an error, and names the endpoint in one about its answer. `False` if asking another node would not
        help."""
        if isinstance(error, Unreachable):
            self.last, self.causes[endpoint.url] = error, error.cause
        elif isinstance(error, (Busy, NotReady)):
            self.last = error
        elif isinstance(error, (BadResponse, VerificationFailed)) and not isinstance(error, ChainForked):
            self._endpoints.failed(endpoint, anyio.current_time())
            self.last = self.told = error.about(endpoint.url)
            self.refused += 1
            self.spoken.add(endpoint)
        elif (self._absent or endpoint.listed) and (isinstance(error, WORDS) or type(error) is ClientError):
            self.last = error
            self.spoken.add(endpoint)
            self.told = self.told if self.refused or (endpoint.listed and self.told is not None) else error
        else:
            return False
        return True
