"""Backups, restores and recoveries of whole shards (S52, S53, S58): what owners may undo, and what not.

Invariants: a restore takes a shard back to a state that it had, in a next epoch. It changes no other shard.
"""

from rustorium.sharding import terms
from rustorium.sharding.chains import Change, Shard, State
from rustorium.sharding.channels import Channel
from rustorium.sharding.network import Happening, Network, World
from rustorium.sharding.vocabulary import ROOT


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


def make_void(shard: int) -> Happening:
    """Owners who are about to recover a shard have root's map say that its epoch is void (S53)."""

    def happen(network: Network, world: World) -> World | None:
        ends = world.shards[shard]
        if ends is None:
            return None
        block = network.block(world.shard(ROOT))
        terms.make_void(block, shard, ends.epoch)
        return network.after(world, block)

    return Happening(f"root says that this epoch of shard {shard} is void", happen)


def recover(shard: int) -> Happening:
    """Owners end the void epoch of a shard, at a backup that fits its peers' records, else where the shard is."""

    def happen(_network: Network, world: World) -> World | None:
        ends = world.shards[shard]
        if ends is None or not is_void_everywhere(world, ends):
            return None
        kept = [copy for copy in world.copies if copy.id == shard and may_restore(world, [copy])]
        return world.with_shard((*kept, ends)[0]._replace(epoch=ends.epoch + 1))

    return Happening(f"owners recover shard {shard}", happen, fair=True)


def is_void_everywhere(world: World, ends: Shard) -> bool:
    """Checks that each peer has acknowledged that a shard's epoch is void, so no stamp under way counts (S53)."""
    channels = [peer.channel(ends.id) for peer in world.shards if peer is not None]
    return all(channel is None or channel.void >= ends.epoch for channel in channels)


def may_restore(world: World, kept: list[Shard]) -> bool:
    """Checks that restored shards fit each other and those that stay (S52, S53)."""
    after = world
    for shard in kept:
        after = after.with_shard(shard)
    restored = {shard.id for shard in kept}
    fit = fit_each_other(after, restored) and fit_their_peers(after, restored)
    return fit and own_each_account_once(after) and undo_no_known_end(world, after)


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
    shards = [shard for shard in after.shards if shard is not None and shard.state != State.CLOSED]
    accounts = [account for shard in shards for account in range(shard.low, shard.high)]
    return len(accounts) == len(set(accounts))


def undo_no_known_end(world: World, after: World) -> bool:
    """Checks that no shard is restored to before its end if an heir that stays has taken its closing term (S52)."""
    for before, now in zip(world.shards, after.shards, strict=True):
        if before is not None and now is not None and before.state == State.CLOSED != now.state:
            heirs = [heir for heir in after.shards if heir is not None]
            if any(before.id in heir.absorbed or knows_end(heir, before.id) for heir in heirs):
                return False
    return True


def knows_end(heir: Shard, ended: int) -> bool:
    """Checks whether a shard has taken the closing term of another one, which it is to absorb."""
    return heir.wish is not None and heir.wish.change == Change.ABSORB and heir.wish.other == ended


def drop(shard: int) -> Happening:
    """Operators drop the store of a shard that has ended."""

    def happen(_network: Network, world: World) -> World | None:
        closed = world.shards[shard]
        heirs = [heir for heir in world.alive() if shard in heir.absorbed]
        if closed is None or not heirs or not may_drop(world, closed):
            return None
        kept = tuple(copy for copy in world.copies if copy.id != shard)
        return world.with_shard(closed._replace(leaves=(None,) * len(closed.leaves)))._replace(copies=kept)

    return Happening(f"operators drop the store of shard {shard}", happen)


def may_drop(world: World, closed: Shard) -> bool:
    """Checks that no shard can be restored to before it absorbed the closed one (S58)."""
    heir = next(shard.id for shard in world.shards if shard is not None and closed.id in shard.absorbed)
    return all(closed.id in kept.absorbed for kept in world.copies if kept.id == heir)
