"""Flawed forms of functions of the model of shards: what the rule beside each in `taken_out.py` replaces."""

from typing import Any

from rustorium.sharding import atomic, channels, groups, happenings, terms
from rustorium.sharding.chains import State
from rustorium.sharding.vocabulary import HOPS_MAX, Entry, Op


def never(*_: Any) -> bool:
    return False


def always(*_: Any) -> bool:
    return True


def nothing(*_: Any, **__: Any) -> None:
    return None


def younger_heads_only(channel: Any, head: Any, expired: bool) -> bool:
    return bool(head.epoch == channel.epoch and not expired and head.height >= channel.height)


ACKNOWLEDGED = channels.acknowledge


def acknowledge_with_height(channel: Any, head: Any) -> Any:
    return ACKNOWLEDGED(channel, head)._replace(height=max(channel.height, head.height))


def numbers_alone(channel: Any, head: Any) -> bool:
    return bool(head.in_next <= channel.out_next)


def whoever_sat_once(channel: Any, head: Any, _expired: bool) -> bool:
    return bool(head.epoch == channel.epoch)


def ordered_epoch(_shard: Any, channel: Any) -> int:
    return happenings.REFUSED if channel.peer == 1 else int(channel.epoch)


def recall_without_limit(block: Any, made: Any) -> None:
    RECALL(block, made)
    root = block.shard.root
    orders = tuple(o._replace(overdue=False) for o in root.orders)
    block.shard = block.shard._replace(root=root._replace(orders=orders))


RECALL = terms.recall


def keep_channel(shard: Any, _peer: int) -> Any:
    return shard


def in_own_version(own: int, _peer: int) -> int:
    return own


def consumed_unread(channel: Any, entry: Any) -> Any:
    return channels.take(channel, entry)


def full_by_chunks(_block: Any, channel: Any, _sender: int) -> bool:
    return channels.requests(channel) >= 2


def issues_too(tx: Any) -> list[int]:
    return [index for index, group in enumerate(tx.groups) if group.op in (Op.CREDIT, Op.ISSUE)]


def any_group_again(_block: Any, request: Any) -> bool:
    return bool(request.hops < HOPS_MAX)


def credits_at_once(block: Any, number: int, here: Any) -> None:
    for index in here:
        groups.apply(block, number, index)


def none_waits(_tx: Any, _request: Any) -> list[int]:
    return []


def leaf_in_both(leaves: Any, _moved: Any) -> Any:
    return leaves


def silent_if_unknown(block: Any, peer: int, entry: Entry) -> None:
    if atomic.intent_of(block.shard, entry.tx) is not None:
        DECIDE(block, peer, entry)


DECIDE = atomic.take_decide


def claim_of_what_is(shard: Any) -> bool:
    return bool(shard.wish is not None and shard.due is None and terms.is_ready(shard))


def until_the_boundary(shard: Any) -> bool:
    return bool(shard.state <= State.CLOSING)


def dropped_refund(block: Any, entry: Entry) -> None:
    if block.shard.has(entry.account):
        groups.give(block, entry.account, entry)


def by_the_map_alone(shard: Any, account: int) -> int:
    return int(shard.id if shard.has(account) else shard.owners[account])


def above_the_limit(leaf: Any) -> Any:
    return leaf._replace(balance=leaf.balance + 1)


def place_in_the_pool(pool_is_full: bool) -> bool:
    return not pool_is_full


def by_lineage_forever(shard: Any, peer: int, sender: int, _past: Any) -> bool:
    return peer in (shard.owners[sender], shard.former[sender])


def newest_height(_before: int, after: int) -> frozenset[int]:
    return frozenset({after})


def last_report(load: Any) -> int:
    return int(load.peak)
