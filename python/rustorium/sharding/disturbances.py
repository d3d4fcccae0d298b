"""Events of the network of transfers: epochs, halts, pauses, old heads, leaked keys, lies, backups and restores.

Invariants: an event happens at most once. It needs no consent, except where the rules ask for it.
"""

from collections.abc import Hashable

from rustorium.sharding import channels
from rustorium.sharding.channels import Channel, Delivery
from rustorium.sharding.crossings import Crossing, Happening, Kept, World
from rustorium.sharding.ledgers import Credit, Shard


def epoch(shard: int) -> Happening:
    """An epoch ends by time."""

    def happen(_network: Crossing, world: World) -> World | None:
        ends = world.shards[shard]
        if ends.halted or ends.lost:
            return None
        return world.with_shard(ends._replace(terms=(*ends.terms, ends.terms[-1])))

    return Happening(f"shard {shard}'s epoch ends", happen)


def upgrade(shard: int) -> Happening:
    """A shard's next epoch has the next protocol version."""

    def happen(_network: Crossing, world: World) -> World | None:
        ends = world.shards[shard]
        return world.with_shard(ends._replace(terms=(*ends.terms, ends.terms[-1]), version=ends.version + 1))

    return Happening(f"shard {shard}'s next epoch has version 2", happen)


def halt(shard: int) -> Happening:
    """A shard makes no block for a while, or never again if the network says so."""

    def happen(_network: Crossing, world: World) -> World | None:
        return world.with_shard(world.shards[shard]._replace(halted=True))

    return Happening(f"shard {shard} halts", happen)


def pause(shard: int) -> Happening:
    """All accounts of a shard are paused for a while (T12)."""

    def happen(_network: Crossing, world: World) -> World | None:
        return world.with_shard(world.shards[shard]._replace(paused=True))

    return Happening(f"all accounts of shard {shard} are paused", happen)


def pause_account(account: int) -> Happening:
    """One account is paused for good (T12)."""

    def happen(network: Crossing, world: World) -> World | None:
        shard = world.shards[network.places[account]]
        paused = shard.accounts[account]
        return None if paused is None else world.with_shard(shard.with_account(account, paused._replace(paused=True)))

    return Happening(f"account {account} is paused", happen)


def keep(source: int, destination: int, shown_to: int | None = None) -> Happening:
    """Somebody keeps a head with its chunks, and the terms of the source, and shows them whenever they like."""

    def happen(_network: Crossing, world: World) -> World | None:
        shard = world.shards[source]
        head = channels.head_of(source, shard.epoch, shard.terms[-1], shard.channel(destination))
        kept = Kept(destination if shown_to is None else shown_to, head, shard.terms, shard.version)
        return world._replace(kept=(*world.kept, kept))

    return Happening(f"somebody keeps the head of shard {source} for shard {destination}", happen)


def leak(shard: int, old: int) -> Happening:
    """Keys of a past epoch expire, and anybody may have them (T9)."""

    def happen(_network: Crossing, world: World) -> World | None:
        if world.shards[shard].epoch <= old:
            return None
        return world._replace(expired=world.expired | {(shard, old)})

    return Happening(f"long after epoch {old} of shard {shard}, its keys leak", happen)


def lie(shard: int, old: int, destination: int, *entries: Hashable) -> Happening:
    """Somebody with leaked keys of an epoch stamps a chunk that the shard never sent."""

    def happen(network: Crossing, world: World) -> World | None:
        return _lie(network, world, shard, old, destination, entries) if (shard, old) in world.expired else None

    return Happening(f"keys of shard {shard}'s epoch {old} stamp a chunk that it never sent", happen)


def captured(shard: int, destination: int, *entries: Hashable, took: int = 0) -> Happening:
    """A shard with more than f traitors stamps whatever it likes."""

    def happen(network: Crossing, world: World) -> World | None:
        return _lie(network, world, shard, world.shards[shard].epoch, destination, entries, took)

    return Happening(f"captured shard {shard} stamps a chunk that no rule made", happen)


def _lie(
    network: Crossing,
    world: World,
    shard: int,
    old: int,
    destination: int,
    entries: tuple[Hashable, ...],
    took: int = 0,
) -> World | None:
    target, source = world.shards[destination], world.shards[shard]
    if target.halted or target.lost:
        return None
    theirs = target.channel(shard)
    told = Channel(destination, theirs.in_next, theirs.in_tip, 0, 0, theirs.acked, theirs.acked_tip)
    told = channels.append(told, entries, took)
    head = channels.head_of(shard, old, source.terms[min(old, source.epoch)], told)
    return network.deliver(world, target, Delivery(head, told.chunks))


def garbage(source: int, destination: int, *entries: Credit) -> Happening:
    """A leader of the destination lists a true head with a chunk that the source never sent."""

    def happen(network: Crossing, world: World) -> World | None:
        shard, target = world.shards[source], world.shards[destination]
        head = channels.head_of(source, shard.epoch, shard.terms[-1], shard.channel(destination))
        wrong = channels.append(Channel(destination, target.channel(source).in_next), tuple(entries), 0)
        return None if target.halted else network.deliver(world, target, Delivery(head, wrong.chunks))

    return Happening(f"a leader of shard {destination} lists a wrong chunk under a true head", happen)


# ---- backups and restores (T26) --------------------------------------------------------------------------------------


