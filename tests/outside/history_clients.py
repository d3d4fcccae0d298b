"""Concurrent clients of one ledger that record all they do: registers that all of them write, and a bank.

Clients 0 to n−1 ask one node each; the others ask all, and share one account, so that they compete for its nonces.
Which operations are done, and in which order by each client, follows from the seed.

Invariants: an operation is recorded as it ended for the client, also when it was cut off; it has one transaction, which
holds the operation's id; nothing is retried here.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from history_records import Done, Intent, Kind, Look, Outcome, Place

from rustorium._native import asset_id
from rustorium.api import Operation
from rustorium.client import AsyncClient, Client, Key
from rustorium.client import operations as ops
from rustorium.devnet import Devnet
from rustorium.errors import Busy, OutcomeUnknown, Refused, TransactionFailed, Unreachable
from rustorium.types import Balance, Held, Subject, Submitted, Value

TIMEOUT_S = 4.0
ROAMING = 2
OPENING = 100
AMOUNT_MAX = 60
SYMBOL = "COIN"
ID_KEY = b"id"
REGISTERS = 3
ERA = 30
"""Operations of one client before all go on with new registers: few operations compete for one, so that each history is
quickly judged."""
KINDS: dict[str, int] = {"write": 24, "cas": 20, "check": 8, "read": 14, "look": 14, "look_all": 4, "transfer": 16}


@dataclass(slots=True)
class World:
    """What all clients of a run share."""

    net: Devnet
    seed: int
    keys: list[Key]
    """Of the bank's accounts; the first one's namespace has the registers."""
    asset: str
    opened: int
    """The height at which the bank opened."""
    intents: dict[str, Intent] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    moved: trio.Condition = field(default_factory=trio.Condition)
    completed: int = 0
    ended: bool = False

    @property
    def namespace(self) -> str:
        return self.keys[0].address

    async def complete(self) -> None:
        """One more operation has ended, in whatever way."""
        async with self.moved:
            self.completed += 1
            self.moved.notify_all()

    async def end(self) -> None:
        """No client does anything more."""
        async with self.moved:
            self.ended = True
            self.moved.notify_all()

    async def reached(self, count: int) -> None:
        """Until so many operations have ended, or no client does any more."""
        async with self.moved:
            while self.completed < count and not self.ended:
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
    """Where a final transaction was executed."""
    assert done.receipt is not None
    return done.receipt.height, done.receipt.index


def amount_of(held: Held) -> int:
    """Of a balance."""
    assert isinstance(held, Balance)
    return held.amount


def clients_of(world: World) -> list["Recorder"]:
    """One for each node, and those that ask all."""
    nodes = len(world.net.net.nodes)
    pinned = [Recorder(world, number, number, number) for number in range(nodes)]
    return pinned + [Recorder(world, nodes + number, None, nodes) for number in range(ROAMING)]


class Recorder:
    """One client and its account. `cut` ends what it does just now, as if the client had died or lost patience."""

    def __init__(self, world: World, number: int, node: int | None, account: int) -> None:
        self._world, self.number, self._node, self._account = world, number, node, account
        self._key = world.keys[account]
        self._luck = random.Random(f"{world.seed}/{number}")
        self._session = self._count = 0
        self._guess: dict[str, str] = {}
        self._scope: trio.CancelScope | None = None
        self._forgets = False
        self._client = self._new_client()

    def _new_client(self) -> AsyncClient:
        net = self._world.net.net
        urls = net.endpoints if self._node is None else [net.endpoints[self._node]]
        return AsyncClient(urls, genesis=Path(net.genesis), key=self._key, timeout_s=TIMEOUT_S)

    def cut(self, *, forgets: bool) -> None:
        """Interrupts the operation that goes on; `forgets`: another client takes over, which knows nothing of it."""
        if self._scope is not None:
            self._scope.cancel()
            self._forgets = forgets

    async def run(self, count: int) -> None:
        """Does so many operations, one after the other."""
        names, weights = list(KINDS), list(KINDS.values())
        try:
            for number in range(count):
                key = f"r/{number // ERA}/{self._luck.randrange(REGISTERS)}"
                [kind] = self._luck.choices(names, weights)
                with trio.CancelScope() as self._scope:
                    await self._do(kind, key)
                self._scope = None
                if self._forgets:
                    await self._replace()
                await self._world.complete()
        finally:
            with trio.CancelScope(shield=True):
                await self._client.aclose()

    async def settle(self) -> None:
        """A last transaction: what was sent before it and not lost has its place then."""
        async with AsyncClient(self._world.net.net.endpoints, key=self._key) as client:
            await client.put(b"settled", b"%d" % self.number)

    async def _replace(self) -> None:
        await self._client.aclose()
        self._client, self._forgets = self._new_client(), False
        self._session += 1

    async def _do(self, kind: str, key: str) -> None:
        luck, namespace = self._luck, self._world.namespace
        name = key.encode()
        match kind:
            case "write":
                value = self._fresh()
                await self._change("write", [ops.put(namespace, name, value.encode())], key=key, value=value)
            case "cas":
                value, expected = self._fresh(), self._guess.get(key, "")
                changes = [self._require(name, expected), ops.put(namespace, name, value.encode())]
                await self._change("cas", changes, key=key, value=value, expected=expected)
            case "check":
                expected = self._guess.get(key, "")
                await self._change("check", [self._require(name, expected)], key=key, expected=expected)
            case "transfer":
                to = luck.choice([number for number in range(len(self._world.keys)) if number != self._account])
                amount = luck.randrange(1, AMOUNT_MAX)
                change = ops.transfer(self._world.keys[to].address, self._world.asset, amount)
                await self._change("transfer", [change], to=to, amount=amount)
            case "read":
                await self._read(key)
            case _:
                await self._look("" if kind == "look_all" else key)

    def _fresh(self) -> str:
        return f"{self.number}-{self._count}"

    def _require(self, name: bytes, expected: str) -> Operation:
        if expected:
            return ops.require_value(self._world.namespace, name, expected.encode())
        return ops.require_absent(self._world.namespace, name)

    async def _change(
        self,
        kind: Kind,
        operations: Sequence[Operation],
        *,
        key: str = "",
        value: str = "",
        expected: str = "",
        to: int = 0,
        amount: int = 0,
    ) -> Done:
        """Sends one transaction and records how it ended."""
        identity = f"{self.number}-{self._count}"
        self._count += 1
        intent = Intent(identity, self.number, self._account, kind, key, value, expected, to, amount)
        self._world.intents[identity] = intent
        call = time.monotonic_ns()
        outcome: Outcome = "unknown"
        place: Place | None = None
        try:
            mark = ops.put(self._key.address, ID_KEY, identity.encode())
            done = await self._client.send([*operations, mark])
            outcome, place = "ok", place_of(done)
        except TransactionFailed:
            outcome = "failed"
        except OutcomeUnknown:
            pass
        except (Refused, Unreachable):
            outcome = "never"
        finally:
            ended = Done(intent, self._session, self._node, call, time.monotonic_ns(), outcome, place)
            self._world.done.append(ended)
        if outcome == "ok" and value:
            self._guess[key] = value
        return ended

    async def _read(self, key: str) -> None:
        """A read that takes its place in the order: of the state after a transaction of its own, or of a later one."""
        call = time.monotonic_ns()
        mark = await self._change("mark", [])
        if mark.outcome != "ok" or mark.place is None:
            return
        namespace, name = self._world.namespace, key.encode()
        subject = Subject(namespace, key=name)
        try:
            if self._node is None or self._luck.random() < 0.5:
                state = await self._client.prove([subject], from_height=mark.place[0])
                found = state.items[subject]
            else:
                found = await self._client.read(namespace, name, at=mark.place[0])
        except (Busy, Unreachable):
            return
        assert isinstance(found, Value)
        seen = (found.value or b"").decode()
        self._guess[key] = seen
        identity = f"{mark.intent.id}-read"
        intent = Intent(identity, self.number, self._account, "read", key)
        place = (found.at.height, 0)
        ended = time.monotonic_ns()
        self._world.done.append(Done(intent, self._session, self._node, call, ended, "ok", place, seen))

    async def _look(self, key: str) -> None:
        """A plain read: verified, or of the newest state of the one node."""
        world = self._world
        proven = self._node is None or not key or self._luck.random() < 0.5
        call = time.monotonic_ns()
        value = ""
        amounts: tuple[int, ...] = ()
        try:
            if not key:
                subjects = [Subject(one.address, asset=world.asset) for one in world.keys]
                state = await self._client.proven(subjects)
                at, amounts = state.at, tuple(amount_of(state.items[subject]) for subject in subjects)
            else:
                found = await self._client.read(world.namespace, key.encode(), at="proven" if proven else "latest")
                at, value = found.at, (found.value or b"").decode()
                self._guess[key] = value
        except (Busy, Unreachable):
            return
        look = Look(
            self.number, self._session, self._node, proven, key, value, amounts, at.height, call, time.monotonic_ns()
        )
        world.looks.append(look)
