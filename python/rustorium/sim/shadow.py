"""A second ledger: replays clients' transactions in the order in which nodes executed them, and compares the state.

Invariants: this ledger shares no code with execution. It trusts a node only for the places of receipts and the bytes of
its state. No node executed anything that no client of the run signed.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader
from rustorium.sim.replay import Replay, governs
from rustorium.sim.usage import Use

if TYPE_CHECKING:
    from rustorium.sim.world import World

ACCOUNT, BALANCE, DATA = b"\0", b"\1", b"\2"
"""The first byte in the names of leaves."""
FIRST_RECORD_BYTES = 64
"""Bytes of an account's record of version 1, which begins with the key. Version 2 has a tag and a kind before it, and
never so many bytes."""

Leaves = Sequence[tuple[bytes, bytes, bytes]]
Place = tuple[int, int]
"""Height and index of a receipt."""


@dataclass(frozen=True, slots=True)
class SignedByClient:
    """A transaction that a client signed."""

    id: str
    account: int
    """The account's number. Seats have negative ones: that of seat 0 is −1."""
    nonce: int
    expires_ms: int
    operations: Sequence[Mapping[str, Any]]
    work: int = 0
    """The work that it declares."""
    signer: bytes = b""
    """Its authority, as records name it; empty if the account has one key for ever."""


def _other(operation: Mapping[str, Any]) -> str | None:
    """Returns the account, besides the sender, that an operation concerns."""
    match operation["type"]:
        case "transfer":
            return str(operation["to"])
        case "create_account":
            return _native.account_id(operation["region"], bytes.fromhex(operation["public_key"]))
        case _:
            return None


def from_key(record: bytes) -> bytes:
    """Returns an account's record from its key, or the hash of its authority, on; the next nonce follows (V27)."""
    return record if len(record) == FIRST_RECORD_BYTES else record[2:]


@dataclass
class State:
    """The replayed state, with accounts by their public keys."""

    nonces: dict[bytes, int]
    balances: dict[bytes, int]
    values: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    owners: set[bytes] = field(default_factory=set)
    """Keys of admitted validators' owners, who get accounts."""
    done: dict[str, bool] = field(default_factory=dict)
    """For each transaction of a run with a replay, except those of operators' accounts, whether it succeeded."""
    replay: Replay | None = None


