"""How far the chain is, by what several nodes say.

Invariants: a node of another chain says nothing about this one; a node that the directory named confirms no absence.
"""

import contextlib

import anyio

from rustorium.client import wire
from rustorium.client.blocks import BlockMethods
from rustorium.client.endpoints import Endpoint
from rustorium.errors import ProofRefused, RustoriumError, Unreachable

WAIT_S = 3.0
"""Maximum time that one node may wait for a root, before another is asked."""
TIPS, ASKED_MAX = 2, 4
"""Nodes that say how new a fresh answer has to be, and the user's nodes that are asked."""


class HeightMethods(BlockMethods):
    """What the methods about the state ask beside the proofs."""

    async def _tip(self, deadline: float) -> int:
        """Returns the height up to which two nodes have executed the chain: of the nodes that the user named, and of
        others if these are fewer. The only node there is counts as both. Errors: Unreachable."""
        order = await self._transport.order(deadline)
        named = [endpoint for endpoint in order if not endpoint.listed]
        others = [endpoint for endpoint in order if endpoint.listed]
        lacking = max(0, TIPS - len(named) - len(self._witnesses))
        asked = named[:ASKED_MAX] + others[: TIPS * lacking]
        heights, seen = list[int](), list[int]()
        soon = min(deadline, anyio.current_time() + WAIT_S)

        async def ask(endpoint: Endpoint) -> None:
            with contextlib.suppress(RustoriumError):
                chain, height = await self._chain_and_height(endpoint, soon)
                if chain == self.light.chain:
                    heights.append(height)
            if len(heights) + len(seen) >= TIPS:
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for endpoint in asked:
                tasks.start_soon(ask, endpoint)
            tasks.start_soon(self._witnesses.add_heights, self.light.chain, seen, soon)
        told, wanted = len(heights) + len(seen), min(TIPS, len(asked) + len(self._witnesses))
        if told < wanted:
            raise Unreachable(
                f"only {told} of {wanted} nodes said how far the chain is, so nothing shows that an answer is fresh: "
                "name other nodes too, or read without it"
            )
        return max(heights + seen)

    async def _nothing_executed(self, endpoint: Endpoint, deadline: float) -> bool | None:
        """Returns whether others confirm a node's word that its chain, which is this one, has no block yet; `None` if
        it doesn't say so, or an endpoint or witness knows of one. Errors: ProofRefused if it is of another chain."""
        try:
            chain, height = await self._chain_and_height(endpoint, deadline)
        except RustoriumError:
            return None
        if chain != self.light.chain:
            raise ProofRefused(
                f"{endpoint.url} is of chain {chain}, and the genesis is of chain {self.light.chain}: give the "
                "genesis of the chain that you mean, and a node of it"
            )
        heights, seen = [height], list[int]()
        soon = min(deadline, anyio.current_time() + WAIT_S)

        async def ask(other: Endpoint) -> None:
            with contextlib.suppress(RustoriumError):
                chain, height = await self._chain_and_height(other, soon)
                if chain == self.light.chain:
                    heights.append(height)

        async with anyio.create_task_group() as tasks:
            # A node that the directory named confirms nothing: the user didn't choose it.
            for other in self._transport.endpoints.own:
                if other is not endpoint:
                    tasks.start_soon(ask, other)
            tasks.start_soon(self._witnesses.add_heights, self.light.chain, seen, soon)
        if max([*heights, *seen]) > 0:
            return None
        # Whoever named others wants to hear them: that they are silent is no confirmation.
        several = len(heights) + len(seen) > 1 or self.light.of_one_validator()
        return several and (len(self._witnesses) == 0 or bool(seen))

    async def _chain_and_height(self, endpoint: Endpoint, deadline: float) -> tuple[str, int]:
        """Returns which chain a node is of, and its newest height, final or executed."""
        return wire.parse(wire.chain_and_height, await self._transport.attempt("GET", endpoint, "/v1/status", deadline))
