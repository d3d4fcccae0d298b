"""Class B (S75 to S82): two-phase commit between shards, without waiting.

Invariants: the coordinator alone decides, once. A participant that voted yes can apply its groups whatever happens
until it hears the decision. Nobody waits for a lock.
"""

from rustorium.sharding.chains import Block, Intent, Shard, State, speaks_for
from rustorium.sharding.vocabulary import Entry, Event, Kind, Op, Transaction

YES, NO = 1, 0


def begin(block: Block, number: int, remote: list[int], places: dict[int, int]) -> None:
    """Opens an intent at the coordinator and asks all participants (S76)."""
    tx = block.plan[number]
    here = tuple(i for i, group in enumerate(tx.groups) if places[group.account] == block.shard.id)
    if not takes(block.shard) or not may_write(tx) or not promise(block, number, here):
        block.note(Event.FAILED, number)
        return
    leaf = block.leaf(tx.sender)
    block.put(tx.sender, leaf._replace(balance=leaf.balance - tx.value))
    block.note(Event.STARTED, number)
    _open(block, Intent(number, block.shard.id, here, asked=tuple(remote), votes=tuple(remote)))
    for peer in remote:
        groups = tuple(i for i, group in enumerate(tx.groups) if places[group.account] == peer)
        block.send(peer, Entry(Kind.PREPARE, number, detail=groups))


def takes(shard: Shard) -> bool:
    """Checks that a shard takes class B: not once it was ordered to change its range (S78)."""
    return shard.state == State.OPEN and shard.wish is None


def may_write(tx: Transaction) -> bool:
    """Checks that class B only touches leaves that its sender may write; balances are credited (S75)."""
    return all(group.op != Op.REQUIRE or group.account == tx.sender for group in tx.groups)


def promise(block: Block, number: int, groups: tuple[int, ...]) -> bool:
    """Reserves and locks what the groups need; on a no, nothing is kept (S77, S78)."""
    before, tx = block.shard, block.plan[number]
    for index in groups:
        op, account = tx.groups[index]
        if not block.shard.has(account) or not _hold(block, number, op, account):
            block.shard = before
            return False
    return True


def _hold(block: Block, number: int, op: Op, account: int) -> bool:
    leaf = block.leaf(account)
    if op in (Op.CREDIT, Op.ISSUE):
        if leaf.room < 1:
            return False
        reserve(block, account)
    elif leaf.lock >= 0:
        return False
    else:
        if op == Op.REQUIRE and account != block.plan[number].sender:
            block.note(Event.FROZEN, number)
        block.put(account, leaf._replace(lock=number))
    return True


def reserve(block: Block, account: int) -> None:
    """Counts a credit in the receiver's overflow check at once (S77)."""
    leaf = block.leaf(account)
    block.put(account, leaf._replace(reserved=leaf.reserved + 1))


def _release(block: Block, number: int, groups: tuple[int, ...], commit: bool) -> None:
    """Applies or drops what was promised, and unlocks (S80)."""
    for index in groups:
        op, account = block.plan[number].groups[index]
        leaf = block.leaf(account)
        if op in (Op.CREDIT, Op.ISSUE):
            leaf = leaf._replace(reserved=max(leaf.reserved - 1, 0))
            if commit and leaf.room < 1:
                block.note(Event.HALF, number, index)
            elif commit:
                leaf = leaf._replace(balance=leaf.balance + 1)
        else:
            leaf = leaf._replace(lock=-1, text=number if commit and op == Op.PUT else leaf.text)
        block.put(account, leaf)
        if commit:
            block.note(Event.EFFECT, number, index)
    block.note(Event.COMMITTED if commit else Event.ABORTED, number)


def _open(block: Block, intent: Intent) -> None:
    block.shard = block.shard._replace(intents=tuple(sorted([*block.shard.intents, intent])))


def _close(block: Block, intent: Intent) -> None:
    block.shard = block.shard._replace(intents=tuple(i for i in block.shard.intents if i != intent))


def intent_of(shard: Shard, number: int) -> Intent | None:
    """Returns the open intent of a transaction."""
    return next((intent for intent in shard.intents if intent.tx == number), None)


