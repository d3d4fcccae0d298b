"""Terms, orders and the map: how root changes shards, and how a shard splits or ends (S1 to S6, S40 to S59).

Invariants: a shard's range changes at its own boundaries alone, one thing at each. An order has one answer. Once a
wish is sealed, no block that the shard still executes can make it void.
"""

from collections.abc import Iterable
from itertools import pairwise

from rustorium.sharding.chains import Block, Order, Root, Shard, State, Wish
from rustorium.sharding.chains import Change as Ends
from rustorium.sharding.channels import Channel, Chunk, Peer
from rustorium.sharding.vocabulary import NOBODY, ROOT, Change, Entry, Kind, Map, Outcome

# ---- root: orders and the map ----------------------------------------------------------------------------------------


def root_of(shard: Shard) -> Root:
    """Returns root's own part of shard 0."""
    assert shard.root is not None, "only shard 0 orders"
    return shard.root


def may_order(root: Root, owners: tuple[int, ...], shard: int, other: int) -> bool:
    """Checks that no open order concerns the shard or a neighbour, and that not too many are open (S6)."""
    ranges = [order for order in root.orders if order.change in (Change.SPLIT, Change.CLOSE)]
    near = neighbours(owners, shard) | neighbours(owners, other)
    if any({order.shard, order.other} & near for order in ranges):
        return False
    return sum(not order.overdue for order in ranges) < root.changes_max


def neighbours(owners: tuple[int, ...], shard: int) -> set[int]:
    """Returns a shard and those whose ranges touch its own."""
    pairs = list(pairwise(owners))
    return {shard, *(a if b == shard else b for a, b in pairs if shard in (a, b))}


def order(block: Block, change: Change, shard: int, other: int = NOBODY, cut: int = -1) -> None:
    """Orders a change, in root's execution (S6, S40)."""
    root = root_of(block.shard)
    made = Order(root.changes, change, shard, other, cut)
    block.shard = block.shard._replace(root=root._replace(orders=(*root.orders, made), changes=root.changes + 1))
    generation = root.generations[shard]
    _send_order(block, shard, Entry(Kind.ORDER, made.number, (change, generation, other, cut)))


def _send_order(block: Block, shard: int, entry: Entry) -> None:
    if shard == ROOT:
        take_order(block, entry)  # S2: to itself root calls a function
    else:
        block.send(shard, entry)


def recall(block: Block, made: Order) -> None:
    """Recalls an order that stays open (S6, S59)."""
    root = root_of(block.shard)
    marked = tuple(o._replace(recalled=True, overdue=True) if o.number == made.number else o for o in root.orders)
    block.shard = block.shard._replace(root=root._replace(orders=marked))
    _send_order(block, made.shard, Entry(Kind.ORDER, made.number, (Change.KEEP,)))


def take_answer(block: Block, peer: int, entry: Entry) -> None:
    """Ends an order: from now on the map has the change, and others are told (S6)."""
    outcome, *told = entry.detail
    root = root_of(block.shard)
    if outcome == Outcome.DONE and entry.number in root.answers:
        return  # The shard's term said so before (S96).
    made = next((o for o in root.orders if o.number == entry.number), None)
    if not may_answer(made, peer, outcome):
        return
    orders = tuple(o for o in root.orders if o.number != entry.number)
    root = root._replace(orders=orders, answers=(*root.answers, entry.number))
    block.shard = block.shard._replace(root=root)
    if made is not None and outcome == Outcome.DONE:
        if made.change == Change.SPLIT:
            _note_birth(block, made, *told)
        elif made.change == Change.CLOSE:
            _note_end(block, made)


def may_answer(made: Order | None, peer: int, outcome: int) -> bool:
    """Checks that a shard answers its own open order. Only the heir reports that an end is done (S36)."""
    heir = made is not None and made.change == Change.CLOSE and outcome == Outcome.DONE
    return made is not None and peer == (made.other if heir else made.shard)


def hear_term(block: Block, source: Shard, epoch: int) -> None:
    """Takes a term that has a birth or an absorption as the answer: its shard may halt before it sends one (S96)."""
    for announced, entry in source.announced:
        if announced == epoch:
            take_answer(block, source.id, entry)


