"""Class A (S69 to S73): a transaction whose remote part is one group, and what becomes of value under way.

Invariants: value is in a balance or in an `Out` leaf, never in between. A group is done as a whole or not at all.
Value comes back by a verdict, never by a time-out.
"""

from collections.abc import Iterable

from rustorium.sharding import atomic, channels
from rustorium.sharding.chains import Block, State, route, speaks_for
from rustorium.sharding.channels import Channel
from rustorium.sharding.vocabulary import HOPS_MAX, NOBODY, Code, Entry, Event, Kind, Op, Transaction

ENTRIES_MAX = 8
"""Unanswered requests on one channel (S32); a quarter of them for one sender."""


def submit(block: Block, number: int) -> None:
    """Executes a client's transaction at its sender's shard: locally, as class A or as class B (S69, S75)."""
    tx = block.plan[number]
    leaf = block.leaf(tx.sender)
    block.put(tx.sender, leaf._replace(nonce=leaf.nonce + 1))
    places = {group.account: route(block.shard, group.account) for group in tx.groups}
    here = [i for i, group in enumerate(tx.groups) if places[group.account] == block.shard.id]
    remote = sorted(set(places.values()) - {block.shard.id})
    if tx.value > leaf.balance or leaf.lock >= 0 or NOBODY in remote or (remote and block.shard.state != State.OPEN):
        block.note(Event.FAILED, number)  # S57: nothing leaves a shard that closes
    elif not remote:
        _locally(block, number)
    elif len(remote) == 1 and all(tx.groups[i].op == Op.CREDIT for i in here):
        _send(block, number, remote[0], here)
    else:
        atomic.begin(block, number, remote, places)


def _locally(block: Block, number: int) -> None:
    before, tx = block.shard, block.plan[number]
    pay(block, number)
    if perform(block, number, range(len(tx.groups))) is not None:
        block.shard = before
        block.note(Event.FAILED, number)


def _send(block: Block, number: int, peer: int, here: list[int]) -> None:
    """Makes the debit and sends `Do`. The `Out` leaf is the escrow, also of local credits (S69, S70)."""
    tx = block.plan[number]
    channel = block.shard.channel(peer) or Channel(peer, NOBODY)
    if is_full(block, channel, tx.sender):
        senders = senders_on(block, channel)
        block.note(Event.FAILED, number)
        if len(set(senders)) == 1 and tx.sender not in senders:
            block.note(Event.STARVED, number)
        return
    pay(block, number)
    credit_early(block, number, here)
    groups = tuple(i for i in range(len(tx.groups)) if i not in here)
    block.send(peer, Entry(Kind.DO, number, detail=groups))


def pay(block: Block, number: int) -> None:
    """Debits the sender."""
    tx = block.plan[number]
    leaf = block.leaf(tx.sender)
    block.put(tx.sender, leaf._replace(balance=leaf.balance - tx.value))
    block.note(Event.STARTED, number)


def credit_early(block: Block, number: int, here: Iterable[int]) -> None:
    """Local credits wait for the verdict: nothing is done for them at the start (S69)."""


def senders_on(block: Block, channel: Channel) -> list[int]:
    """Returns the sender of each client's request that waits on a channel."""
    return [block.plan[w.entry.tx].sender for w in channel.out if w.entry.kind in (Kind.DO, Kind.PREPARE)]


def is_full(block: Block, channel: Channel, sender: int) -> bool:
    """Checks whether a channel has no room for a sender's request (S32)."""
    senders = senders_on(block, channel)
    return channels.requests(channel) >= ENTRIES_MAX or senders.count(sender) >= ENTRIES_MAX // 4


def perform(block: Block, number: int, groups: Iterable[int]) -> Code | None:
    """Executes groups, all or nothing; returns why not, if not (S71)."""
    before, tx = block.shard, block.plan[number]
    for index in groups:
        op, account = tx.groups[index]
        if not block.shard.has(account):
            block.shard = before
            return Code.ELSEWHERE
        leaf = block.leaf(account)
        if (op in (Op.CREDIT, Op.ISSUE) and leaf.room < 1) or (op == Op.PUT and leaf.lock >= 0):
            block.shard = before
            return Code.REFUSED
        apply(block, number, index)
    return None


