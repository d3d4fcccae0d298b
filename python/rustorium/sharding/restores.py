"""Backups and restores of shards that split and end (S52, S58), and the limits of what owners may undo.

Invariants: a restore takes a shard back to a state that it had, in a next epoch. It changes no other shard. Cursors
of channels are compared as T26 says; recoveries in steps are in `disturbances`.
"""

from rustorium.sharding import channels
from rustorium.sharding.chains import Change, Shard, State
from rustorium.sharding.channels import Channel
from rustorium.sharding.network import Happening, Network, World


def copy(*shards: int) -> Happening:
    """Operators back shards up, all at this instant."""

    def happen(_network: Network, world: World) -> World | None:
        found = [world.shards[shard] for shard in shards]
        kept = tuple(shard for shard in found if shard is not None)
        return world._replace(copies=(*world.copies, *kept)) if len(kept) == len(shards) else None

    return Happening(f"operators back up shards {list(shards)}", happen)


def restore(*shards: int) -> Happening:
    """Owners restore shards from their backups; their next epoch begins there (R33)."""

    def happen(_network: Network, world: World) -> World | None:
        kept = [next((copy for copy in world.copies if copy.id == shard), None) for shard in shards]
        found = [shard for shard in kept if shard is not None]
        if len(found) < len(shards) or not may_restore(world, found):
            return None
        for shard in found:
            world = world.with_shard(shard._replace(epoch=world.shard(shard.id).epoch + 1))
        return world

    return Happening(f"owners restore shards {list(shards)}", happen)


def may_restore(world: World, kept: list[Shard]) -> bool:
    """Checks that restored shards fit each other and those that stay (S52, T26)."""
    after = world
    for shard in kept:
        after = after.with_shard(shard)
    fit = all(_fits(after, shard.id, peer.id) for shard in kept for peer in after.shards if peer is not None)
    return fit and own_each_account_once(after) and undo_no_known_end(world, after)


def _fits(after: World, number: int, peer: int) -> bool:
    """Checks that no side of a channel contradicts the other. A side without a leaf has taken and sent nothing."""
    if number == peer:
        return True
    sides = after.shard(number).channel(peer), after.shard(peer).channel(number)
    return channels.agree(sides[0] or Channel(peer), sides[1] or Channel(number))


def own_each_account_once(after: World) -> bool:
    """Checks that no parent is restored to before a birth while the child stays (S52)."""
    shards = [shard for shard in after.shards if shard is not None and shard.state != State.CLOSED]
    accounts = [account for shard in shards for account in range(shard.low, shard.high)]
    return len(accounts) == len(set(accounts))


def undo_no_known_end(world: World, after: World) -> bool:
    """Checks that no shard is restored to before its end if an heir that stays, or root, knows of it (S52)."""
    for before, now in zip(world.shards, after.shards, strict=True):
        if before is not None and now is not None and before.state == State.CLOSED != now.state:
            heirs = [heir for heir in after.shards if heir is not None]
            if any(before.id in heir.absorbed or knows_end(heir, before.id) for heir in heirs):
                return False
    return True


def knows_end(heir: Shard, ended: int) -> bool:
    """Checks whether a shard has the closing term of one that it is to absorb, or is root and has it closed."""
    if heir.root is not None and heir.root.generations[ended] < 0:
        return True
    return heir.wish is not None and heir.wish.change == Change.ABSORB and heir.wish.other == ended


def drop(shard: int) -> Happening:
    """Operators drop the store of a shard that has ended."""

    def happen(_network: Network, world: World) -> World | None:
        closed = world.shards[shard]
        heirs = [heir for heir in world.alive() if shard in heir.absorbed]
        if closed is None or not heirs or not may_drop(world, closed):
            return None
        kept = tuple(copy for copy in world.copies if copy.id != shard)
        return world.with_shard(closed._replace(accounts=frozenset()))._replace(copies=kept)

    return Happening(f"operators drop the store of shard {shard}", happen)


def may_drop(world: World, closed: Shard) -> bool:
    """Checks that no shard can be restored to before it absorbed the closed one (S58)."""
    heir = next(shard.id for shard in world.shards if shard is not None and closed.id in shard.absorbed)
    return all(closed.id in kept.absorbed for kept in world.copies if kept.id == heir)
