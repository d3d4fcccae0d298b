"""Concurrent clients of one ledger that record all their operations.

Clients 0 to n−1 ask one node each; the others ask all nodes and share one account, so that they compete for its nonces.
The seed determines the operations of each client and their order.

Invariants: an operation is recorded with the client's own result, also if it was interrupted; nothing is retried here.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio
from history_records import FinishedOperation, Intent, Kind, Look, Outcome, Place
from history_world import World, amount_of, operations_of, place_of

from rustorium.client import AsyncClient, Key
from rustorium.client.submit import Result
from rustorium.errors import Busy, OutcomeUnknown, Refused, TransactionFailed, Unreachable
from rustorium.types import Subject, Submitted, Value

TIMEOUT_S = 4.0
ROAMING = 2
AMOUNT_MAX = 60
REGISTERS = 3
ERA = 30
"""Number of operations of a client after which all clients use new registers: few operations compete for a register, so
that each history is quickly judged."""
CHANGES: dict[Kind, int] = {"write": 24, "cas": 20, "check": 8, "transfer": 16}
READS: dict[str, int] = {"read": 14, "look": 14, "look_all": 4}
GROUP = 4
GROUPED = 0.1
"""Share of the changes that clients send as a group."""


def clients_of(world: World) -> list["Recorder"]:
    """Returns the clients: one for each node, and those that ask all nodes."""
    nodes = len(world.net.net.nodes)
    pinned = [Recorder(world, number, number, number) for number in range(nodes)]
    return pinned + [Recorder(world, nodes + number, None, nodes) for number in range(ROAMING)]


class Recorder:
    """A client and its account. `cut` ends its current operation, as if the client had died or given up."""

    def __init__(self, world: World, number: int, node: int | None, account: int) -> None:
        self._world, self.number, self._node, self._account = world, number, node, account
        self._key: Key = world.keys[account]
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
        """Interrupts the current operation. `forgets`: a new client without the old one's memory takes over."""
        if self._scope is not None:
            self._scope.cancel()
            self._forgets = forgets

    async def run(self, count: int) -> None:
        """Runs this many operations, one after the other."""
        names, weights = [*CHANGES, *READS], [*CHANGES.values(), *READS.values()]
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
        """Sends a last transaction: every earlier one that was not lost then has its place."""
        async with AsyncClient(self._world.net.net.endpoints, key=self._key) as client:
            await client.put(b"settled", b"%d" % self.number)

    async def _replace(self) -> None:
        await self._client.aclose()
        self._client, self._forgets = self._new_client(), False
        self._session += 1

    async def _do(self, kind: str, key: str) -> None:
        if kind == "read":
            await self._read(key)
        elif kind in READS:
            await self._look("" if kind == "look_all" else key)
        elif self._luck.random() < GROUPED:
            kinds = self._luck.choices(list(CHANGES), list(CHANGES.values()), k=GROUP)
            await self._change([self._intent(one, key) for one in kinds])
        else:
            [change] = [one for one in CHANGES if one == kind]
            await self._change([self._intent(change, key)])

    def _intent(self, kind: Kind, key: str = "") -> Intent:
        """Draws the next operation."""
        identity = f"{self.number}-{self._count}"
        self._count += 1
        intent = Intent(identity, self.number, self._account, kind)
        match kind:
            case "write":
                intent = replace(intent, key=key, value=identity)
            case "cas":
                intent = replace(intent, key=key, value=identity, expected=self._guess.get(key, ""))
            case "check":
                intent = replace(intent, key=key, expected=self._guess.get(key, ""))
            case "transfer":
                others = [number for number in range(len(self._world.keys)) if number != self._account]
                intent = replace(intent, to=self._luck.choice(others), amount=self._luck.randrange(1, AMOUNT_MAX))
            case "read" | "mark":
                pass
        self._world.intents[identity] = intent
        return intent

    async def _change(self, intents: Sequence[Intent]) -> list[FinishedOperation]:
        """Sends each as one transaction, and records how they ended."""
        call = time.monotonic_ns()
        ends: list[tuple[Outcome, Place | None]] = [("unknown", None)] * len(intents)
        try:
            ends = [_end(result) for result in await self._send(intents)]
        finally:
            back = time.monotonic_ns()
            done = [
                FinishedOperation(intent, self._session, self._node, call, back, outcome, place)
                for intent, (outcome, place) in zip(intents, ends, strict=True)
            ]
            self._world.done += done
        for one in done:
            if one.outcome == "ok" and one.intent.value:
                self._guess[one.intent.key] = one.intent.value
        return done

    async def _send(self, intents: Sequence[Intent]) -> Sequence[Result]:
        transactions = [operations_of(self._world, intent) for intent in intents]
        try:
            if len(transactions) == 1:
                return [await self._client.send(transactions[0])]
            return await self._client.send_many(transactions)
        except (TransactionFailed, OutcomeUnknown, Refused, Unreachable) as error:
            return [error] * len(intents)

    async def _read(self, key: str) -> None:
        """Reads in the ledger's order: the state after a transaction of its own, or after a later one."""
        call = time.monotonic_ns()
        [mark] = await self._change([self._intent("mark")])
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
        seen = self._guess[key] = (found.value or b"").decode()
        intent = replace(mark.intent, id=f"{mark.intent.id}-read", kind="read", key=key)
        place = (found.at.height, 0)
        ended = time.monotonic_ns()
        self._world.done.append(FinishedOperation(intent, self._session, self._node, call, ended, "ok", place, seen))

    async def _look(self, key: str) -> None:
        """Reads without a place in the order: a verified read, or the newest state of the client's one node."""
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


def _end(result: Result) -> tuple[Outcome, Place | None]:
    """Returns an operation's result for its client, and its place in the ledger if the client was told."""
    if isinstance(result, Submitted):
        assert result.receipt is not None
        return "ok" if result.receipt.ok else "failed", place_of(result)
    if isinstance(result, TransactionFailed):
        return "failed", None
    if isinstance(result, OutcomeUnknown):
        return "unknown", None
    if isinstance(result, (Refused, Unreachable)):
        return "never", None
    raise result
