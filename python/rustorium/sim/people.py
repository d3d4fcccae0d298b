"""Signers of version 2 in a run: people whose transactions may be refused for ever, since keys change and others use
their nonces.

Invariants: the same bytes are submitted again until they are final, expired, void by another transaction's nonce, or
their signer gives up. What an honest node says of one of these ends is held against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustorium.sim.clients import EXPIRED, TAGS_BESIDE
from rustorium.sim.net import EXPIRES_MS, Signed
from rustorium.sim.shadow import SignedByClient

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients
    from rustorium.sim.groups import Group

USED = "nonce-used"
UNKNOWN = ("timed-out",)
"""Ends of a wait after which the transaction may still be executed."""
RETRY_MS = 150.0

Ended = Callable[[int | None], None]
"""Called with the height of a transaction that is final; with `None` if it can be none any more."""


@dataclass(slots=True)
class Errand:
    """A transaction under way."""

    signed: Signed
    ended: Ended
    until: str
    gives_up_ms: float
    once: bool = False
    """`True` if it is submitted to one node, once: then a refusal is for ever."""
    handed_in: int = 0
    """Number of submissions."""


class People:
    """All such signers of one shard's run."""

    def __init__(self, clients: "Clients") -> None:
        self._clients, self.world = clients, clients.world
        self._errands: dict[int, Errand] = {}
        self._next_tag = TAGS_BESIDE
        self.abandoned = 0
        """Number of submissions of transactions whose signers gave up."""
        self._signed: set[str] = set()
        """Ids of all transactions: the same operations with the same nonce are the same transaction."""
        clients.beside = self._answered

    def waiting(self) -> int:
        """Returns the number of transactions whose end is awaited."""
        return len(self._errands)

    def submit(
        self,
        account: int,
        address: str,
        group: "Group",
        nonce: int,
        operations: Sequence[dict[str, Any]],
        ended: Ended,
        patience_ms: float,
        *,
        once: bool = False,
    ) -> None:
        """Signs a transaction and submits it until it ends, or patience is over. One that is submitted only once is
        like no other."""
        world = self.world
        signed = group.sign(world.net.chain, address, nonce, EXPIRES_MS, operations)
        if signed.id not in self._signed:
            self._signed.add(signed.id)
            world.shadow.signed(SignedByClient(signed.id, account, nonce, EXPIRES_MS, operations, signer=group.signer))
        until = "certified" if world.rng.random() < 0.2 else "final"
        self._begin(Errand(signed, ended, until, world.now / 1e6 + patience_ms, once))

    def forge(self, address: str, group: "Group", nonce: int, operations: Sequence[dict[str, Any]]) -> None:
        """Submits a transaction one of whose signatures is another key's. No client remembers it."""
        world = self.world
        signed = group.sign(world.net.chain, address, nonce, EXPIRES_MS, operations, forged=1)
        world.counts["forged signature"] += 1
        self._begin(Errand(signed, lambda height: None, "final", world.now / 1e6 + RETRY_MS))

    def _begin(self, errand: Errand) -> None:
        tag = self._next_tag
        self._next_tag += 1
        self._errands[tag] = errand
        self._hand_in(tag)

    def _hand_in(self, tag: int) -> None:
        errand, world = self._errands.get(tag), self.world
        if errand is None:
            return
        if world.now / 1e6 > errand.gives_up_ms:
            del self._errands[tag]
            self.abandoned += errand.handed_in
            return
        world.after_ms(RETRY_MS * (1 + world.rng.random()), self._hand_in, tag)
        if errand.once and errand.handed_in:
            return
        running = [node.port for node in world.nodes if node.port is not None]
        if running:
            self._clients.handed_in += 1
            errand.handed_in += 1
            running[world.rng.randrange(len(running))].client(errand.signed.raw, errand.until, tag)

    def _answered(self, node: int, tag: int, how: str, height: int | None) -> None:
        errand, world = self._errands.get(tag), self.world
        if errand is None or node not in world.honest:
            return
        if height is not None:
            world.checkers.told_final(errand.signed.id, height)
            self._end(tag, errand, height)
        elif how == EXPIRED:
            world.checkers.told_expired(errand.signed.id)
            self._end(tag, errand, None)
        elif how == USED:
            world.checkers.told_used(errand.signed.id)
            self._end(tag, errand, None)
        else:
            world.counts[f"refused: {how}"] += 1
            if errand.once and how not in UNKNOWN:
                world.checkers.told_refused(errand.signed.id, how)
                self._end(tag, errand, None)

    def _end(self, tag: int, errand: Errand, height: int | None) -> None:
        del self._errands[tag]
        errand.ended(height)
