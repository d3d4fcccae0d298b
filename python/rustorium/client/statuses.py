"""What the nodes say of a transaction: a proven receipt of any of them, otherwise what the one that knows most claims.

Invariants: one node's word that a transaction isn't certified ends nothing while another node can prove that it is.
"""

from collections.abc import Awaitable, Callable

import anyio

from rustorium.client.endpoints import Endpoint
from rustorium.client.transport import Transport
from rustorium.errors import NotFound
from rustorium.types import TransactionStatus

OTHERS_S = 1.0
"""Time that the other nodes have after one has said something that it doesn't prove."""


async def known_status(
    transport: Transport, ask: Callable[[Endpoint], Awaitable[TransactionStatus]], deadline: float
) -> TransactionStatus:
    """Asks the nodes until one proves a receipt; returns the status.

    Errors: those of `ask`, NotFound if all nodes say that they don't know the transaction."""
    said: list[TransactionStatus] = []
    with anyio.CancelScope() as scope:

        async def one(endpoint: Endpoint) -> TransactionStatus:
            status = await ask(endpoint)
            if status.proven:
                return status
            said.append(status)
            scope.deadline = min(scope.deadline, anyio.current_time() + OTHERS_S)
            raise NotFound("not proven")

        try:
            return await transport.first(one, deadline, absent=True)
        except NotFound:
            if not said:
                raise
    return max(said, key=lambda status: (status.receipt is not None, status.certified))
