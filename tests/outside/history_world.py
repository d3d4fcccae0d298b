"""The ledger that a run's clients share: accounts, registers and the bank, and the content of its transactions.

Registers are keys `r/…` of the first account's namespace that all accounts may write. The bank is an asset; each
account starts with the same amount of it.

Invariants: a transaction follows only from its client's operation, and contains that operation's id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio
from history_records import FinishedOperation, Intent, Look, Place

from rustorium._native import asset_id
from rustorium.api import Operation
from rustorium.client import AsyncClient, Client, Key
from rustorium.client import operations as ops
from rustorium.net.devnet import Devnet
from rustorium.types import Balance, SubjectContent, Submitted

OPENING = 100
SYMBOL = "COIN"
ID_KEY = b"id"


@dataclass(slots=True)
class World:
    """Data that all clients of a run share."""

    net: Devnet
    seed: int
    keys: list[Key]
    """Keys of the bank's accounts; the first one's namespace has the registers."""
    asset: str
    opened: int
    """The height at which the bank opened."""
    intents: dict[str, Intent] = field(default_factory=dict)
    done: list[FinishedOperation] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    streams: list[list[tuple[Place, str]]] = field(default_factory=list)
    moved: trio.Condition = field(default_factory=trio.Condition)
    completed: int = 0
    ended: bool = False

    @property
    def namespace(self) -> str:
        return self.keys[0].address

    async def complete(self) -> None:
        """Notes the end of an operation, with any result."""
        self.completed += 1
        await self.move()

    async def end(self) -> None:
        """Stops all clients."""
        self.ended = True
        await self.move()

    async def move(self) -> None:
        """Wakes all waiting tasks."""
        async with self.moved:
            self.moved.notify_all()

    async def reached(self, count: int) -> None:
        """Waits until this many operations have ended, or all clients have."""
        await self.until(lambda: self.completed >= count or self.ended)

    async def followed(self, place: Place) -> None:
        """Waits until all followers of the event stream have reached this place."""
        await self.until(lambda: all(stream and stream[-1][0] >= place for stream in self.streams))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition holds; checks it at each wake-up."""
        async with self.moved:
            while not condition():
                await self.moved.wait()


def prepare(net: Devnet, seed: int) -> World:
    """Opens the bank and gives all accounts but the operator's the right to write the registers."""
    keys = [Key.open(account.key_file) for account in net.net.accounts[1:]]
    owner = keys[0]
    with Client.from_net(net.path, key=owner) as client:
        client.send([ops.grant(key.address, [b"r/"]) for key in keys[1:]])
        opened, _ = place_of(client.send([ops.issue(SYMBOL, key.address, OPENING) for key in keys]))
    return World(net, seed, keys, asset_id(owner.address, SYMBOL), opened)


def place_of(done: Submitted) -> Place:
    """Returns a final transaction's place."""
    assert done.receipt is not None
    return done.receipt.height, done.receipt.index


async def follow(world: World, urls: Sequence[str]) -> None:
    """Records the event stream, forever."""
    places: list[tuple[Place, str]] = []
    world.streams.append(places)
    async with AsyncClient(urls) as client:
        async for event in client.subscribe_transactions(after=f"{world.opened}.0"):
            receipt = event.receipt
            places.append(((receipt.height, receipt.index), receipt.transaction))
            await world.move()


def operations_of(world: World, intent: Intent) -> list[Operation]:
    """Returns the operations of the transaction for a client's request."""
    namespace, name = world.namespace, intent.key.encode()
    wanted: list[Operation] = []
    if intent.kind in ("cas", "check") and intent.expected:
        wanted.append(ops.require_value(namespace, name, intent.expected.encode()))
    elif intent.kind in ("cas", "check"):
        wanted.append(ops.require_absent(namespace, name))
    if intent.kind in ("write", "cas"):
        wanted.append(ops.put(namespace, name, intent.value.encode()))
    if intent.kind == "transfer":
        wanted.append(ops.transfer(world.keys[intent.to].address, world.asset, intent.amount))
    return [*wanted, ops.put(world.keys[intent.account].address, ID_KEY, intent.id.encode())]


def amount_of(held: SubjectContent) -> int:
    """Returns a balance's amount."""
    assert isinstance(held, Balance)
    return held.amount
