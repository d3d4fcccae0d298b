"""The invariants I1, I3, I6 and I8 of docs/spec/shards.md, over a network of terms and orders.

Invariants: `broken` holds in each state, whatever happened. `unfinished` holds in each state in which an honest, calm
network has nothing more to do. Both read states and the witness, and change nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rustorium.sharding.chains import Shard, State
from rustorium.sharding.network import Network, Step, World
from rustorium.sharding.terms import root_of
from rustorium.sharding.vocabulary import ROOT


@dataclass(frozen=True)
class Checked:
    """A network with its invariants: what the explorer takes."""

    network: Network
    watched: str | tuple[str, ...] = ""
    """Beginnings of the faults that count. A shard that was restored to before its peers may break other invariants."""

    def start(self) -> World:
        """Returns the first state."""
        return self.network.start()

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all possible next steps."""
        return self.network.steps(world)

    def broken(self, world: World) -> str | None:
        """Returns the invariant that a state breaks; `None` if all hold."""
        return next((fault for fault in _broken(self.network, world) if fault.startswith(self.watched)), None)

    def unfinished(self, world: World) -> str | None:
        """Returns what is still open where an honest, calm network does nothing more; `None` if everything ended."""
        return next((fault for fault in _unfinished(self.network, world) if fault.startswith(self.watched)), None)


def _broken(network: Network, world: World) -> Iterator[str]:
    shards = [shard for shard in world.shards if shard is not None]
    for number, times in Counter(number for shard in shards for number in shard.answered).items():
        if times > 1:
            yield f"I6: change {number} has {times} answers"
    yield from _coverage(world, shards)
    if not network.disturbed:
        for shard in shards:
            for channel in shard.channels:
                if channel.broken:
                    yield f"I3: shard {shard.id}'s channel with shard {channel.peer} is broken"


def _coverage(world: World, shards: list[Shard]) -> Iterator[str]:
    for account in range(len(shards[0].owners)):
        holders = [shard.id for shard in shards if counts(world, shard) and account in shard.accounts]
        if len(holders) != 1:
            yield f"I1: account {account} is in shards {holders}"
        charters = [shard.id for shard in shards if shard.has(account)]
        if len(charters) > 1 or (not charters and world.shard(holders[0]).state != State.CLOSED):
            yield f"I1: account {account} is in the charters of shards {charters}"


def counts(world: World, shard: Shard) -> bool:
    """Checks whether a shard's leaves count: those of a closed shard count until its heir has absorbed them (S58)."""
    return not any(other is not None and shard.id in other.absorbed for other in world.shards)


# ---- when nothing more happens ---------------------------------------------------------------------------------------


def _unfinished(network: Network, world: World) -> Iterator[str]:
    root = root_of(world.shard(ROOT))
    halted = {shard.id for shard in world.shards if shard is not None and shard.halted}
    yield from _orders(network, world, halted)
    for shard in world.alive():
        if shard.state != State.OPEN or shard.wish is not None:
            yield f"I8: shard {shard.id} never comes to the end that it was ordered to"
        if shard.writes is not None:
            yield f"I8: shard {shard.id} never writes its term"
        if shard.keys != root.keys and shard.id != ROOT:
            yield f"I8: shard {shard.id} keeps a key that was replaced"
        if shard.owners != world.shard(ROOT).owners:
            yield f"I8: shard {shard.id} never gets the newest map"
        yield from _open_channels(world, shard, halted)
    if not halted:
        for account, owner in enumerate(world.shard(ROOT).owners):
            if not world.shard(owner).has(account):
                yield f"I8: the map says that account {account} is in shard {owner}"


def _orders(network: Network, world: World, halted: set[int]) -> Iterator[str]:
    for place, happening in enumerate(network.happenings):
        if happening.wanted and not world.used >> place & 1 and happening.happen(network, world) is None:
            yield f"I8: {happening.label}: this can never happen"
    for order in root_of(world.shard(ROOT)).orders:
        if not {order.shard, order.other} & halted:
            yield f"I8: change {order.number}, for shard {order.shard}, is never answered"


def _open_channels(world: World, shard: Shard, halted: set[int]) -> Iterator[str]:
    for channel in shard.channels:
        peer = world.shards[channel.peer]
        theirs = None if peer is None else peer.channel(shard.id)
        if peer is None or channel.peer in halted or channel.broken or (theirs is not None and theirs.broken):
            continue
        if peer.state == State.CLOSED:
            yield f"I8: shard {shard.id} keeps its channel with shard {peer.id}, which ended"
        for chunk in channel.chunks:
            yield f"I8: chunk {chunk.number} of shard {shard.id} for shard {peer.id} stays"
