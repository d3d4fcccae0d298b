"""Faults that come while clients write: which, where and after how many operations follows from the seed.

Invariants: a fault begins and ends when so many operations have ended, never by the clock; only one goes on at a time;
at the end all nodes run again.
"""

import random
import signal
from dataclasses import dataclass
from typing import Literal

import trio
from history_clients import Recorder, World

from rustorium.client import AsyncClient, Key
from rustorium.client.operations import end_epoch
from rustorium.devnet import Devnet

FaultKind = Literal["kill", "freeze", "kill_two", "kill_all", "cut", "epoch"]
"""One node is killed; one stands still; two are killed, so that nothing becomes final; all are killed, and started
again at once; a client is cut off in the middle of what it does; the epoch ends, and with it all that its committee had
under way."""
FAULTS: tuple[FaultKind, ...] = ("kill", "freeze", "kill_all", "cut", "cut", "epoch", "kill_two")


@dataclass(frozen=True, slots=True)
class Fault:
    """From one number of ended operations to another."""

    kind: FaultKind
    first: int
    last: int
    victims: tuple[int, ...]
    """Nodes, or clients."""
    forgets: bool = False
    """A client that was cut off doesn't go on: another takes over."""


def plan(seed: int, operations: int, nodes: int, clients: int) -> list[Fault]:
    """Every kind of fault at least once, in an order of the seed's, spread over the run."""
    luck = random.Random(f"{seed}/faults")
    kinds = list(FAULTS)
    luck.shuffle(kinds)
    room = operations // (len(kinds) + 1)
    faults = []
    for number, kind in enumerate(kinds):
        first = room // 2 + number * room + luck.randrange(room // 3)
        # While nothing becomes final, operations end by their deadlines alone.
        length = luck.randrange(2, 2 + clients) if kind == "kill_two" else luck.randrange(5, room // 2)
        count = {"kill_two": 2, "kill_all": nodes}.get(kind, 1)
        victims = luck.sample(range(clients if kind == "cut" else nodes), count)
        faults.append(Fault(kind, first, first + length, tuple(victims), luck.random() < 0.5))
    return faults


async def conduct(world: World, faults: list[Fault], clients: list[Recorder]) -> None:
    """Lets the faults happen, one after the other."""
    net = world.net
    for fault in faults:
        await world.reached(fault.first)
        match fault.kind:
            case "kill" | "kill_two" | "kill_all":
                await trio.to_thread.run_sync(kill, net, fault.victims)
                if fault.kind != "kill_all":
                    await world.reached(fault.last)
                for victim in fault.victims:
                    await trio.to_thread.run_sync(net.spawn, victim)
            case "freeze":
                net.signal(fault.victims[0], signal.SIGSTOP)
                await world.reached(fault.last)
                net.signal(fault.victims[0], signal.SIGCONT)
            case "cut":
                clients[fault.victims[0]].cut(forgets=fault.forgets)
            case "epoch":
                await end_the_epoch(net)
        await world.reached(fault.last)


def kill(net: Devnet, victims: tuple[int, ...]) -> None:
    """kill -9, all of them before the first is waited for."""
    for victim in victims:
        net.signal(victim, signal.SIGKILL)
    for victim in victims:
        net.kill(victim)


async def end_the_epoch(net: Devnet) -> None:
    """The operator ends the epoch that goes on; the next one has the same committee."""
    operator = Key.open(net.net.accounts[0].key_file)
    async with AsyncClient(net.net.endpoints, key=operator) as client:
        epoch = (await client.status()).epoch
        await client.send([end_epoch(epoch)])
