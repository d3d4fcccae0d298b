"""The light client: follows committees from a genesis or a checkpoint, and checks proofs with the right one.

Invariants: the cryptography is in the extension; state is bounded however long the chain; what a file or a node says
beside a proof is compared with what the proof shows; without a way to fetch epoch changes nothing is fetched.
"""

import io
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar, cast

import anyio.to_thread

from rustorium import _native
from rustorium.client import prooffile, wire
from rustorium.client.prooffile import ProofFile
from rustorium.errors import EpochUnknown, ProofRefused, TrustExpired, VerificationFailed
from rustorium.home import read_genesis
from rustorium.types import Account, At, Balance, Block, Claim, Held, ProvenState, Shown, Subject, Value

FetchChanges = Callable[[int], Awaitable[Sequence[bytes]]]
"""Canonical bytes of the epoch changes from an epoch on, some of them; empty where there are none yet."""

P = ParamSpec("P")
T = TypeVar("T")

INLINE_BYTES_MAX = 16 * 1024
"""Proofs up to this size are checked on the event loop's thread: in about 2 ms."""
WAY_BYTES_MAX = 4 * 1024 * 1024
"""Epoch changes from the genesis on that are kept for proof files: of four validators, some thousand epochs."""


class LightClient:
    """Checks proofs of one chain.

    `anchor`: the path of the genesis file, or with `checkpoint=True` of a checkpoint's; or the canonical bytes of the
    genesis, or the content of the checkpoint's file. `trust_period_s`: committees that retired longer ago prove
    nothing. Errors: VerificationFailed, HomeMissing and HomeError with what is wrong in a genesis file, OSError."""

    def __init__(
        self,
        anchor: bytes | str | Path,
        *,
        checkpoint: bool = False,
        trust_period_s: float | None = None,
        fetch: FetchChanges | None = None,
    ) -> None:
        period_ms = int(trust_period_s * 1000) if trust_period_s is not None else None
        if not isinstance(anchor, bytes):
            anchor = Path(anchor).read_bytes() if checkpoint else read_genesis(Path(anchor))
        make = _native.Light.from_checkpoint if checkpoint else _native.Light.from_genesis
        claimed, start = prooffile.parse_checkpoint(anchor) if checkpoint else (None, anchor)
        self._light = refusing(make, start, period_ms)
        self._fetch = fetch
        self._genesis = None if checkpoint else start
        self._way: list[bytes] = []
        """The first changes after the genesis, as they were followed."""
        self._way_bytes = 0
        facts = self.trusted
        if claimed is not None and claimed != facts:
            raise VerificationFailed(
                "the checkpoint's readable part says something else than the checkpoint: get it anew"
            )
        refusing(self._light.check_trust, now_ms())
        self.chain: str = facts["chain"]
        """The chain's id."""

    @property
    def trusted(self) -> dict[str, Any]:
        """The newest trusted committee: chain, epoch, and the block that it follows."""
        return cast(dict[str, Any], json.loads(self._light.describe()))

    def checkpoint(self) -> bytes:
        """A checkpoint's file: the newest trusted committee, to start from another time."""
        return prooffile.checkpoint_to_bytes(self.trusted, self._light.checkpoint())

    def follow(self, change: bytes) -> int:
        """Takes an epoch change; the epoch that follows. Errors: VerificationFailed, and nothing has changed."""
        epoch = refusing(self._light.follow, change, now_ms())
        fits = self._way_bytes + len(change) <= WAY_BYTES_MAX
        if self._genesis is not None and epoch == len(self._way) + 1 and fits:
            self._way.append(change)
            self._way_bytes += len(change)
        return epoch

    async def catch_up(self) -> dict[str, Any]:
        """Follows all epoch changes that can be fetched; the newest trusted committee. Errors: VerificationFailed."""
        while self._fetch is not None and (changes := await self._fetch(self.trusted["epoch"])):
            for change in changes:
                self.follow(change)
        return self.trusted

    def at_genesis(self, subjects: Sequence[Subject]) -> ProvenState | None:
        """What subjects hold before the first block: the genesis alone shows it, so there is no proof for others.
        None where the anchor is a checkpoint. Errors: VerificationFailed."""
        if self._genesis is None:
            return None
        items = json.dumps([wire.question(subject) for subject in subjects])
        return shown(json.loads(refusing(_native.genesis_state, self._genesis, items)), b"").state

    async def show(self, proof: bytes) -> dict[str, Any]:
        """What a proof (canonical bytes) shows; fetches epoch changes where they are needed.

        Errors: VerificationFailed."""
        await self._reach(proof)
        if len(proof) <= INLINE_BYTES_MAX:
            return self._check(proof)
        return await anyio.to_thread.run_sync(self._check, proof)

    def show_file(self, content: bytes | BinaryIO) -> Shown:
        """What a proof file, as it is or opened, shows, from the file and the anchor alone. An opened one is read as a
        stream: it may have any number of epochs. Errors: VerificationFailed, OSError."""
        opened = io.BytesIO(content) if isinstance(content, bytes) else content
        file, epochs = prooffile.read(opened, self._follow_where_new)
        # Whoever gets the file from here knows no header: every byte of it counts.
        facts = self._check(file.proof, anew=True)
        if epochs != facts["epoch"]:
            raise ProofRefused(
                "the file has not the epoch changes that lead from the genesis to its proof: get it anew"
            )
        if file.chain != self.chain or file.kind != facts["kind"]:
            raise ProofRefused("the file names another chain or kind than its proof is of: get it anew")
        if file.facts != facts:
            raise ProofRefused(
                "the file's readable part says something else than its proof shows: don't trust its source"
            )
        return shown(facts, content if isinstance(content, bytes) else b"")

    def _follow_where_new(self, epoch: int, change: bytes, facts: object) -> None:
        """Takes the change that ended an epoch, where a proof of what the facts say needs it and it isn't known."""
        last = facts.get("epoch") if isinstance(facts, dict) else None
        needed = not isinstance(last, int) or epoch < last
        if needed and self._light.knows(epoch) and not self._light.knows(epoch + 1):
            self.follow(change)

    async def file(self, proof: bytes, facts: dict[str, Any]) -> bytes:
        """The proof file of a proof that was checked: what others need to check it from the genesis alone.

        Who starts at a checkpoint can't check what leads to it. Errors: EpochUnknown where the changes from the genesis
        on can't be fetched, ProofRefused where a node gives wrong ones."""
        epochs = self._way[: facts["epoch"]]
        if len(epochs) < facts["epoch"]:
            epochs += await self._changes(len(epochs), facts["epoch"])
            if self._genesis is not None:
                await anyio.to_thread.run_sync(self._check_way, self._genesis, epochs, proof)
        return ProofFile(facts["kind"], self.chain, facts, proof, tuple(epochs)).to_bytes()

    async def check_block(self, block: Block) -> tuple[dict[str, Any], str]:
        """Header and digest of a block that is final. Errors: VerificationFailed."""
        await self._reach(refusing(_native.wrap_proof, "block", block.raw, block.proof))
        header, digest = refusing(self._light.check_block, block.raw, block.proof, now_ms())
        return json.loads(header), digest

    def _check_way(self, genesis: bytes, epochs: Sequence[bytes], proof: bytes) -> None:
        # From the start, as whoever gets the file: of the changes that were followed only a few committees are left.
        light = _native.Light.from_genesis(genesis)
        for change in epochs:
            refusing(light.follow, change, now_ms())
        refusing(light.check, proof, now_ms())

    async def _reach(self, proof: bytes) -> None:
        missing = refusing(self._light.missing, proof)
        if missing is not None:
            for change in await self._changes(*missing):
                self.follow(change)

    async def _changes(self, first: int, end: int) -> list[bytes]:
        """The changes that ended the epochs from `first` to before `end`. Errors: EpochUnknown."""
        found: list[bytes] = []
        while len(found) < end - first:
            more = await self._fetch(first + len(found)) if self._fetch is not None else ()
            if not more:
                raise EpochUnknown(
                    f"the committee of epoch {end} can't be reached from epoch {first}: give a node that serves epoch "
                    "changes, or a newer checkpoint"
                )
            found += more[: end - first - len(found)]
        return found

    def _check(self, proof: bytes, anew: bool = False) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(refusing(self._light.check, proof, now_ms(), anew)))


