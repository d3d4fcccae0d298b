"""A rollup of one application: balances that it keeps itself, settled on the ledger in batches by a Groth16 proof each.

Invariants: a root on the ledger stands for 256 balances. A proof shows that a batch leads from one root to the next:
each sender had what it sent, and the sum stays the same. No call holds the GIL while it proves. The application decides
who may order a transfer: the proof doesn't show that.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Self, TypeVar

from rustorium import _native
from rustorium.errors import RustoriumError, UsageError
from rustorium.zk import ceremony

ACCOUNTS = 256
TRANSFERS_MAX = 12
"""Maximum number of transfers in a batch."""
OLD_ROOT, NEW_ROOT, BATCH_HASH = 0, 1, 2
"""Positions of the public inputs."""
WARNING = "these proving keys are for tests only: anyone can forge proofs under them"


P = ParamSpec("P")
T = TypeVar("T")


class BatchRefused(RustoriumError):
    """A batch breaks a rule, so there is no proof of it."""

    code = "rollup-refused"


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount (0 to 2^64 - 1) from one account's balance (0 to 255) to another's."""

    sender: int
    receiver: int
    amount: int

    def __post_init__(self) -> None:
        if not (0 <= self.sender < ACCOUNTS and 0 <= self.receiver < ACCOUNTS and 0 <= self.amount < 1 << 64):
            raise UsageError("a transfer is between accounts 0 to 255, of an amount from 0 to 2^64 - 1")


@dataclass(frozen=True)
class State:
    """All balances."""

    balances: tuple[int, ...]

    @classmethod
    def of(cls, balances: Iterable[int]) -> Self:
        """Returns a state in which the first accounts have these balances and the others zero. Errors: UsageError."""
        listed = tuple(balances)
        if len(listed) > ACCOUNTS or not all(0 <= balance < 1 << 64 for balance in listed):
            raise UsageError("there are at most 256 balances, each from 0 to 2^64 - 1")
        return cls(listed + (0,) * (ACCOUNTS - len(listed)))

    @property
    def root(self) -> bytes:
        """The state's root on the ledger: 32 bytes, a public input."""
        return _native.rollup_root(self.balances)

    def after(self, transfers: Sequence[Transfer]) -> "State":
        """Returns the state after a batch. Errors: BatchRefused."""
        return State(tuple(_translate_errors(_native.rollup_apply, self.balances, _triples(transfers))))


@dataclass(frozen=True)
class Settlement:
    """A batch with its proof, which one transaction settles."""

    transfers: tuple[Transfer, ...]
    proof: bytes
    inputs: tuple[bytes, ...]
    """Old root, new root, hash of the batch."""
    state: State
    """The state after the batch."""


class Prover:
    """A prover of batches under one key, which takes seconds to make or open. Usable from any thread."""

    def __init__(self, prover: _native.RollupProver) -> None:
        self._prover = prover

    @classmethod
    def insecure(cls) -> Self:
        """Makes a prover with keys that everybody can make again: FOR TESTS ONLY (`WARNING`)."""
        return cls(_native.RollupProver.insecure())

    @classmethod
    def open(cls, proving_key: bytes) -> Self:
        """Opens the `proving.key` of a ceremony of the circuit `rollup`. Errors: CeremonyRefused."""
        return cls(ceremony.translate_errors(_native.RollupProver.open, proving_key))

    @property
    def verifying_key(self) -> bytes:
        """The canonical bytes of the key to register on the ledger."""
        return self._prover.verifying_key()

    def prove(self, state: State, transfers: Sequence[Transfer]) -> Settlement:
        """Proves that a batch leads from a state to the next. Errors: BatchRefused."""
        after = state.after(transfers)
        proof, inputs = _translate_errors(self._prover.prove, state.balances, _triples(transfers))
        return Settlement(tuple(transfers), proof, tuple(inputs), after)


def batch_hash(transfers: Sequence[Transfer]) -> bytes:
    """Returns the hash that stands for a batch among the public inputs. Errors: BatchRefused."""
    return _translate_errors(_native.rollup_batch_hash, _triples(transfers))


def batch_to_bytes(transfers: Sequence[Transfer]) -> bytes:
    """Encodes a batch for publication, so that everybody can follow the balances."""
    return json.dumps(_triples(transfers), separators=(",", ":")).encode()


def batch_from_bytes(content: bytes) -> tuple[Transfer, ...]:
    """Reads a published batch. Errors: BatchRefused."""
    try:
        read = tuple(Transfer(*map(_number, each)) for each in json.loads(content))
    except (ValueError, TypeError, UsageError):
        raise BatchRefused("these bytes are no batch: a JSON list of [sender, receiver, amount]") from None
    if batch_to_bytes(read) != content:
        raise BatchRefused("a batch has one spelling, and these bytes are another")
    return read


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _triples(transfers: Sequence[Transfer]) -> list[tuple[int, int, int]]:
    return [(each.sender, each.receiver, each.amount) for each in transfers]


def _translate_errors(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return work(*args, **kwargs)
    except _native.NativeError as error:
        if error.code != "rollup-refused":
            raise
        raise BatchRefused(str(error.args[0])) from None
