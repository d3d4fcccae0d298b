"""Transfers (T1 to T29): how one shard sends credits, takes those of its peers, and settles its own.

Invariants: value is in a balance or in an open chunk, never in between. Each credit is executed by itself. Nothing
returns because time passed.
"""

from rustorium.sharding import channels
from rustorium.sharding.channels import Channel, Chunk, Delivery, Head
from rustorium.sharding.ledgers import (
    RECORD,
    STORAGE,
    Account,
    Act,
    Answer,
    Block,
    Credit,
    Event,
    Result,
    Shard,
    keys_of,
)

Entries = dict[int, tuple[Credit | Answer, ...]]


def finish(block: Block) -> Shard:
    """Cuts the chunks of a block (T5), and returns the shard after it."""
    for peer, entries in block.pending.items():
        block.shard = block.shard.with_channel(cut(block, block.shard.channel(peer), entries))
    return block.shard


def cut(block: Block, channel: Channel, entries: tuple[Credit | Answer, ...]) -> Channel:
    """Appends the entries of a block as few chunks (T5)."""
    answers: list[Credit | Answer] = [entry for entry in entries if isinstance(entry, Answer)]
    left = [*answers, *(entry for entry in entries if isinstance(entry, Credit))]
    version = written_in(block.shard.version, channel.term.version)
    while left:
        part, left = left[: block.limits.chunk_max], left[block.limits.chunk_max :]
        channel = channels.append(channel, tuple(part), took(channel, left), version)
    return channel


def took(channel: Channel, left: list[Credit | Answer]) -> int:
    """Returns the number up to which all answers stand in the chunk that is closed, or in earlier ones (T15a).

    A block can have more answers than a chunk takes. Those that are left stand in a later one.
    """
    return min([entry.chunk for entry in left if isinstance(entry, Answer)], default=channel.in_next)


def written_in(own: int, peer: int) -> int:
    """Returns the version that entries for a peer are written in: the older one (T29)."""
    return min(own, peer)


# ---- sending (T1 to T8) ----------------------------------------------------------------------------------------------


def submit(block: Block, number: int) -> None:
    """Executes a client's transaction at its source, as a whole or not at all (T3)."""
    tx = block.plan[number]
    block.change(tx.sender, nonce=tx.nonce + 1)
    before = (block.shard, dict(block.pending))
    for index, operation in enumerate(tx.operations):
        local = block.places[operation.to] == block.shard.id
        if not (pay_here(block, number, index) if local else send(block, number, index)):
            roll_back(block, before)
            block.note(Event.FAILED, number)
            return


def roll_back(block: Block, before: tuple[Shard, Entries]) -> None:
    """Takes back what a transaction that failed did, and its entries (T3)."""
    block.shard, block.pending = before


def pay_here(block: Block, number: int, index: int) -> bool:
    """Executes an operation whose receiver is in this shard."""
    tx = block.plan[number]
    sender, (act, to) = block.account(tx.sender), tx.operations[index]
    receiver = block.shard.accounts[to]
    if act == Act.OPEN or receiver is None or receiver.paused or max(receiver.balance, 0) >= block.limits.balance_max:
        return False
    fee = int(receiver.balance < 0)
    if sender.storage < fee or (act == Act.PAY and sender.balance < 1):
        return False
    block.change(tx.sender, storage=sender.storage - fee, balance=sender.balance - int(act == Act.PAY))
    block.change(to, balance=max(block.account(to).balance, 0) + 1)
    block.note(Event.DONE, number, index)
    return True


def send(block: Block, number: int, index: int) -> bool:
    """Sends a credit: the entry is the escrow of value and storage (T3)."""
    tx = block.plan[number]
    sender, (act, to) = block.account(tx.sender), tx.operations[index]
    peer, storage = block.places[to], STORAGE[act]
    channel = block.shard.channel(peer)
    if channel.broken or is_full(block, channel) or sender.storage < storage or (act == Act.PAY and sender.balance < 1):
        return False
    block.change(tx.sender, storage=sender.storage - storage, balance=sender.balance - int(act == Act.PAY))
    block.add(peer, Credit(number, index, act, to, storage, keys_of(to) if act == Act.OPEN else -1))
    block.note(Event.SENT, number, index)
    return True