class Shadow:
    """All that clients of a run signed."""

    def __init__(
        self, keys: Sequence[bytes], addresses: Sequence[str], amount: int, here: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Takes the genesis accounts: their public keys, their addresses, and the amount of the one asset that each
        has. `here`: tells whether the shard has an address."""
        self._here = here
        self._keys, self._amount, self._addresses = list(keys), amount, list(addresses)
        self._key_of = dict(zip(addresses, keys, strict=True))
        self._signed: list[SignedByClient] = []
        self._places: dict[str, Place] = {}
        self.replays: Callable[[], Replay] | None = None
        """Begins a replay of what version 2 alone has; `None` if the run has nothing of it."""

    def signed(self, transaction: SignedByClient) -> None:
        """Called for each transaction that a client signs."""
        self._signed.append(transaction)

    # ---- the checks

    def uses(self, disk: _native.SimDisk, headers: Mapping[int, SeenHeader]) -> list[Use]:
        """Returns what the transactions used that a node executed."""
        found = ((transaction, disk.transaction(transaction.id)) for transaction in self._signed)
        return [
            Use(headers[place[0]].time_ms, transaction.account, transaction.work)
            for transaction, place in found
            if place is not None and place[0] in headers
        ]

    def judge(self, node: int, disk: _native.SimDisk, leaves: Leaves, headers: Mapping[int, SeenHeader]) -> None:
        """Checks everything that an honest node executed, and the resulting state."""
        executed = self.executed(node, disk)
        self.judge_order(node, executed, headers)
        state = self.replayed(executed, headers)
        for transaction, done in state.done.items():
            if (outcome := disk.outcome(transaction)) != "ok" and done:
                raise BreachError(f"node {node} says {outcome} of transaction {transaction}, which may be done")
            if outcome == "ok" and not done:
                raise BreachError(f"node {node} did transaction {transaction}, which must fail")
        self.judge_state(node, state, leaves)
        if state.replay is not None:
            state.replay.judge(node, disk, leaves, headers)

    def newest(self, world: "World") -> State:
        """Returns the replayed state of the honest node with the most blocks."""
        honest = [node for node in world.nodes if node.index in world.honest]
        node = max(honest, key=lambda node: tip[0] if (tip := node.disk.tip()) is not None else 0)
        headers = {block.header.height: block.header for block in world.checkers.final_chain()}
        return self.replayed(self.executed(node.index, node.disk), headers)

    def executed(self, node: int, disk: _native.SimDisk) -> dict[Place, SignedByClient]:
        """Returns what a node executed, by the places of receipts."""
        executed: dict[Place, SignedByClient] = {}
        for transaction in self._signed:
            place = disk.transaction(transaction.id)
            if place is None:
                continue
            if executed.setdefault(place, transaction) is not transaction:
                raise BreachError(f"node {node} has two transactions with the receipt {place[1]} of height {place[0]}")
        return executed

    def judge_order(
        self, node: int, executed: Mapping[Place, SignedByClient], headers: Mapping[int, SeenHeader]
    ) -> None:
        """Checks that each transaction was executed once, in its account's order and in time, and nothing that no
        client signed."""
        receipts: dict[int, list[int]] = defaultdict(list)
        nonces: dict[int, int] = defaultdict(int)
        for (height, index), transaction in sorted(executed.items(), key=lambda entry: entry[0]):
            if self._places.setdefault(transaction.id, (height, index)) != (height, index):
                raise BreachError(f"node {node} executed transaction {transaction.id} at another place than others")
            receipts[height].append(index)
            if transaction.nonce != nonces[transaction.account]:
                raise BreachError(
                    f"node {node} executed nonce {transaction.nonce} of account {transaction.account} where "
                    f"{nonces[transaction.account]} was due"
                )
            nonces[transaction.account] += 1
            header = headers.get(height)
            if header is not None and header.time_ms >= transaction.expires_ms:
                raise BreachError(f"node {node} executed transaction {transaction.id} after it had expired")
        for height, indexes in receipts.items():
            if indexes != list(range(len(indexes))):
                raise BreachError(f"node {node} has a receipt at height {height} for what no client signed")
            header = headers.get(height)
            if header is not None and len(indexes) > header.transactions:
                raise BreachError(f"node {node} has more receipts at height {height} than its block lists")

    def replayed(
        self, executed: Mapping[Place, SignedByClient], headers: Mapping[int, SeenHeader] | None = None
    ) -> State:
        """Returns the state after these transactions, in the order of their places."""
        own = [key for key, address in zip(self._keys, self._addresses, strict=True) if self._here(address)]
        state = State(dict.fromkeys(own, 0), dict.fromkeys(own, self._amount))
        state.replay = self.replays() if self.replays is not None else None
        for place, transaction in sorted(executed.items(), key=lambda entry: entry[0]):
            if state.replay is not None and headers is not None:
                now_ms = state.replay.reach(place[0], headers)
                done = self._do(state, state.replay, transaction, now_ms)
                if not governs(transaction.operations):
                    state.done[transaction.id] = done
            else:
                sender = self._keys[transaction.account]
                state.nonces[sender] += 1
                self._apply(state, sender, transaction.operations)
        return state

    def _do(self, state: State, replay: Replay, transaction: SignedByClient, now_ms: int) -> bool:
        """Does a transaction that may be of a seat, or of an account whose authority changes. Returns `False` if it
        fails."""
        if transaction.account < 0:
            return replay.seat(-1 - transaction.account, transaction, now_ms)
        address, sender = self._addresses[transaction.account], self._keys[transaction.account]
        replay.admit(address, transaction, now_ms)
        state.nonces[sender] += 1
        saved = replay.saved()
        done = replay.may_act(address, transaction.operations, now_ms)
        done = done and all(replay.act(address, operation, now_ms) for operation in transaction.operations)
        done = done and self._apply(state, sender, transaction.operations)
        if not done:
            replay.undo(saved)
        return done

    def _apply(self, state: State, sender: bytes, operations: Sequence[Mapping[str, Any]]) -> bool:
        """Applies all operations of a transaction, or none. Returns `False` if it fails."""
        if not all(self._here(address) for address in map(_other, operations) if address is not None):
            return False
        balances, values = dict(state.balances), dict(state.values)
        for operation in operations:
            match operation["type"]:
                case "transfer":
                    amount = int(operation["amount"])
                    balances[sender] -= amount
                    balances[self._key_of[operation["to"]]] += amount
                case "put" if "key_hex" in operation:
                    values[sender, bytes.fromhex(operation["key_hex"])] = bytes.fromhex(operation["value_hex"])
                case "put":
                    owner = self._key_of[operation["namespace"]]
                    values[owner, operation["key"].encode()] = operation["value"].encode()
                case "delete" if values.pop((sender, operation["key"].encode()), None) is None:
                    return False
                case _:
                    pass
        for operation in operations:
            if operation["type"] == "create_account":
                state.nonces[bytes.fromhex(operation["public_key"])] = 0
            elif operation["type"] == "add_validator":
                state.owners.add(bytes.fromhex(operation["owner_key"]))
        state.balances, state.values = balances, values
        return True

    @staticmethod
    def judge_state(node: int, wanted: State, leaves: Leaves) -> None:
        """Checks that leaves hold exactly the accounts, amounts and values that the replayed transactions left."""
        records = {leaf[:32]: from_key(value) for leaf, name, value in leaves if name == ACCOUNT}
        first = {} if wanted.replay is None else wanted.replay.first_keys
        keys = {account: first.get(account, record[:32]) for account, record in records.items()}
        nonces = {keys[account]: int.from_bytes(record[32:40], "little") for account, record in records.items()}
        for key, nonce in wanted.nonces.items():
            if nonces.get(key) != nonce:
                raise BreachError(
                    f"node {node} has nonce {nonces.get(key)} for the account of {key.hex()}, whose executed "
                    f"transactions come to {nonce}"
                )
        if strangers := set(nonces) - set(wanted.nonces) - wanted.owners:
            raise BreachError(f"node {node} has an account of {strangers.pop().hex()} that nobody made")
        balances = {
            keys[leaf[:32]]: int.from_bytes(value, "little") for leaf, name, value in leaves if name[:1] == BALANCE
        }
        if balances != {key: amount for key, amount in wanted.balances.items() if amount}:
            raise BreachError(f"node {node} has other balances than its executed transactions come to")
        values = {(keys[leaf[:32]], name[1:]): value for leaf, name, value in leaves if name[:1] == DATA}
        if values != wanted.values:
            raise BreachError(f"node {node} has other values than its executed transactions put there")
