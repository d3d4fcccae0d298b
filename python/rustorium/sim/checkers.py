"""Independent checks of every run of the release stages: on what leaves nodes, what their disks hold, what they execute
and what they tell clients.

Invariants: the checkers share no code with what they check, except plain BLAKE3. What was once final stays final
through every crash. The first breach ends the run with a sentence that names it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    SeenHeader,
    SeenVote,
    proposed_in,
    votes_in,
    wanted_in,
)
from rustorium.sim.memories import Memories, VoteKey
from rustorium.sim.ondisk import OnDisk, block_digest
from rustorium.sim.shadow import FIRST_RECORD_BYTES

KINDS = ("notarize", "nullify", "finalize")
ACCOUNT, BALANCE, COMMITTEE, SPONSOR, GOVERNANCE, PROPOSAL = 0, 1, 4, 13, 16, 17
"""The first byte in the names of state leaves."""
UNPAID = (ACCOUNT, SPONSOR, GOVERNANCE, PROPOSAL)
"""Leaves whose bytes no account pays for, or not by their length."""
LEAF_KEY_BYTES = 64
RECORD_STORAGE = {1: 128, 2: 192}
"""Storage bytes that a new account's record takes, by protocol version, whatever its length (V27)."""
ASKED_MAX = 100
"""More than a node in a lossy network needs in a run."""


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A final height as some honest node has it."""

    digest: bytes
    header: SeenHeader
    result_root: bytes


class Checkers:
    """The checks of one run. They see the whole world, crashes included, but ignore traitors' own votes."""

    def __init__(self, nodes: int, version: int = 1) -> None:
        """`version`: the genesis' protocol version."""
        self._votes: dict[VoteKey, bytes] = {}
        self._memories = Memories(nodes)
        self._disks: dict[int, OnDisk] = {}
        self._asked: Counter[tuple[int, bytes]] = Counter()
        self._final: dict[int, FinalBlock] = {}
        self._state_roots: dict[int, bytes] = {}
        self._committees: dict[int, tuple[int, ...]] = {}
        self.versions: dict[int, int] = {}
        """The protocol version of each epoch with a final block."""
        self._sums: tuple[int, int] | None = None
        self._first_accounts: frozenset[bytes] = frozenset()
        """The keys of the accounts in the state that the sums were first taken from."""
        self._told: dict[str, int] = {}
        self._never: list[tuple[str, str]] = []
        self.unpaid: tuple[int, ...] = UNPAID
        """Leaves that don't count for the sum of all storage, by the first byte of their names."""
        self.final_height = 0
        self.version = version
        """The protocol version of the newest final block."""
        self.epoch = 0
        """The newest epoch that a node has begun."""
        self._payload_height = 0

    # ---- epochs

    def begun(self, node: int, epoch: int, committee: tuple[int, ...]) -> None:
        """Called when an honest node's core is in an epoch, with its members' numbers by their places."""
        known = self._committees.setdefault(epoch, committee)
        if known != committee:
            raise BreachError(f"epoch {epoch} has another committee at node {node}")
        self.epoch = max(self.epoch, epoch)

    def newest(self) -> SeenHeader | None:
        """Returns the newest final block's header; `None` before the first one."""
        block = self._final.get(self.final_height)
        return block.header if block is not None else None

    # ---- what leaves

    def synced(self, node: int, records: Iterable[tuple[int, bytes]]) -> None:
        """Notes records that the journal has on disk: a power cut doesn't take them back."""
        self._disks.setdefault(node, OnDisk()).synced(records)

    def stored(self, node: int, view: int) -> None:
        """Notes that the store has the final blocks up to this view on disk."""
        self._disks.setdefault(node, OnDisk()).final(view)

    def heard(self, source: int, incarnation: int) -> None:
        """Notes that a frame of the consensus class came from this incarnation of a node to another node."""
        self._memories.heard(source, incarnation)

    def crashed(self, node: int) -> None:
        """Notes that the node's memory is lost."""
        self._memories.crashed(node)

    def wiped(self, node: int, incarnation: int) -> None:
        """Notes that the node's disk is lost, in this incarnation."""
        self._disks.pop(node, None)
        self._memories.wiped(node, incarnation, {key for key in self._votes if key[1] == node})

    def frame_left(self, node: int, frame: bytes) -> None:
        """Called when a frame of the consensus class leaves an honest node."""
        proposed = proposed_in(frame)
        if proposed is not None:
            header, raw, signature = proposed
            digest = block_digest(raw)
            self._vote_left(node, SeenVote(header.epoch, header.view, NOTARIZE, digest, header.proposer, signature))
            return
        for vote in votes_in(frame):
            self._vote_left(node, vote)

    def asked(self, node: int, frame: bytes) -> None:
        """Called when a frame of the sync class leaves an honest node. Checks that a node doesn't ask for the same
        block or batch without end."""
        question = wanted_in(frame)
        if question is None:
            return
        self._asked[node, question] += 1
        if self._asked[node, question] > ASKED_MAX:
            raise BreachError(f"node {node} asked {ASKED_MAX} times for the same block or batch")

    def _vote_left(self, node: int, vote: SeenVote) -> None:
        where = f"in view {vote.view} of epoch {vote.epoch}"
        disk = self._disks.get(node, OnDisk())
        if not disk.has_vote(vote):
            raise BreachError(f"node {node}'s {KINDS[vote.kind]} {where} left before it was on disk")
        lacks = {NOTARIZE: disk.lacks_for_notarize, FINALIZE: disk.lacks_for_finalize}.get(vote.kind)
        if lacks is not None and (missing := lacks(vote)):
            raise BreachError(f"node {node}'s {KINDS[vote.kind]} {where} left before {missing} was on disk")
        committee = self._committees.get(vote.epoch, ())
        if vote.signer >= len(committee) or committee[vote.signer] != node:
            raise BreachError(f"node {node} votes {where}, of whose committee it isn't, as {vote.signer}")
        self._forget(vote.epoch, node, vote.view)
        known = self._votes.setdefault((vote.epoch, node, vote.view, vote.kind), vote.block)
        if known != vote.block:
            raise BreachError(f"node {node} cast two {KINDS[vote.kind]} votes {where}")
        other = {NULLIFY: FINALIZE, FINALIZE: NULLIFY}.get(vote.kind)
        if other is not None and (vote.epoch, node, vote.view, other) in self._votes:
            raise BreachError(f"node {node} cast both nullify and finalize {where}")

    def _forget(self, epoch: int, node: int, view: int) -> None:
        """Forgets votes that a node's lost disk held and that no other node remembers or certifies: no node can know of
        them."""
        for kind in range(len(KINDS)):
            key = (epoch, node, view, kind)
            block = self._votes.get(key)
            if block is None or not self._memories.has_forgotten(key):
                continue
            if not any(disk.certifies(epoch, view, kind, block) for disk in self._disks.values()):
                del self._votes[key]

    # ---- what is executed

    def executed(self, node: int, digest: bytes, header: SeenHeader, result_root: bytes) -> None:
        """Called when an honest node has executed a block as final; repeated after a restart."""
        height, block = header.height, FinalBlock(digest, header, result_root)
        known = self._final.get(height)
        if known is not None:
            if known.digest != digest:
                raise BreachError(f"height {height} has two final blocks, the second at node {node}")
            if known.result_root != result_root:
                raise BreachError(f"height {height} has two result roots, the second at node {node}")
            return
        below = self._final.get(height - 1)
        if below is not None:
            self._follows(below, block)
        self._claims(header)
        if self.versions.setdefault(header.epoch, header.version) != header.version:
            raise BreachError(f"epoch {header.epoch} has blocks of two versions, one at final height {height}")
        self._final[height] = block
        if height > self.final_height:
            self.final_height, self.version = height, header.version
        if header.transactions:
            self._payload_height = max(self._payload_height, height)

    def _follows(self, below: FinalBlock, block: FinalBlock) -> None:
        header, parent = block.header, below.header
        if header.parent != below.digest:
            raise BreachError(f"final height {header.height} doesn't extend final height {parent.height}")
        if header.view <= parent.view or header.time_ms <= parent.time_ms:
            raise BreachError(f"view or time of final height {header.height} isn't above its parent's")
        if header.epoch != parent.epoch + parent.ends_epoch:
            raise BreachError(f"final height {header.height} is of epoch {header.epoch}, its parent of {parent.epoch}")
        if header.version < parent.version:
            raise BreachError(f"final height {header.height} has version {header.version}, its parent {parent.version}")
        if header.claimed[0] < parent.claimed[0] or _height(header.rooted) < _height(parent.rooted):
            raise BreachError(f"a claim of height {header.height} goes back")

    def _claims(self, header: SeenHeader) -> None:
        claimed, root = header.claimed
        known = self._final.get(claimed)
        if claimed >= header.height or (claimed and known is not None and known.result_root != root):
            raise BreachError(f"final height {header.height} claims another result than was executed")
        if header.rooted is not None:
            rooted, state_root = header.rooted
            if rooted > claimed:
                raise BreachError(f"final height {header.height} claims a state root and no result of its height")
            if self._state_roots.setdefault(rooted, state_root) != state_root:
                raise BreachError(f"height {rooted} has two certified state roots")

    # ---- what clients were told

    def told_final(self, transaction: str, height: int) -> None:
        """Called when an honest node told a client that its transaction is final."""
        if self._told.setdefault(transaction, height) != height:
            raise BreachError(f"transaction {transaction} was told to be final at two heights")

    def told_expired(self, transaction: str) -> None:
        """Called when an honest node told a client that its transaction has expired."""
        self._never.append((transaction, "to be expired"))

    def told_refused(self, transaction: str, why: str) -> None:
        """Called when an honest node refused a transaction that no other node was ever given."""
        self._never.append((transaction, f"to be refused ({why})"))

    def told_used(self, transaction: str) -> None:
        """Called when an honest node told a client that another transaction has used its transaction's nonce."""
        self._never.append((transaction, "to have another's nonce"))

    def kept(self, node: int, height: int, disk: _native.SimDisk) -> None:
        """Called at the end for each honest node. Checks that every transaction told to be final is in its store, as
        far as the node has executed, and that none told to be expired is."""
        for transaction, why in self._never:
            if (found := disk.transaction(transaction)) is not None:
                raise BreachError(f"transaction {transaction} was told {why} and executed at height {found[0]}")
        for transaction, at in self._told.items():
            found = disk.transaction(transaction)
            if at <= height and (found is None or found[0] != at):
                raise BreachError(f"node {node} lacks transaction {transaction}, told to be final at height {at}")

    def blamed(self, node: int, offenders: Iterable[int], retired: str | None, honest: frozenset[int]) -> None:
        """Called at the end for each honest node. Checks that it holds no evidence against honest nodes, and that its
        key is not retired."""
        for offender in offenders:
            if offender in honest:
                raise BreachError(f"node {node} holds evidence against node {offender}, which is honest")
        if retired is not None:
            raise BreachError(f"node {node} retired its key, said to lack {retired}, and lost nothing")

    # ---- what the state holds

    def conserved(self, node: int, leaves: list[tuple[bytes, bytes, bytes]]) -> None:
        """Checks that the sums of all balances and of all storage never change.

        Of a chain that went from version 1 to 2 it isn't known by which version an account was made: each new one takes
        either number of bytes."""
        accounts = frozenset(key for key, name, _ in leaves if name[0] == ACCOUNT)
        amounts = sum(int.from_bytes(value, "little") for _, name, value in leaves if name[0] == BALANCE)
        left = sum(_storage_left(value) for _, name, value in leaves if name[0] == ACCOUNT)
        paid = [value for _, name, value in leaves if name[0] not in self.unpaid]
        taken = sum(LEAF_KEY_BYTES + len(value) for value in paid)
        sums = (amounts, left + taken)
        if self._sums is None:
            self._sums, self._first_accounts = sums, accounts
        new = len(accounts - self._first_accounts)
        each = [RECORD_STORAGE[min(version, 2)] for version in {*self.versions.values(), self.version}]
        least, most = new * min(each), new * max(each)
        gone = self._sums[1] - sums[1]
        if sums[0] != self._sums[0]:
            raise BreachError(f"node {node} has a supply of {sums[0]} where there were {self._sums[0]}")
        if not least <= gone <= most or (gone - least) % (RECORD_STORAGE[2] - RECORD_STORAGE[1]):
            raise BreachError(
                f"node {node} has {sums[1]} bytes of storage besides those of {new} new accounts, where there were "
                f"{self._sums[1]}"
            )

    def owed(self) -> bool:
        """Checks whether the newest final header still lacks a claim of the newest payload's result or state root."""
        newest = self._final.get(self.final_height)
        return newest is not None and _height(newest.header.rooted) < self._payload_height

    def final_at(self, height: int) -> FinalBlock:
        """Returns the final block of a height that some honest node has executed."""
        return self._final[height]

    def final_chain(self) -> list[FinalBlock]:
        return [self._final[height] for height in sorted(self._final)]


def _storage_left(record: bytes) -> int:
    """Returns the storage balance in an account's record. Version 1 has it at the end, and version 2 behind tag, signer
    and nonce."""
    place = len(record) - 8 if len(record) == FIRST_RECORD_BYTES else 2 + 32 + 8
    return int.from_bytes(record[place : place + 8], "little")


def _height(claim: tuple[int, bytes] | None) -> int:
    return claim[0] if claim is not None else 0
