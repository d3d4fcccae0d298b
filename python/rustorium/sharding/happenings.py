"""Events of the network of terms and orders: orders of operators, ends of epochs, halts, lies.

Invariants: an event happens at most once. It needs no consent, except where the rules ask for it.
"""

from rustorium.sharding import channels, terms
from rustorium.sharding.chains import State
from rustorium.sharding.channels import Channel, Delivery, Head
from rustorium.sharding.network import Happening, Network, World
from rustorium.sharding.vocabulary import NOBODY, ROOT, Change, Entry


def split(shard: int, cut: int, child: int) -> Happening:
    """Root orders a split."""

    def happen(network: Network, world: World) -> World | None:
        return _order(network, world, Change.SPLIT, shard, child, cut)

    return Happening(f"root orders shard {shard} to split into shard {child} at {cut}", happen, fair=True, wanted=True)


def close(shard: int, heir: int) -> Happening:
    """Root orders a shard to end in a neighbour."""

    def happen(network: Network, world: World) -> World | None:
        return _order(network, world, Change.CLOSE, shard, heir, NOBODY)

    return Happening(f"root orders shard {shard} to end in shard {heir}", happen, fair=True, wanted=True)


def _order(network: Network, world: World, change: Change, shard: int, other: int, cut: int) -> World | None:
    root = world.shard(ROOT)
    kept = terms.root_of(root)
    fits = change == Change.CLOSE or root.owners[cut] == shard
    if root.halted or kept.generations[shard] < 0 or not fits:
        return None
    if change == Change.CLOSE and other not in terms.neighbours(root.owners, shard):
        return None
    if not terms.may_order(kept, root.owners, shard, other):
        return None
    block = network.block(root)
    terms.order(block, change, shard, other, cut)
    return network.after(world, block)


def recall(shard: int, fair: bool = False) -> Happening:
    """Root's clock recalls the open order for a shard."""

    def happen(network: Network, world: World) -> World | None:
        root = world.shard(ROOT)
        orders = [o for o in terms.root_of(root).orders if o.shard == shard and o.change != Change.KEYS]
        if root.halted or not orders:
            return None
        block = network.block(root)
        terms.recall(block, orders[0])
        return network.after(world, block)

    return Happening(f"root recalls its order for shard {shard}", happen, fair)


def epoch(shard: int) -> Happening:
    """An epoch ends by time."""

    def happen(_network: Network, world: World) -> World | None:
        ends = world.shards[shard]
        if ends is None or ends.halted or ends.state > State.CLOSING:
            return None
        return world.with_shard(ends._replace(epoch=ends.epoch + 1))

    return Happening(f"shard {shard}'s epoch ends by time", happen)


def replace_keys() -> Happening:
    """An operator replaces a key of the registry, which all shards but root use."""

    def happen(network: Network, world: World) -> World | None:
        block = network.block(world.shard(ROOT))
        terms.replace_keys(block)
        return network.after(world, block)

    return Happening("an operator replaces a key", happen)


def halt(shard: int) -> Happening:
    """A shard makes no block for a while, or never again if the network says so."""

    def happen(_network: Network, world: World) -> World | None:
        halts = world.shards[shard]
        return None if halts is None else world.with_shard(halts._replace(halted=True))

    return Happening(f"shard {shard} halts", happen)


def remember(source: int, destination: int) -> Happening:
    """Somebody keeps a head with its chunks and may show it again at any time: duplicates, delays, reordering."""

    def happen(_network: Network, world: World) -> World | None:
        head = _head(world, source, destination)
        return None if head is None else world._replace(remembered=(*world.remembered, (destination, head)))

    return Happening(f"somebody keeps the head of shard {source} for shard {destination}", happen)


def _head(world: World, source: int, destination: int) -> Head | None:
    shard = world.shards[source]
    channel = None if shard is None else shard.channel(destination)
    if shard is None or channel is None:
        return None
    return channels.head_of(source, shard.epoch, 0, channel)


def captured(shard: int, destination: int, entry: Entry) -> Happening:
    """A shard of which more than f members are traitors stamps whatever it likes."""

    def happen(network: Network, world: World) -> World | None:
        target, source = world.shards[destination], world.shard(shard)
        theirs = None if target is None else target.channel(shard)
        if target is None or theirs is None:
            return None
        told = Channel(destination, theirs.in_next, theirs.in_tip, 0, 0, theirs.acked, theirs.acked_tip)
        told = channels.append(told, (entry,), 0)
        return network.deliver(world, target, Delivery(channels.head_of(shard, source.epoch, 0, told), told.chunks))

    return Happening(f"captured shard {shard} stamps a chunk that no rule made", happen)