def copy(*shards: int) -> Happening:
    """Operators back shards up, all at this instant."""

    def happen(_network: Crossing, world: World) -> World | None:
        return world._replace(copies=(*world.copies, *(world.shards[shard] for shard in shards)))

    return Happening(f"operators back up shards {list(shards)}", happen)


def restore(*shards: int, unasked: bool = False) -> Happening:
    """Owners restore shards from their newest backups; `unasked`: whatever their peers say."""

    def happen(_network: Crossing, world: World) -> World | None:
        kept = [_backup(world, shard) for shard in shards]
        found = [shard for shard in kept if shard is not None]
        if len(found) < len(shards) or not (unasked or may_restore(world, found)):
            return None
        return _restored(world, found)

    return Happening(f"owners restore shards {list(shards)}", happen)


def stop(shard: int, newest: bool = False) -> Happening:
    """A shard is lost. Its owners stop the epoch of their backup, or the newest, before they choose a base (T26)."""

    def happen(_network: Crossing, world: World) -> World | None:
        kept = _backup(world, shard)
        ends = world.shards[shard]
        ended = ends.epoch if newest or kept is None else kept.epoch
        return world.with_shard(ends._replace(lost=True))._replace(stops=(*world.stops, (shard, ended)))

    return Happening(f"the owners of shard {shard} stop its epoch", happen)


def recover(shard: int) -> Happening:
    """Owners restore a lost shard to its backup if that fits its peers, else to the newest state of its nodes."""

    def happen(_network: Crossing, world: World) -> World | None:
        lost, ended = world.shards[shard], dict(world.stops).get(shard, -1)
        kept = _backup(world, shard)
        if not lost.lost or not is_stopped_everywhere(world, shard):
            return None
        if kept is not None and is_of_epoch(kept, ended) and may_restore(world, [kept]):
            return _restored(world, [kept])
        return _restored(world, [lost]) if lost.epoch == ended else None

    return Happening(f"the owners of shard {shard} recover it", happen, fair=True)


def stop_again(shard: int) -> Happening:
    """No backup fits: owners end the epoch in which the nodes were (T26)."""

    def happen(_network: Crossing, world: World) -> World | None:
        lost, ended = world.shards[shard], dict(world.stops).get(shard, -1)
        kept = _backup(world, shard)
        fits = kept is not None and is_of_epoch(kept, ended) and may_restore(world, [kept])
        if not lost.lost or not is_stopped_everywhere(world, shard) or fits or lost.epoch == ended:
            return None
        stops = tuple((other, lost.epoch if other == shard else number) for other, number in world.stops)
        return world._replace(stops=stops)

    return Happening(f"the owners of shard {shard} stop its newest epoch", happen, fair=True)


def is_stopped_everywhere(world: World, shard: int) -> bool:
    """Checks that each peer has taken the stop, so nothing that is under way can move its leaf (T26)."""
    ended = dict(world.stops).get(shard, -1)
    terms = [peer.channel(shard).term for peer in world.shards if peer.id != shard and not peer.lost]
    return all(term.stopped >= ended or term.epoch > ended for term in terms)


def is_of_epoch(kept: Shard, ended: int) -> bool:
    """Checks that a base is of the epoch that was stopped (T26)."""
    return kept.epoch == ended


def _backup(world: World, shard: int) -> Shard | None:
    return next((kept for kept in reversed(world.copies) if kept.id == shard), None)


def _restored(world: World, kept: list[Shard]) -> World:
    world = world._replace(forks=world.forks + 1)
    for shard in stop_each_other(kept):
        world = world.with_shard(shard._replace(terms=(*shard.terms, world.forks), lost=False, halted=False))
    return world


def stop_each_other(kept: list[Shard]) -> list[Shard]:
    """Returns shards that are restored together, each with the others' `Stop`: their old stamps count no more (T26)."""
    return [shard._replace(channels=tuple(_stopped(channel, kept) for channel in shard.channels)) for shard in kept]


def _stopped(channel: Channel, kept: list[Shard]) -> Channel:
    ended = next((shard.epoch for shard in kept if shard.id == channel.peer), channel.term.stopped)
    return channel._replace(term=channel.term._replace(stopped=ended))


def may_restore(world: World, kept: list[Shard]) -> bool:
    """Checks that restored shards fit each other and those that stay (T26)."""
    after = world
    for shard in kept:
        after = after.with_shard(shard)
    restored = {shard.id for shard in kept}
    stay = {shard.id for shard in world.shards} - restored
    return fit_each_other(after, restored) and fit_their_peers(after, restored, stay)


def fit_each_other(after: World, restored: set[int]) -> bool:
    """Checks that no two of the restored shards contradict each other (T26)."""
    return all(fit(after.shards[a], after.shards[b]) for a in restored for b in restored if a != b)


def fit_their_peers(after: World, restored: set[int], stay: set[int]) -> bool:
    """Checks that no peer that stays contradicts a restored shard (T26)."""
    return all(fit(after.shards[a], after.shards[b]) for a in restored for b in stay)


def fit(a: Shard, b: Shard) -> bool:
    """Checks that no leaf of one shard contradicts the other's: cursors as well as terms (T14, T26)."""
    return channels.agree(a.channel(b.id), b.channel(a.id)) and knows_terms(a, b) and knows_terms(b, a)


def knows_terms(a: Shard, b: Shard) -> bool:
    """Checks that the term that one shard knows of the other is in the other's line of terms (T26)."""
    term = a.channel(b.id).term
    return term.epoch < len(b.terms) and b.terms[term.epoch] == term.fork