# ---- a participant ---------------------------------------------------------------------------------------------------


def take_prepare(block: Block, peer: int, number: int, entry: Entry) -> None:
    """Votes: yes, with an intent and locks, or no (S77). A sender must be the peer's, as for `Do` (S70)."""
    vote, sender = NO, block.plan[entry.tx].sender
    known = speaks_for(block.shard, peer, sender, block.past)
    if known and takes(block.shard) and promise(block, entry.tx, entry.detail):
        _open(block, Intent(entry.tx, peer, entry.detail))
        vote = YES
    block.send(peer, Entry(Kind.VOTE, entry.tx, number, detail=(vote,)))


def take_decide(block: Block, peer: int, entry: Entry) -> None:
    """Carries the decision out, and says so even of an unknown intent (S77, S80)."""
    intent = intent_of(block.shard, entry.tx)
    if intent is not None and decides(intent, peer):
        _close(block, intent)
        _release(block, entry.tx, intent.groups, entry.detail == (YES,))
    block.send(peer, Entry(Kind.FINISHED, entry.tx))


def decides(intent: Intent, peer: int) -> bool:
    """Checks that a decision is the coordinator's: an intent is keyed by it (S81)."""
    return intent.coordinator == peer


# ---- the coordinator -------------------------------------------------------------------------------------------------


def take_vote(block: Block, peer: int, entry: Entry) -> None:
    """Counts a vote: a no aborts, the last yes commits (S79)."""
    block.answer(peer, entry.ref)
    intent = intent_of(block.shard, entry.tx)
    if intent is None or not intent.votes or not may_vote(intent, peer):
        return  # it is decided, or was never asked of this peer
    left = tuple(p for p in intent.votes if p != peer)
    if entry.detail == (NO,):
        if peer not in intent.asked:
            block.note(Event.MEDDLED, intent.tx)
        decide(block, intent, commit=False)
    elif left:
        _close(block, intent)
        _open(block, intent._replace(votes=left))
    else:
        decide(block, intent, commit=True)


def may_vote(intent: Intent, peer: int) -> bool:
    """Checks that a vote is one that is missing (S79)."""
    return peer in intent.votes


def decide(block: Block, intent: Intent, commit: bool) -> None:
    """Makes the one decision, tells all participants, and ends the local part (S79)."""
    tx = block.plan[intent.tx]
    _close(block, intent)
    _release(block, intent.tx, intent.groups, commit)
    if not commit:
        for index, group in enumerate(tx.groups):
            if group.op == Op.CREDIT:
                block.put(tx.sender, block.leaf(tx.sender).with_unit_back())
                block.note(Event.RETURNED, intent.tx, index)
    _open(block, intent._replace(groups=(), votes=(), finishing=intent.asked))
    for peer in intent.asked:
        block.send(peer, Entry(Kind.DECIDE, intent.tx, detail=(YES if commit else NO,)))


def take_finished(block: Block, peer: int, entry: Entry) -> None:
    """Ends the intent after the last participant (S80)."""
    intent = intent_of(block.shard, entry.tx)
    if intent is not None and peer in intent.finishing:
        _close(block, intent)
        if len(intent.finishing) > 1:
            _open(block, intent._replace(finishing=tuple(p for p in intent.finishing if p != peer)))


def waits_for(shard: Shard, peer: int) -> bool:
    """Checks whether this shard coordinates a transaction that waits for a peer."""
    return any(i.coordinator == shard.id and peer in (*i.votes, *i.finishing) for i in shard.intents)


def peer_ended(block: Block, peer: int) -> None:
    """Takes a participant's closing term as its no, and as its last word on what was decided (S98)."""
    for intent in block.shard.intents:
        if intent.coordinator == block.shard.id and peer in intent.votes:
            decide(block, intent, commit=False)
    for intent in block.shard.intents:
        if intent.coordinator == block.shard.id and peer in intent.finishing:
            take_finished(block, peer, Entry(Kind.FINISHED, intent.tx))


def passes_deadline(block: Block, intent: Intent) -> None:
    """Aborts by the coordinator's clock transaction (S79)."""
    decide(block, intent, commit=False)