def _note_birth(block: Block, made: Order, parent_keys: int, child_epoch: int, child_keys: int) -> None:
    shard, root = block.shard, root_of(block.shard)
    moved = [account for account, owner in enumerate(shard.owners) if owner == made.shard and account >= made.cut]
    shard = shard._replace(owners=_set(shard.owners, moved, made.other))
    if shard.channel(made.other) is None or made.shard != ROOT:
        shard = shard.with_channel(named(shard.channel(made.other) or unnamed(made.other), child_epoch))
    generations = _set(root.generations, [made.shard], root.generations[made.shard] + 1)
    root = root._replace(generations=_set(generations, [made.other], 0), version=root.version + 1)
    block.shard = shard._replace(root=root, map_version=root.version)
    compare_keys(block, {made.shard: parent_keys, made.other: child_keys})


def _note_end(block: Block, made: Order) -> None:
    shard, root = block.shard, root_of(block.shard)
    moved = [account for account, owner in enumerate(shard.owners) if owner == made.shard]
    generations = _set(root.generations, [made.shard], NOBODY)
    generations = _set(generations, [made.other], generations[made.other] + 1)
    orders = tuple(o for o in root.orders if o.shard != made.shard)
    root = root._replace(generations=generations, version=root.version + 1, orders=orders)
    owners = _set(shard.owners, moved, made.other)
    block.shard = shard._replace(owners=owners, root=root, map_version=root.version)


def compare_keys(block: Block, found: dict[int, int]) -> None:
    """Compares the keys of a birth with the registry, and orders changes where they differ (S42)."""
    for shard, keys in found.items():
        if keys != root_of(block.shard).keys and not _keys_ordered(block.shard, shard):
            order(block, Change.KEYS, shard, cut=root_of(block.shard).keys)


def _keys_ordered(shard: Shard, other: int) -> bool:
    return any(o.change == Change.KEYS and o.shard == other for o in root_of(shard).orders)


def replace_keys(block: Block) -> None:
    """Replaces a key in the registry, and orders each other shard that root knows (S68)."""
    root = root_of(block.shard)
    block.shard = block.shard._replace(root=root._replace(keys=root.keys + 1))
    for shard, generation in enumerate(root.generations):
        if generation >= 0 and shard != ROOT:
            order(block, Change.KEYS, shard, cut=root.keys + 1)


def tell_map(block: Block) -> None:
    """Sends the newest map to each peer that has taken the one before (S37)."""
    for peer, generation in enumerate(root_of(block.shard).generations):
        root = root_of(block.shard)
        if peer == ROOT or generation < 0 or root.told[peer] == root.version:
            continue
        channel = block.shard.channel(peer)
        if channel is not None and not any(has_map(chunk) for chunk in channel.chunks):
            block.send(peer, Entry(Kind.MAP, map=map_of(block.shard)))
            told = _set(root.told, [peer], root.version)
            block.shard = block.shard._replace(root=root._replace(told=told))


def has_map(chunk: Chunk) -> bool:
    """Checks whether a chunk carries a map."""
    return any(isinstance(entry, Entry) and entry.kind == Kind.MAP for entry in chunk.entries)


def map_of(shard: Shard) -> Map:
    """Returns root's map. A shard's epoch in it is what was in force, not what was ordered (S15)."""
    root = root_of(shard)
    epochs = [shard.epoch if peer == ROOT else NOBODY for peer in range(len(root.generations))]
    for channel in shard.channels:
        epochs[channel.peer] = channel.term.epoch
    return Map(root.version, shard.owners, root.generations, tuple(epochs))


# ---- any shard -------------------------------------------------------------------------------------------------------


