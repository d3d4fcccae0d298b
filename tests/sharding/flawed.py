"""Flawed forms of functions of the model of shards: what the rule beside each in `mends.py` replaces."""

from typing import Any

from rustorium.sharding import channels, terms, transfers


def never(*_: Any) -> bool:
    return False


def always(*_: Any) -> bool:
    return True


def nothing(*_: Any, **__: Any) -> None:
    return None


def unchanged(value: Any) -> Any:
    return value


# ---- transfers -------------------------------------------------------------------------------------------------------


def keeps_entries(block: Any, before: Any) -> None:
    block.shard = before[0]


def full_for_answers(block: Any, channel: Any) -> bool:
    return not transfers.is_full(block, channel)


def own_next(channel: Any, _left: Any) -> int:
    return int(channel.in_next)


def in_own_version(own: int, _peer: int) -> int:
    return own


def older_epochs_too(channel: Any, head: Any) -> bool:
    return bool(head.epoch <= channel.term.epoch)


def stays(channel: Any, _chunk: Any) -> Any:
    return channel


def right_numbers(channel: Any, delivery: Any) -> bool:
    numbers = [chunk.number for chunk in (*delivery.chunks, *delivery.rest)]
    return numbers == list(range(channel.in_next, channel.in_next + len(numbers)))


def by_what_leaders_add(channel: Any, delivery: Any) -> bool:
    wrong = bool(delivery.chunks) and not channels.leads(channel, delivery)
    return wrong or channels.contradicts(channel, delivery.head)


def as_named(credit: Any) -> int:
    return int(credit.to)


def all_storage(credit: Any, _result: Any) -> int:
    return int(credit.storage)


def issues_too(_credit: Any) -> int:
    return 1


def consumed_unread(block: Any, peer: int, chunk: Any) -> None:
    if chunk.version <= block.shard.version:
        TAKE_CHUNK(block, peer, chunk)
    else:
        block.shard = block.shard.with_channel(channels.take(block.shard.channel(peer), chunk))


TAKE_CHUNK = transfers.take_chunk


def while_keys_are_current(world: Any, channel: Any) -> bool:
    return channels.is_current(channel, world.expired)


def cursors_alone(a: Any, b: Any) -> bool:
    return channels.agree(a.channel(b.id), b.channel(a.id))


# ---- terms and orders ------------------------------------------------------------------------------------------------


def recall_without_limit(block: Any, made: Any) -> None:
    RECALL(block, made)
    root = block.shard.root
    orders = tuple(o._replace(overdue=False) for o in root.orders)
    block.shard = block.shard._replace(root=root._replace(orders=orders))


RECALL = terms.recall


def keep_channel(shard: Any, _peer: int) -> Any:
    return shard


def leaf_in_both(accounts: Any, _moved: Any) -> Any:
    return accounts


# ---- single nodes ----------------------------------------------------------------------------------------------------


def place_in_the_pool(pool_is_full: bool) -> bool:
    return not pool_is_full


def newest_height(_before: int, after: int) -> frozenset[int]:
    return frozenset({after})


def last_report(load: Any) -> int:
    return int(load.peak)
