"""What the nodes say of a transaction: a proven receipt of any of them, otherwise what the one that knows most claims.

Invariants: one node's word that a transaction isn't certified ends nothing while another node can prove that it is.
"""

from collections.abc import Awaitable, Callable

import anyio

from rustorium.client.endpoints import Endpoint
from rustorium.client.transport import Transport
from rustorium.errors import NotFound, RustoriumError
from rustorium.types import TransactionStatus

OTHERS_S = 1.0
"""Time that the other nodes have after one has said something that it doesn't prove."""


async def known_status(
    transport: Transport, ask: Callable[[Endpoint], Awaitable[TransactionStatus]], deadline: float
) -> TransactionStatus:
    """Asks the nodes until one proves a receipt; returns the status. Nodes that failed lately aren't waited for, and
    one that doesn't answer in time counts as failed.

    Errors: those of `ask`, NotFound if all nodes say that they don't know the transaction."""
    claims: list[TransactionStatus] = []
    heard, waiting = set[Endpoint](), set[Endpoint]()
    own, now = transport.endpoints.own, anyio.current_time

    async def one(endpoint: Endpoint) -> TransactionStatus:
        waiting.add(endpoint)
        try:
            status = await ask(endpoint)
        except RustoriumError as error:
            waiting.discard(endpoint)
            if isinstance(error, NotFound):
                heard.add(endpoint)
            end()
            raise
        waiting.discard(endpoint)
        if status.proven:
            return status
        heard.add(endpoint)
        claims.append(status)
        end()
        raise NotFound("the node has no proof of it")

    def end() -> None:
        if claims:
            scope.deadline = min(scope.deadline, now() + OTHERS_S)
            if all(other in heard or other.down_until > now() for other in own):
                scope.cancel()

    with anyio.CancelScope() as scope:
        try:
            return await transport.first(one, deadline, absent=True)
        except NotFound:
            if not claims:
                raise
    for endpoint in waiting:
        transport.endpoints.failed(endpoint, now())
    return max(claims, key=lambda status: (status.receipt is not None, status.certified))