def take_map(block: Block, entry: Entry) -> None:
    """Takes a newer map, and believes the shards that it names (S37)."""
    shard, new = block.shard, entry.map
    assert isinstance(new, Map), "a Map entry has one"
    if new.version > shard.map_version:
        shard = shard._replace(owners=new.owners, map_version=new.version)
        for peer, epoch in enumerate(new.epochs):
            if peer != shard.id and epoch != NOBODY and new.generations[peer] >= 0:
                shard = shard.with_channel(named(shard.channel(peer) or unnamed(peer), epoch))
    block.shard = shard


def unnamed(peer: int) -> Channel:
    """Returns the channel with a peer that nobody has named yet."""
    return Channel(peer, term=Peer(NOBODY))


def named(channel: Channel, epoch: int) -> Channel:
    """Believes a committee that root's map names, if it is newer than the shard's own record (S37)."""
    return channel._replace(term=channel.term._replace(epoch=max(channel.term.epoch, epoch)))


def take_order(block: Block, entry: Entry) -> None:
    """Executes an order: it becomes a wish, or is refused (S6)."""
    change, shard = entry.detail[0], block.shard
    if change == Change.KEEP:
        _take_keep(block, entry)
    elif change == Change.KEYS:
        block.shard = shard._replace(new_keys=(entry.number, entry.detail[3]))
    else:
        _, generation, other, cut = entry.detail
        fits = change == Change.CLOSE or shard.low < cut < shard.high
        if shard.state != State.OPEN or shard.wish is not None or generation != shard.generation or not fits:
            tell_root(block, Entry(Kind.ANSWER, entry.number, (Outcome.REFUSED,)))
            return
        ends = Ends.CLOSE if change == Change.CLOSE else Ends.BIRTH
        state = State.CLOSING if change == Change.CLOSE else State.OPEN
        block.shard = shard._replace(wish=Wish(ends, entry.number, other, cut), state=state)


def _take_keep(block: Block, entry: Entry) -> None:
    wish = block.shard.wish
    if wish is not None and wish.number == entry.number and may_keep(wish):
        block.shard = block.shard._replace(wish=None, state=State.OPEN)
        tell_root(block, Entry(Kind.ANSWER, entry.number, (Outcome.KEPT,)))


def may_keep(wish: Wish) -> bool:
    """Checks that an order can still be recalled: not once it is sealed (S94)."""
    return not wish.sealed


def tell_root(block: Block, entry: Entry) -> None:
    """Answers root; root itself by a function call (S2)."""
    if entry.kind == Kind.ANSWER:
        block.answers(entry.number)
    if block.shard.id == ROOT:
        take_answer(block, ROOT, entry)
    else:
        block.send(ROOT, entry)


def is_ready(shard: Shard) -> bool:
    """Checks that a wish waits for nothing but its boundary (S41, S55)."""
    if shard.wish is None:
        return False
    return shard.wish.change != Ends.CLOSE or is_drained(shard)


def is_drained(shard: Shard) -> bool:
    """Checks that all own chunks are acknowledged, and nothing is left to write (S57)."""
    return shard.writes is None and not any(channel.chunks for channel in shard.channels)


def seal(block: Block) -> None:
    """Seals a wish at the end of the block after which it is ready (S94)."""
    wish = block.shard.wish
    if wish is not None and is_ready(block.shard):
        block.shard = block.shard._replace(wish=wish._replace(sealed=True))


def takes_chunks(shard: Shard) -> bool:
    """Checks that a shard still takes chunks: not once its end is sealed (S94), nor in a frozen term (S55)."""
    closing = shard.wish is not None and shard.wish.change == Ends.CLOSE and shard.wish.sealed
    return shard.state <= State.CLOSING and not closing


def may_claim(shard: Shard) -> bool:
    """Checks that a header which claims the newest height would see the wish ready (S41)."""
    return shard.due is None and shard.wish is not None and shard.wish.sealed


def clock_is_due(shard: Shard) -> bool:
    """Checks that a clock transaction is due: the term's writes aren't made (S39, S47)."""
    return shard.writes is not None


def write_term(block: Block) -> None:
    """Writes the entries that follow from the term, before the transactions of its first payload block (S47)."""
    writes = block.shard.writes
    if writes is not None:
        block.shard = block.shard._replace(writes=None)
        for entry in writes:
            tell_root(block, entry)


