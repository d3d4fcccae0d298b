"""Events of the model's world: orders of operators, ends of epochs, halts, restores, leaked keys, lies.

Invariants: an event happens at most once. It needs nobody's consent except what the rules ask for.
"""

from rustorium.sharding import channels, terms
from rustorium.sharding.chains import Shard, State
from rustorium.sharding.channels import Channel, Head, Waiting
from rustorium.sharding.network import Happening, Network, World
from rustorium.sharding.vocabulary import NOBODY, ROOT, Change, Entry, Kind

REFUSED = 100
"""The epoch of a committee that never sat."""


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


def upgrade(shard: int) -> Happening:
    """A shard's next epoch has the next protocol version."""

    def happen(_network: Network, world: World) -> World | None:
        ends = world.shards[shard]
        if ends is None or ends.halted or ends.state > State.CLOSING:
            return None
        return world.with_shard(ends._replace(epoch=ends.epoch + 1, version=ends.version + 1))

    return Happening(f"shard {shard}'s next epoch has version 2", happen)


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
    """Somebody keeps a head with its chunks, and shows it again whenever it likes: duplicates, delays, reordering."""

    def happen(_network: Network, world: World) -> World | None:
        head = _head(world, source, destination)
        return None if head is None else world._replace(remembered=(*world.remembered, (destination, head)))

    return Happening(f"somebody keeps the head of shard {source} for shard {destination}", happen)


def _head(world: World, source: int, destination: int) -> Head | None:
    shard = world.shards[source]
    channel = None if shard is None else shard.channel(destination)
    if shard is None or channel is None:
        return None
    return channels.head_of(source, shard.epoch, channel, shard.height)


def copy(*shards: int) -> Happening:
    """Operators back shards up, all at this instant."""

    def happen(_network: Network, world: World) -> World | None:
        found = [world.shards[shard] for shard in shards]
        kept = tuple(shard for shard in found if shard is not None)
        return world._replace(copies=(*world.copies, *kept)) if len(kept) == len(shards) else None

    return Happening(f"operators back up shards {list(shards)}", happen)


def restore(*shards: int, unasked: bool = False) -> Happening:
    """Owners restore shards from their backups; their next epoch begins there (R33).

    `unasked`: no peer can be asked, and a backup of the very beginning will do.
    """

    def happen(network: Network, world: World) -> World | None:
        backups = (*world.copies, *(network.start().shards if unasked else ()))
        kept = [next((c for c in backups if c is not None and c.id == shard), None) for shard in shards]
        found = [shard for shard in kept if shard is not None]
        if len(found) < len(shards) or not (unasked or may_restore(world, found)):
            return None
        for shard in found:
            world = world.with_shard(shard._replace(epoch=world.shard(shard.id).epoch + 1))
        return world

    return Happening(f"owners restore shards {list(shards)}", happen)


def may_restore(world: World, kept: list[Shard]) -> bool:
    """Checks that restored shards fit each other and those that stay (S52, S53)."""
    after = world
    for shard in kept:
        after = after.with_shard(shard)
    restored = {shard.id for shard in kept}
    return fit_each_other(after, restored) and fit_their_peers(after, restored) and own_each_account_once(after)


def fit_each_other(after: World, restored: set[int]) -> bool:
    """Checks that of two restored shards no cursor is ahead of the other (S52)."""
    return all(_fits(after, shard, peer) for shard in restored for peer in restored)


def fit_their_peers(after: World, restored: set[int]) -> bool:
    """Checks that no record of a peer that stays is ahead of a restored shard (S53)."""
    stay = {shard.id for shard in after.shards if shard is not None} - restored
    return all(_fits(after, shard, peer) and _fits(after, peer, shard) for shard in restored for peer in stay)


def _fits(after: World, number: int, peer: int) -> bool:
    channel, theirs = _channel(after, number, peer), _channel(after, peer, number)
    if channel is None:
        return True
    sent, known = (0, 0) if theirs is None else (theirs.out_next, theirs.peer_in)
    return known <= channel.in_next <= sent


def _channel(world: World, number: int, peer: int) -> Channel | None:
    shard = world.shards[number]
    return None if shard is None else shard.channel(peer)


def own_each_account_once(after: World) -> bool:
    """Checks that no parent is restored to before a birth while the child stays (S52)."""
    leaves = [
        a for shard in after.shards if shard is not None for a, leaf in enumerate(shard.leaves) if leaf is not None
    ]
    return len(leaves) == len(set(leaves))


def leak(shard: int, old: int) -> Happening:
    """So much time passes after an epoch that anybody may have its keys: root's clock told the map again by then."""

    def happen(network: Network, world: World) -> World | None:
        root = world.shard(ROOT)
        known = root.channel(shard)
        if known is None or known.epoch <= old:
            return None
        block = network.block(root)
        terms.name_anew(block)
        return network.after(world._replace(leaked=(*world.leaked, (shard, old))), block)

    return Happening(f"long after epoch {old} of shard {shard}, its keys leak", happen)


def lie(shard: int, old: int, destination: int, entry: Entry) -> Happening:
    """Whoever has leaked keys of an epoch stamps a chunk that its shard never sent."""

    def happen(network: Network, world: World) -> World | None:
        return _lie(network, world, shard, old, destination, entry) if (shard, old) in world.leaked else None

    return Happening(f"keys of shard {shard}'s epoch {old} stamp a chunk that it never sent", happen)


def captured(shard: int, destination: int, entry: Entry) -> Happening:
    """A shard of which more than f members are traitors stamps whatever it likes."""

    def happen(network: Network, world: World) -> World | None:
        return _lie(network, world, shard, world.shard(shard).epoch, destination, entry)

    return Happening(f"captured shard {shard} stamps a chunk that no rule made", happen)


def _lie(network: Network, world: World, shard: int, old: int, destination: int, entry: Entry) -> World | None:
    target = world.shards[destination]
    channel = None if target is None else target.channel(shard)
    if target is None or channel is None:
        return None
    tip = channels.tip_after(channel.in_tip, entry)
    chunk = Waiting(channel.in_next, entry, tip)
    head = Head(shard, old, channel.in_next + 1, tip, channel.peer_in, 0, (chunk,))
    return network.deliver(world, target, head)


def refused(shard: int, destination: int, entry: Entry) -> Happening:
    """A committee that root ordered and that its shard refused stamps what it likes: it never sat there (S15)."""

    def happen(network: Network, world: World) -> World | None:
        return _lie(network, world, shard, REFUSED, destination, entry)

    return Happening(f"a committee that shard {shard} refused stamps a chunk", happen)


def forged(account: int, tx: int) -> Entry:
    """Returns a group in the name of an account, which no client signed."""
    return Entry(Kind.DO, tx, detail=(0,), account=account)
