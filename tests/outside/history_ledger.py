"""Reads the ledger after a run: its transactions in order, and the state after every height.

Invariants: a node's answer is accepted here; other parts compare it with the order of the transactions. Nothing here
depends on the clients' results.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import trio
from history_records import LedgerTransaction, Record
from history_world import ID_KEY, OPENING, World, amount_of

from rustorium.client import AsyncClient
from rustorium.errors import ProofPruned
from rustorium.types import Subject

AT_ONCE = 8
PAGE = 100
PROVEN = 8

T = TypeVar("T")
R = TypeVar("R")


async def read_record(world: World) -> Record:
    """Reads the whole record, each height from another node than the one before."""
    net = world.net.net
    async with AsyncExitStack() as stack:
        genesis = Path(net.genesis)
        nodes = [await stack.enter_async_context(AsyncClient(url, genesis=genesis)) for url in net.endpoints]
        last = min([(await node.status()).executed for node in nodes])
        book = await read_book(nodes, [account.address for account in net.accounts])
        heights = range(world.opened, last + 1)
        subjects = [Subject(key.address, asset=world.asset) for key in world.keys]

        async def balances(height: int) -> tuple[int, ...]:
            node = nodes[height % len(nodes)]
            return tuple([amount_of(await node.held(subject, at=height)) for subject in subjects])

        async def registers(height: int) -> dict[str, str]:
            return await read_registers(nodes[(height + 1) % len(nodes)], world.namespace, height)

        return Record(
            intents=world.intents,
            done=world.done,
            looks=world.looks,
            book=book,
            balances=dict(zip(heights, await each(balances, heights), strict=True)),
            registers=dict(zip(heights, await each(registers, heights), strict=True)),
            proven=await read_proven(nodes, subjects, world.opened),
            streams=world.streams,
            opened=world.opened,
            opening=(OPENING,) * len(world.keys),
        )


async def read_proven(nodes: list[AsyncClient], subjects: list[Subject], first: int) -> dict[int, tuple[int, ...]]:
    """Reads all balances at some of the kept roots, each verified with one proof."""
    newest = (await nodes[0].proven(subjects)).at.height
    found: dict[int, tuple[int, ...]] = {}
    for number in range(PROVEN):
        node = nodes[number % len(nodes)]
        height = newest - number * (newest - first) // PROVEN
        try:
            state = await node.prove(subjects, at=height)
        except ProofPruned as error:
            if error.nearest is None or error.nearest < first:
                continue
            state = await node.prove(subjects, at=error.nearest)
        found[state.at.height] = tuple(amount_of(state.items[subject]) for subject in subjects)
    return found


async def each(ask: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Returns the results of `ask`, in order; some run at the same time."""
    wanted = list(items)
    found: dict[int, R] = {}
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int, item: T) -> None:
        async with limit:
            found[number] = await ask(item)

    async with trio.open_nursery() as nursery:
        for number, item in enumerate(wanted):
            nursery.start_soon(one, number, item)
    return [found[number] for number in range(len(wanted))]


async def read_book(nodes: list[AsyncClient], addresses: Iterable[str]) -> list[LedgerTransaction]:
    """Reads all transactions of these accounts, in the ledger's order; a transfer is listed under both of its
    accounts."""
    names: dict[str, None] = {}
    for address in addresses:
        cursor: str | None = None
        while True:
            page = await nodes[0].account_transactions(address, before=cursor, limit=PAGE)
            names |= dict.fromkeys(page.transactions)
            if (cursor := page.next_cursor) is None:
                break

    async def final(numbered: tuple[int, str]) -> LedgerTransaction:
        number, name = numbered
        status = await nodes[number % len(nodes)].get_transaction(name)
        assert status.receipt is not None, f"{name} is listed and not final at another node"
        failure = status.receipt.failure
        place = (status.receipt.height, status.receipt.index)
        return LedgerTransaction(place, id_of(status.transaction), failure.code if failure is not None else "", name)

    return sorted(await each(final, enumerate(names)), key=lambda one: one.place)


def id_of(transaction: dict[str, Any]) -> str:
    """Returns the operation's id in a transaction as a node shows it; empty if it has none."""
    for operation in transaction["operations"]:
        if operation["type"] == "put" and operation.get("key_hex") == ID_KEY.hex():
            return str(operation["value"])
    return ""


async def read_registers(node: AsyncClient, namespace: str, height: int) -> dict[str, str]:
    """Reads all registers after a height."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page = await node.list_keys(namespace, b"r/", cursor=cursor, at=height, limit=PAGE, values=True)
        found |= {one.key.decode(): (one.value or b"").decode() for one in page.keys}
        if (cursor := page.next_cursor) is None:
            return found