def frozen_end_is_due(_shard: Shard) -> bool:
    """Checks that a header can claim the root of b1: a boundary is rooted, with or without a payload (S55)."""
    return True


# ---- boundaries ------------------------------------------------------------------------------------------------------


def wishes(shard: Shard) -> list[Ends | None]:
    """Returns what this shard's next boundary could change, in the order in which it is served (S4); `None`: keys."""
    due = None if shard.due is None else shard.due.change
    if not takes_chunks(shard):
        return [due] if due is not None else []
    keys: list[Ends | None] = [None] if shard.new_keys is not None else []
    return keys + ([due] if due is not None else [])


def rotate(shard: Shard) -> Shard:
    """Returns the shard in its next epoch, with the keys that root ordered, if it did (S4)."""
    if shard.new_keys is None:
        return shard._replace(epoch=shard.epoch + 1)
    number, keys = shard.new_keys
    answer = Entry(Kind.ANSWER, number, (Outcome.DONE,))
    writes = (*(shard.writes or ()), answer)
    return shard._replace(epoch=shard.epoch + 1, keys=keys, new_keys=None, writes=writes)


def give_birth(parent: Shard) -> tuple[Shard, Shard]:
    """Returns parent and child after b*: one cut, both in the next epoch (S42, S43, S50)."""
    wish = parent.due
    assert wish is not None, "a birth is due"
    moved = frozenset(account for account in parent.accounts if wish.cut <= account < parent.high)
    epoch = parent.epoch + 1
    child = Shard(
        id=wish.other,
        low=wish.cut,
        high=parent.high,
        accounts=moved,
        owners=_set(_set((NOBODY,) * len(parent.owners), range(parent.low, wish.cut), parent.id), moved, wish.other),
        epoch=epoch,
        keys=parent.keys,
        writes=(),
        channels=born_channels(parent, epoch),
    )
    answer = Entry(Kind.ANSWER, wish.number, (Outcome.DONE, parent.keys, epoch, parent.keys))
    known = parent.channel(wish.other) or unnamed(wish.other)
    parent = parent.with_channel(known._replace(term=Peer(epoch)))
    parent = parent._replace(
        high=wish.cut,
        accounts=left_with_parent(parent.accounts, moved),
        generation=parent.generation + 1,
        epoch=epoch,
        wish=None,
        due=None,
        writes=(*(parent.writes or ()), answer),
        announced=(*parent.announced, (epoch, answer)),
    )
    return parent, child


def left_with_parent(accounts: frozenset[int], moved: frozenset[int]) -> frozenset[int]:
    """Returns the parent's accounts after the cut: each leaf is in one charter (S20)."""
    return accounts - moved


def born_channels(parent: Shard, epoch: int) -> tuple[Channel, ...]:
    """Returns the child's channels: root and parent alone are known to it, and all begin at chunk 0 (S42, S50)."""
    found = [Channel(parent.id, term=Peer(epoch))]
    root = parent.channel(ROOT)
    if root is not None:
        found.append(Channel(ROOT, term=Peer(root.term.epoch)))
    return tuple(sorted(found))


def absorb(heir: Shard, closed: Shard) -> Shard:
    """Returns the heir after the absorbing boundary (S56). The closed shard's store stays as it is (S58)."""
    wish = heir.due
    assert wish is not None, "an absorption is due"
    answer = Entry(Kind.ANSWER, wish.number, (Outcome.DONE,))
    return heir._replace(
        low=min(heir.low, closed.low),
        high=max(heir.high, closed.high),
        accounts=heir.accounts | closed.accounts,
        absorbed=(*heir.absorbed, closed.id),
        generation=heir.generation + 1,
        epoch=heir.epoch + 1,
        wish=None,
        due=None,
        writes=(*(heir.writes or ()), answer),
        announced=(*heir.announced, (heir.epoch + 1, answer)),
    )


def _set(values: tuple[int, ...], places: Iterable[int], value: int) -> tuple[int, ...]:
    changed = list(values)
    for place in places:
        changed[place] = value
    return tuple(changed)