def credits_in(chunk: Chunk) -> list[Credit]:
    """Returns the credits of a chunk."""
    return [entry for entry in chunk.entries if isinstance(entry, Credit)]


def open_credits(channel: Channel) -> int:
    """Returns the number of credits in open chunks."""
    return sum(len(credits_in(chunk)) for chunk in channel.chunks if chunk.open)


def is_full(block: Block, channel: Channel) -> bool:
    """Checks whether a channel has no room for a credit (T8)."""
    pending = [entry for entry in block.pending.get(channel.peer, ()) if isinstance(entry, Credit)]
    return open_credits(channel) + len(pending) >= block.limits.open_max


def may_answer(_block: Block, _channel: Channel) -> bool:
    """Checks that there is room for an answer: always, since the credits that were taken bound them (T8)."""
    return True


# ---- taking (T9 to T15a) ---------------------------------------------------------------------------------------------


def deliver(block: Block, delivery: Delivery, expired: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Executes a delivery; if a check fails, the whole delivery is skipped (T9)."""
    head = delivery.head
    peer = next((c.peer for c in block.shard.channels if c.peer == head.own), block.shard.channels[0].peer)
    channel = block.shard.channel(peer)
    if channel.broken or not channels.is_current(channel, expired):
        return False
    if not channels.is_stamped_by_peer(channel, head) or channels.is_stopped(channel, head):
        return False
    if not channels.is_of_this_channel(block.shard.id, channel, head):
        return False
    if channels.breaks(channel, delivery):
        block.shard = block.shard.with_channel(channel._replace(broken=True))
        return True
    if delivery.chunks and not takes(block, channel, delivery):
        return False
    for chunk in delivery.chunks:
        take_chunk(block, peer, chunk)
    acknowledge(block, peer, head)
    return True


def takes(block: Block, channel: Channel, delivery: Delivery) -> bool:
    """Checks the chunks of a delivery: their tips, that they decode, and no pause of all accounts (T9, T12, T29)."""
    decoded = all(decodes(block, channel, chunk) for chunk in delivery.chunks)
    return channels.leads(channel, delivery) and decoded and not holds_back(block.shard) and may_answer(block, channel)


def holds_back(shard: Shard) -> bool:
    """Checks whether deliveries wait at their source: all accounts are paused (T12)."""
    return shard.paused


def decodes(block: Block, channel: Channel, chunk: Chunk) -> bool:
    """Checks that the version of the present epoch reads a chunk, and that its answers are of entries (T13, T29)."""
    for entry in chunk.entries:
        if isinstance(entry, Answer):
            asked = next((own for own in channel.chunks if own.number == entry.chunk), None)
            places = [place for place, _ in entry.results]
            if asked is not None and any(
                place >= len(asked.entries) or not isinstance(asked.entries[place], Credit) for place in places
            ):
                return False
    return reads(block.shard.version, chunk)


def reads(version: int, chunk: Chunk) -> bool:
    """Checks that a protocol version reads a chunk. What can't be read isn't consumed (T29)."""
    return chunk.version <= version


def take_chunk(block: Block, peer: int, chunk: Chunk) -> None:
    """Executes the entries of a chunk, moves the cursor, and settles what the chunk implies (T11, T13, T15a)."""
    results = []
    for place, entry in enumerate(chunk.entries):
        if isinstance(entry, Answer):
            settle_by_answer(block, peer, entry)
        elif isinstance(entry, Credit):
            result = execute(block, entry)
            if result is not None:
                results.append((place, result))
    if results:
        block.add(peer, Answer(chunk.number, tuple(results)))
    block.shard = block.shard.with_channel(channels.take(block.shard.channel(peer), chunk))
    settle_below(block, peer, chunk.took)


def execute(block: Block, credit: Credit) -> Result | None:
    """Executes a credit; returns its result if it isn't plain success (T11, T12)."""
    to = receiver_of(credit)
    receiver = block.shard.accounts[to]
    here = block.places[to] == block.shard.id
    used = receiver is not None and receiver.balance < 0
    if credit.act == Act.OPEN:
        done = receiver is None and here
        if done:
            account = Account(credit.keys, credit.storage - RECORD)
            block.shard = block.shard.with_account(to, account)
        used = True
    else:
        room = receiver is not None and max(receiver.balance, 0) < block.limits.balance_max
        done = receiver is not None and room and not receiver.paused
        if done:
            block.change(to, balance=max(block.account(to).balance, 0) + 1)
    block.note(Event.DELIVERED if done else Event.REFUSED, credit.tx, credit.place)
    if done:
        return Result.STORAGE_USED if used else None
    return Result.REFUSED


def receiver_of(credit: Credit) -> int:
    """Returns the receiver's id. That of a new account is computed from its authority, here (T11)."""
    return credit.keys if credit.act == Act.OPEN else credit.to


# ---- settling (T13, T15, T15a, T28) ----------------------------------------------------------------------------------


def settle_by_answer(block: Block, peer: int, answer: Answer) -> None:
    """Settles a chunk that is open, by its one answer (T13)."""
    channel = block.shard.channel(peer)
    chunk = next((c for c in channel.chunks if c.number == answer.chunk), None)
    if chunk is None or not is_open(chunk):
        return
    results = dict(answer.results)
    for place, credit in enumerate(chunk.entries):
        if isinstance(credit, Credit):
            settle(block, credit, results.get(place))
    block.shard = block.shard.with_channel(channels.closes(block.shard.channel(peer), chunk.number))


def is_open(chunk: Chunk) -> bool:
    """Checks that no answer has settled a chunk (T13)."""
    return chunk.open


def settle(block: Block, credit: Credit, result: Result | None) -> None:
    """Ends a credit at its source."""
    sender = block.plan[credit.tx].sender
    account = block.account(sender)
    block.change(sender, storage=account.storage + storage_back(credit, result))
    if result == Result.REFUSED:
        value = value_back(credit)
        if value and account.balance >= block.limits.balance_max:
            value = 0
            block.note(Event.BURNT, credit.tx, credit.place)
        block.change(sender, balance=account.balance + value)
    block.note(Event.RETURNED if result == Result.REFUSED else Event.ARRIVED, credit.tx, credit.place)


def storage_back(credit: Credit, result: Result | None) -> int:
    """Returns the storage that comes back, which the receiver didn't use (T13)."""
    return 0 if result == Result.STORAGE_USED else credit.storage


def value_back(credit: Credit) -> int:
    """Returns the value of a refused credit. What an issue would have made is destroyed (T13)."""
    return int(credit.act == Act.PAY)


def acknowledge(block: Block, peer: int, head: Head) -> None:
    """Settles the chunks that the peer took, if all its answers are here, or if no credit waits for one (T15)."""
    channel = block.shard.channel(peer)
    channel = channel._replace(peer_acked=max(channel.peer_acked, head.acked))
    block.shard = block.shard.with_channel(channel)
    if has_all_answers(channel, head) or open_credits(channel) == 0:
        settle_below(block, peer, head.in_next)


def has_all_answers(channel: Channel, head: Head) -> bool:
    """Checks that all chunks of the peer up to a head are taken, so all answers that it implies are, too (T15)."""
    return channel.in_next >= head.out_next


def settle_below(block: Block, peer: int, number: int) -> None:
    """Settles the own chunks below a number, which the peer took, and deletes their leaves (T15, T15a)."""
    for chunk in block.shard.channel(peer).chunks:
        if chunk.number < number and chunk.open:
            for credit in credits_in(chunk):
                settle(block, credit, None)
    block.shard = block.shard.with_channel(channels.acknowledge(block.shard.channel(peer), number))


def may_return_by_time() -> bool:
    """Checks whether a credit comes back because time passed: never (T27)."""
    return False


def return_by_time(block: Block, peer: int) -> None:
    """Gives back the oldest open chunk, which no rule allows (T27)."""
    chunk = next(c for c in block.shard.channel(peer).chunks if c.open)
    places = [place for place, entry in enumerate(chunk.entries) if isinstance(entry, Credit)]
    settle_by_answer(block, peer, Answer(chunk.number, tuple((place, Result.REFUSED) for place in places)))
