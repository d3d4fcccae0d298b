"""Clients: a few accounts that sign transactions, submit them to nodes, wait, and submit again if no answer comes.

Invariants: an account's nonces go up one by one. The same bytes are submitted again; other bytes take their place only
after a node said that they have expired. A client believes a node that says *final* or *expired*, and the checkers hold
an honest node to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.sim.net import EXPIRES_MS, REGION, START_MS, Signed, seed_of
from rustorium.sim.shadow import SignedByClient
from rustorium.sim.usage import declared_work

if TYPE_CHECKING:
    from rustorium.sim.world import World

TAGS_EACH = 1_000_000
TAGS_ALL = 1_000_000_000
"""Added to the tag of a transaction that replaces an expired one."""
TAGS_BESIDE = 1_000_000_000_000
"""The first tag of transactions that others than these clients sign."""
LIFETIMES_MS = (5_000, 3_600_000)
EXPIRED, PAUSED = "expired", "paused"
RETRY_MS = 400.0
KEYS = 5
TOGETHER_MAX = 3
"""Maximum number of transactions of one account under way at once."""


@dataclass(slots=True)
class Wait:
    """A transaction under way."""

    account: int
    nonce: int
    signed: Signed
    until: str


class Clients:
    """All accounts of a run."""

    def __init__(self, world: "World", gap_ms: float) -> None:
        self.world, self._rng = world, world.rng
        self.gap_ms = gap_ms
        """The mean time between two transactions of one account."""
        self._nonces = [0] * len(world.net.accounts)
        self.operators = range(len(world.net.accounts) - world.net.operators, len(world.net.accounts))
        """The operators' accounts, by number."""
        self._people = self.operators.start - (world.net.owner is not None) - world.net.custodians
        self.beside: Callable[[int, int, str, int | None], None] = lambda node, tag, how, height: None
        """Called with the answers for tags that no client here uses."""
        world.on_owner = self.own
        self._waits: dict[int, Wait] = {}
        self.done = 0
        self.handed_in = 0
        """Number of submissions, each with a waiter at its node."""
        self.lifetimes = False
        """`True` if some transactions expire soon."""
        self.stopped = False
        """`True` if no new transactions are signed."""
        world.on_answer = self._answered

    def begin(self) -> None:
        for account in range(self._people):
            if self.world.net.is_here(self.world.net.accounts[account].address):
                self._soon(account)

    def govern(self, operation: dict[str, Any]) -> None:
        """Submits the next transaction of each operator."""
        for operator in self.operators:
            self._submit(operator, [operation])

    def put_as_operator(self, which: int, key: bytes, value: bytes) -> int:
        """Puts a value into an operator's account. Returns the transaction's tag."""
        account = self.operators[which]
        namespace = self.world.net.accounts[account].address
        operation = {"type": "put", "namespace": namespace, "key_hex": key.hex(), "value_hex": value.hex()}
        return self._submit(account, [operation])

    def put(self, account: int, key: str) -> None:
        """Puts a value into an account."""
        namespace = self.world.net.accounts[account].address
        operation = {"type": "put", "namespace": namespace, "key": key, "value": f"{self._nonces[account]}"}
        self._submit(account, [operation])

    def waits_of(self, account: int) -> list[Wait]:
        """Returns an account's transactions whose end no client has heard of."""
        return [wait for wait in self._waits.values() if wait.account == account]

    def waits_for(self, tag: int) -> bool:
        """Checks whether no client has heard of this transaction's end."""
        return tag in self._waits

    def own(self, operation: dict[str, Any]) -> None:
        """Submits the next transaction of the owner of a validator, in the shard that has its account."""
        owner = self.operators.start - 1
        if self.world.net.is_here(self.world.net.accounts[owner].address):
            self._submit(owner, [operation])

    def waiting(self) -> int:
        """Returns the number of transactions whose end no client has heard of."""
        return len(self._waits)

    def _soon(self, account: int) -> None:
        self.world.after_ms(self._rng.uniform(0, 2 * self.gap_ms), self._next, account)

    def _next(self, account: int) -> None:
        if self.stopped:
            return
        self._soon(account)
        if sum(wait.account == account for wait in self._waits.values()) >= TOGETHER_MAX:
            return
        self._submit(account, self._operations(account, self._nonces[account]))

    def _submit(self, account: int, operations: list[dict[str, Any]]) -> int:
        nonce = self._nonces[account]
        self._nonces[account] += 1
        expires_ms = EXPIRES_MS
        if self.lifetimes and self._rng.random() < 0.3:
            expires_ms = START_MS + self.world.now // NS_PER_MS + self._rng.randint(*LIFETIMES_MS)
        tag = account * TAGS_EACH + nonce
        self._sign(tag, account, nonce, operations, expires_ms)
        return tag

    def _sign(
        self, tag: int, account: int, nonce: int, operations: list[dict[str, Any]], expires_ms: int = EXPIRES_MS
    ) -> None:
        signed = self.world.net.sign(account, nonce, operations, expires_ms)
        work = declared_work(signed.raw)
        self.world.shadow.signed(SignedByClient(signed.id, account, nonce, expires_ms, operations, work))
        self._waits[tag] = Wait(account, nonce, signed, "certified" if self._rng.random() < 0.3 else "final")
        self._hand_in(tag)

    def _operations(self, account: int, nonce: int) -> list[dict[str, Any]]:
        """Draws one operation, or two of which the second often fails, so that the first must have no effect."""
        first = self._operation(account, nonce)
        if self._rng.random() > 0.2:
            return [first]
        own = self.world.net.accounts[account].address
        return [first, {"type": "delete", "namespace": own, "key": f"key-{self._rng.randrange(2 * KEYS)}"}]

    def _operation(self, account: int, nonce: int) -> dict[str, Any]:
        net, rng = self.world.net, self._rng
        own = net.accounts[account].address
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                other = net.accounts[rng.randrange(len(net.accounts))].address
                return {"type": "transfer", "to": other, "asset": net.asset, "amount": str(rng.randint(1, 1000))}
            case 4:
                return {"type": "delete", "namespace": own, "key": f"key-{rng.randrange(KEYS)}"}
            case 5:
                key = _native.public_key(seed_of("newcomer", account, nonce)).hex()
                return {"type": "create_account", "region": REGION, "public_key": key, "storage_bytes": 1000}
            case _:
                value = f"{nonce} " * rng.randint(1, 20)
                return {"type": "put", "namespace": own, "key": f"key-{rng.randrange(KEYS)}", "value": value}

    def _hand_in(self, tag: int) -> None:
        wait = self._waits.get(tag)
        if wait is None:
            return
        self.world.after_ms(RETRY_MS * (1 + self._rng.random()), self._hand_in, tag)
        running = [node.port for node in self.world.nodes if node.port is not None]
        if running:
            self.handed_in += 1
            running[self._rng.randrange(len(running))].client(wait.signed.raw, wait.until, tag)

    def _answered(self, node: int, tag: int, how: str, height: int | None) -> None:
        if tag >= TAGS_BESIDE:
            self.beside(node, tag, how, height)
        wait = self._waits.get(tag)
        if wait is None or node not in self.world.honest:
            return
        if how == PAUSED:
            self.world.counts["refused: paused"] += 1
        if how == EXPIRED:
            self._replace(tag, wait)
        elif height is not None:  # otherwise refused for now, and submitted again
            del self._waits[tag]
            self.done += 1
            self.world.checkers.told_final(wait.signed.id, height)

    def _replace(self, tag: int, wait: Wait) -> None:
        """Signs another transaction with the nonce of one that a node called expired."""
        del self._waits[tag]
        self.world.counts["expired transaction"] += 1
        self.world.checkers.told_expired(wait.signed.id)
        self._sign(tag + TAGS_ALL, wait.account, wait.nonce, self._operations(wait.account, wait.nonce))