def shown(facts: dict[str, Any], file: bytes) -> Shown:
    """What checked facts say, typed."""
    claim = Claim(
        int(facts["claimed_by"]["height"]),
        str(facts["claimed_by"]["digest"]),
        int(facts["claimed_by"]["time_ms"]),
        int(facts["epoch"]),
    )
    kind = cast(Literal["read", "receipt", "transaction", "block"], facts["kind"])
    receipt = wire.receipt(facts["receipt"]) if "receipt" in facts else None
    state = None
    if kind == "read":
        at = At(int(facts["height"]), str(facts["state_root"]), int(facts["shard"]), proven=True)
        state = ProvenState(at, claim, dict(_held(item, at) for item in facts["items"]), file)
    return Shown(kind, str(facts["chain"]), claim, facts, receipt, state)


def _held(item: dict[str, Any], at: At) -> tuple[Subject, Held]:
    account = str(item["account"])
    if item["type"] == "value":
        key = bytes.fromhex(item["key_hex"])
        value = bytes.fromhex(item["value_hex"]) if item["value_hex"] is not None else None
        return Subject(account, key=key), Value(account, key, value, at)
    if item["type"] == "balance":
        asset = str(item["asset"])
        return Subject(account, asset=asset), Balance(account, asset, int(item["balance"]), at)
    record = item["record"]
    if record is None:
        return Subject(account), None
    return Subject(account), Account(
        account,
        int(record["nonce"]),
        str(record["public_key"]),
        int(record["quota_left"]),
        int(record["storage_bytes_left"]),
        at,
    )


def now_ms() -> int:
    """The wall clock, Unix ms."""
    return time.time_ns() // 1_000_000


def refusing(check: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a check of the extension gives. Errors: VerificationFailed where it refuses."""
    try:
        return check(*arguments, **named)
    except _native.NativeError as error:
        message, code = str(error.args[0]), error.code
        kinds: dict[str, type[VerificationFailed]] = {"epoch-unknown": EpochUnknown, "trust-expired": TrustExpired}
        raise kinds.get(code, ProofRefused)(message, code=code) from None
