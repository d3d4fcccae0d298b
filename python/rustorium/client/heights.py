"""How far the chain is, by what several nodes say.

Invariants: a node of another chain says nothing about this one; a node that the directory named confirms no absence.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from rustorium.client.base import of_another_chain
from rustorium.client.blocks import BlockMethods
from rustorium.client.endpoints import Endpoint
from rustorium.errors import Busy, ChainForked, RustoriumError, Unreachable

T = TypeVar("T")

WAIT_S = 3.0
"""Maximum time that one node may wait for a root, before another is asked."""
TIPS, ASKED_MAX = 2, 4
"""Nodes whose proofs show how new a fresh answer is, and those of a kind that are asked."""


class HeightMethods(BlockMethods):
    """What the methods about the state ask beside one proof."""

    async def _newest_of_two(
        self, ask: Callable[[Endpoint], Awaitable[T]], height: Callable[[T], int], deadline: float
    ) -> T:
        """Returns the higher of two nodes' answers: of nodes that the user named, and of the directory's only if there
        are fewer. The only node there is counts as both. `ask` checks an answer. Errors: those of `ask` that any node
        would give, Unreachable."""
        order = await self._transport.order(deadline)
        named = [endpoint for endpoint in order if not endpoint.listed][:ASKED_MAX]
        others = [endpoint for endpoint in order if endpoint.listed][:ASKED_MAX] if len(named) < TIPS else []
        answers, by_named = list[T](), 0
        fault: Exception | None = None
        causes = dict[str, str]()

        def is_enough() -> bool:
            return by_named >= min(TIPS, len(named)) and len(answers) >= min(TIPS, len(named) + len(others))

        async def one(endpoint: Endpoint) -> None:
            nonlocal by_named, fault
            try:
                answers.append(await ask(endpoint))
                by_named += not endpoint.listed
            except ChainForked as error:
                fault = error
            except RustoriumError as error:
                causes[endpoint.url] = str(error)
            if fault is not None or is_enough():
                tasks.cancel_scope.cancel()

        with anyio.move_on_after(max(0.0, deadline - anyio.current_time())):
            async with anyio.create_task_group() as tasks:
                for endpoint in named + others:
                    tasks.start_soon(one, endpoint)
        if fault is not None:
            raise fault
        if not is_enough():
            why = "; ".join(f"{url}: {cause}" for url, cause in causes.items()) or "they don't answer"
            raise Unreachable(
                f"not enough nodes prove how far the chain is, so nothing shows that an answer is fresh ({why}): name "
                "other nodes too, or read without it"
            )
        return max(answers, key=height)

    async def _nothing_executed(self, endpoint: Endpoint, deadline: float) -> bool | None:
        """Returns whether others confirm a node's word that its chain, which is this one, has no block yet; `None` if
        it doesn't say so, or an endpoint or witness knows of one.

        Errors: ProofRefused if the node is of another chain, Busy if nobody confirms its word and it isn't ready."""
        try:
            chain, height, unready = await self._progress(endpoint, deadline)
        except RustoriumError:
            return None
        if chain != self.light.chain:
            raise of_another_chain(endpoint.url, chain, self.light.chain)
        heights, seen = list[int]() if endpoint.listed else [height], list[int]()
        soon = min(deadline, anyio.current_time() + WAIT_S)

        async def ask(other: Endpoint) -> None:
            with contextlib.suppress(RustoriumError):
                chain, height, _ = await self._progress(other, soon)
                if chain == self.light.chain:
                    heights.append(height)

        async with anyio.create_task_group() as tasks:
            # A node that the directory named confirms nothing: the user didn't choose it.
            for other in self._transport.endpoints.own:
                if other is not endpoint:
                    tasks.start_soon(ask, other)
            tasks.start_soon(self._witnesses.add_heights, self.light.chain, seen, soon)
        if max([height, *heights, *seen]) > 0:
            return None
        # Whoever named others wants to hear them: that they are silent is no confirmation.
        several = len(heights) + len(seen) > 1 or self.light.of_one_validator()
        confirmed = several and (len(self._witnesses) == 0 or bool(seen))
        if unready and not confirmed:
            # A node that has just started may learn of blocks in a moment.
            raise Busy(
                f"{endpoint.url} has no block yet and isn't ready ({unready}): ask again when it is, or name other "
                "nodes",
                code="not-proven-yet",
            )
        return confirmed
