"""Faults during the clients' operations. The seed determines their kinds, places and times.

Invariants: a fault begins and ends after a number of ended operations, never by the clock. Only one fault of nodes is
active at a time. At the end all nodes run again.
"""

import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio
from history_clients import Recorder
from history_world import World

from rustorium.client import AsyncClient, Client, Key
from rustorium.client.operations import end_epoch
from rustorium.errors import TransactionFailed
from rustorium.net.devnet import Devnet
from rustorium.net.joining import admit, find, remove, wait_for_committee

PATIENCE_S = 240.0
"""Time limit that only ends a run that would never end."""

FaultKind = Literal["kill", "freeze", "kill_two", "kill_all", "join", "cut", "epoch"]
"""One node is killed; one is stopped for a while; two are killed, so that nothing becomes final; all are killed and
restarted at once; a fifth node joins the committee, and another leaves it. A client is interrupted in the middle of an
operation. The epoch ends, and with it everything that its committee had in progress."""
NODE_FAULTS: tuple[FaultKind, ...] = ("kill", "freeze", "kill_all", "kill_two")
OTHER_FAULTS: tuple[FaultKind, ...] = ("cut", "epoch", "cut", "epoch", "cut")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault between two numbers of ended operations."""

    kind: FaultKind
    first: int
    last: int
    victims: tuple[int, ...]
    """Nodes, or clients."""
    forgets: bool = False
    """If true, the interrupted client doesn't continue: a new one takes over."""


def plan(seed: int, kinds: Sequence[FaultKind], operations: int, nodes: int, clients: int) -> list[Fault]:
    """Returns these faults in an order drawn from the seed, spread over the run."""
    luck = random.Random(f"{seed}/{kinds}")
    shuffled = luck.sample(kinds, len(kinds))
    room = operations // (len(shuffled) + 1)
    faults = []
    for number, kind in enumerate(shuffled):
        first = room // 2 + number * room + luck.randrange(room // 3)
        # While nothing becomes final, operations end only by their deadlines.
        length = luck.randrange(2, 2 + clients) if kind == "kill_two" else luck.randrange(5, room // 2)
        count = {"kill_two": 2, "kill_all": nodes}.get(kind, 1)
        victims = luck.sample(range(clients if kind == "cut" else nodes), count)
        faults.append(Fault(kind, first, first + length, tuple(victims), luck.random() < 0.5))
    return faults


async def conduct(world: World, faults: Sequence[Fault], clients: Sequence[Recorder]) -> None:
    """Runs the faults, one after the other."""
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
            case "join":
                await trio.to_thread.run_sync(join, net)
                await world.reached(fault.last)
                await trio.to_thread.run_sync(leave, net, fault.victims[0])
            case "cut":
                clients[fault.victims[0]].cut(forgets=fault.forgets)
            case "epoch":
                await end_the_epoch(net)
        await world.reached(fault.last)


def kill(net: Devnet, victims: tuple[int, ...]) -> None:
    """Sends SIGKILL to all of them before it waits for the first."""
    for victim in victims:
        net.signal(victim, signal.SIGKILL)
    for victim in victims:
        net.kill(victim)


def join(net: Devnet) -> None:
    """Adds a node, which is synced and then admitted."""
    joiner = net.add_home()
    net.spawn(len(net.net.nodes) - 1)
    net.wait_ready(timeout_s=PATIENCE_S, indexes=[len(net.net.nodes) - 1])
    with operators(net) as client:
        admit(client, joiner, operator_of(net))
        wait_for_committee(client, joiner.validator_key, True, PATIENCE_S)


def leave(net: Devnet, victim: int) -> None:
    """Removes a node from the committee; it follows from then on."""
    with operators(net) as client:
        one = find(client.validators()["validators"], net.net.nodes[victim].name)
        remove(client, one, operator_of(net))
        wait_for_committee(client, str(one["validator_key"]), False, PATIENCE_S)


def operators(net: Devnet) -> Client:
    """A client that waits for as long as the faults last."""
    return Client(net.net.endpoints, genesis=Path(net.net.genesis), timeout_s=PATIENCE_S)


def operator_of(net: Devnet) -> Key:
    return Key.open(net.net.accounts[0].key_file)


async def end_the_epoch(net: Devnet) -> None:
    """Ends the current epoch as the operator; the next one has the same committee."""
    async with AsyncClient(net.net.endpoints, key=operator_of(net), timeout_s=PATIENCE_S) as client:
        epoch = (await client.status()).epoch
        # The epoch may have ended meanwhile, or the asked node didn't know yet that it had.
        with suppress(TransactionFailed):
            await client.send([end_epoch(epoch)])