def apply(block: Block, number: int, index: int) -> None:
    """Makes one group's writes."""
    tx = block.plan[number]
    op, account = tx.groups[index]
    leaf = block.leaf(account)
    if op in (Op.CREDIT, Op.ISSUE):
        block.put(account, leaf._replace(balance=leaf.balance + 1))
    elif op == Op.PUT:
        before = block.plan[leaf.text] if leaf.text >= 0 else tx
        if before.sender == tx.sender and before.nonce > tx.nonce:
            block.note(Event.OVERTAKEN, number)
        block.put(account, leaf._replace(text=number))
    block.note(Event.EFFECT, number, index)


# ---- the destination -------------------------------------------------------------------------------------------------


def take_do(block: Block, peer: int, number: int, entry: Entry) -> None:
    """Executes a group for a sender of a peer, and answers by its verdict (S71)."""
    tx = block.plan[entry.tx]
    if not speaks_for(block.shard, peer, tx.sender, block.past):
        block.fail(peer, number, entry, Code.FOREIGN)
    elif block.shard.state != State.OPEN:
        block.fail(peer, number, entry, Code.ELSEWHERE)  # S57
    elif (code := perform(block, entry.tx, entry.detail)) is not None:
        block.fail(peer, number, entry, code)
    else:
        block.send(peer, Entry(Kind.DONE, entry.tx, number))


# ---- back at the source ----------------------------------------------------------------------------------------------


def take_done(block: Block, peer: int, entry: Entry) -> None:
    """Ends a class A transaction: credits that waited are made now (S69, S72)."""
    request = block.answer(peer, entry.ref)
    if request is not None:
        settle(block, request)


def settle(block: Block, request: Entry) -> None:
    """Makes the local credits of a group that was done."""
    tx = block.plan[request.tx]
    for index in waiting_credits(tx, request):
        give(block, tx.groups[index].account, Entry(Kind.REFUND, request.tx, detail=(Event.EFFECT, index)))


def waiting_credits(tx: Transaction, request: Entry) -> list[int]:
    """Returns the groups that wait at the source for the verdict."""
    return [index for index in range(len(tx.groups)) if index not in request.detail]


def take_failed(block: Block, peer: int, entry: Entry) -> None:
    """Sends a group again whose accounts moved, or returns its value (S38, S72)."""
    request = block.answer(peer, entry.ref)
    if request is not None:
        if entry.detail == (Code.ELSEWHERE,) and may_go_on(block, request):
            send_again(block, peer, request)
        else:
            give_back(block, request)


def may_go_on(block: Block, request: Entry) -> bool:
    """Checks that a group may be sent again: credits alone, at most 8 times (S38)."""
    groups = block.plan[request.tx].groups
    return request.hops < HOPS_MAX and all(groups[i].op == Op.CREDIT for i in request.detail)


def send_again(block: Block, peer: int, request: Entry) -> None:
    """Sends a group to the shard that has its accounts now, if that is one and another; else returns its value."""
    tx = block.plan[request.tx]
    shards = {route(block.shard, tx.groups[i].account) for i in request.detail}
    target = shards.pop()
    if shards or target in (peer, NOBODY):
        give_back(block, request)
    elif target != block.shard.id:
        block.send(target, request._replace(hops=request.hops + 1))
    elif perform(block, request.tx, request.detail) is None:
        settle(block, request)
    else:
        give_back(block, request)


def give_back(block: Block, request: Entry) -> None:
    """Returns what the sender paid (S72)."""
    tx = block.plan[request.tx]
    for index in returned_groups(tx):
        give(block, tx.sender, Entry(Kind.REFUND, request.tx, detail=(Event.RETURNED, index)))


def returned_groups(tx: Transaction) -> list[int]:
    """Returns the groups whose unit comes back. What a failed issue would have made is destroyed (S72)."""
    return [index for index, group in enumerate(tx.groups) if group.op == Op.CREDIT]


def give(block: Block, account: int, refund: Entry) -> None:
    """Adds a unit to an account that waited for it, here or by a refund to the shard that it moved to (S50)."""
    if block.shard.has(account):
        block.put(account, block.leaf(account).with_unit_back())
        block.note(Event(refund.detail[0]), refund.tx, refund.detail[1])
    else:
        block.send(route(block.shard, account), refund._replace(account=account))


def take_refund(block: Block, entry: Entry) -> None:
    """Takes a refund, or passes it on where the account moved on (S50). It is a response: nobody may refuse it."""
    give(block, entry.account, entry)
