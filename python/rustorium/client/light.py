"""The light client: follows committees from a genesis or a checkpoint, and checks proofs with the right one.

Invariants: the cryptography is in the extension; state is bounded however long the chain; what a file or a node says
beside a proof is compared with what the proof shows; without a way to fetch epoch changes nothing is fetched.
"""

import contextlib
import io
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import anyio.to_thread

from rustorium import _native
from rustorium.access.genesis import read_genesis
from rustorium.client import prooffile, wire
from rustorium.client.prooffile import ForkFile, ProofFile
from rustorium.client.trust import TrustFile, from_checkpoint, from_genesis, refusing
from rustorium.errors import ChainForked, EpochUnknown, ProofRefused, ProofTooOld, TrustExpired
from rustorium.types import Account, At, Balance, Block, Claim, Held, ProvenState, Shown, Subject, Value

FetchChanges = Callable[[int], Awaitable[Sequence[bytes]]]
"""Canonical bytes of the epoch changes from an epoch on, some of them; empty where there are none yet."""

FORKED = ("two-ends", "above-epoch-end")
"""Refusals of what a committee signed though its epoch had ended otherwise."""
INLINE_BYTES_MAX = 16 * 1024
"""Proofs up to this size are checked on the event loop's thread: in about 2 ms."""
WAY_BYTES_MAX = 4 * 1024 * 1024
"""Epoch changes from the genesis on that are kept for proof files: of four validators, some thousand epochs."""


class LightClient:
    """Checks proofs of one chain.

    `anchor`: the path of the genesis file, or with `checkpoint=True` of a checkpoint's; or the canonical bytes of the
    genesis, or the content of the checkpoint's file. `trust_period_s`: committees that retired longer ago prove
    nothing; the default is 30 days from a checkpoint or a trust file on, and from a genesis none; `math.inf` is never.
    `trust_file`: where it keeps the committees that it followed, for the next start; a checkpoint's file is one, too.
    Errors: VerificationFailed, UsageError, HomeMissing and HomeError with what is wrong in a genesis file, OSError."""

    def __init__(
        self,
        anchor: bytes | str | Path,
        *,
        checkpoint: bool = False,
        trust_period_s: float | None = None,
        trust_file: str | Path | None = None,
        fetch: FetchChanges | None = None,
    ) -> None:
        if not isinstance(anchor, bytes):
            anchor = Path(anchor).read_bytes() if checkpoint else read_genesis(Path(anchor))
        start = partial(from_checkpoint if checkpoint else from_genesis, anchor, trust_period_s)
        self._trust_file = TrustFile(Path(trust_file)) if trust_file is not None else None
        self._light = self._trust_file.light(start, trust_period_s) if self._trust_file is not None else start()
        self._fetch = fetch
        self._genesis = None if checkpoint else anchor
        self._way: list[bytes] = []
        """The first changes after the genesis, as they were followed."""
        self._way_bytes = 0
        try:
            refusing(self._light.check_trust, now_ms())
        except TrustExpired as error:
            if self._trust_file is None:
                raise
            raise TrustExpired(f"{error}; or remove {trust_file} to start again") from None
        self.chain: str = self.trusted["chain"]
        """The chain's id."""
        self.shard: int = self.trusted["shard"]
        """The shard whose committees are followed. Headers of another shard are refused."""

    @property
    def trusted(self) -> dict[str, Any]:
        """The newest trusted committee: chain, shard, epoch, and the block that it follows."""
        return cast(dict[str, Any], json.loads(self._light.describe()))

    def checkpoint(self) -> bytes:
        """A checkpoint's file: the newest trusted committee, to start from another time."""
        return prooffile.checkpoint_to_bytes(self.trusted, self._light.checkpoint())

    def save_trust(self) -> None:
        """Writes the trust file, if there is one and something is new. Errors: OSError."""
        if self._trust_file is not None:
            self._trust_file.save(self._light)

    def follow(self, change: bytes) -> int:
        """Takes an epoch change; the epoch that follows. Errors: VerificationFailed, and nothing has changed;
        ChainForked with evidence if the epoch is known to have ended otherwise."""
        with self._contradicted(lambda: _native.boundary_of(change)):
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
        self._keep()
        return self.trusted

    def at_genesis(self, subjects: Sequence[Subject]) -> ProvenState | None:
        """What subjects hold before the first block: the genesis alone shows it, so there is no proof for others.
        None where the anchor is a checkpoint. Errors: VerificationFailed."""
        if self._genesis is None:
            return None
        items = json.dumps([wire.question(subject) for subject in subjects])
        return shown(json.loads(refusing(_native.genesis_state, self._genesis, items)), b"").state

    async def show(self, proof: bytes, *, max_age_s: float | None = None) -> dict[str, Any]:
        """What a proof (canonical bytes) shows; fetches epoch changes where they are needed. `max_age_s`: how old the
        header may be by this machine's clock.

        Errors: VerificationFailed."""
        await self._reach(proof)
        inline = len(proof) <= INLINE_BYTES_MAX
        facts = self._check(proof) if inline else await anyio.to_thread.run_sync(self._check, proof)
        check_fresh(int(facts["claimed_by"]["time_ms"]), max_age_s)
        return facts

    def show_file(self, content: bytes | BinaryIO, *, max_age_s: float | None = None) -> Shown:
        """What a proof file, as it is or opened, shows, from the file and the anchor alone. An opened one is read as a
        stream: it may have any number of epochs. `max_age_s`: how old its header may be by this machine's clock.

        Errors: VerificationFailed, OSError."""
        opened = io.BytesIO(content) if isinstance(content, bytes) else content
        file, epochs = prooffile.read(opened, self._follow_where_new)
        # Whoever gets the file from here knows no header: every byte of it counts.
        facts = self._check(file.proof, anew=True)
        if epochs != facts["epoch"]:
            raise ProofRefused("the file lacks the epoch changes that lead from the genesis to its proof: get it again")
        if file.chain != self.chain or file.kind != facts["kind"]:
            raise ProofRefused("the file names another chain or kind than its proof: get it again")
        if file.facts != facts:
            raise ProofRefused("the file's readable part contradicts its proof: don't trust its source")
        check_fresh(int(facts["claimed_by"]["time_ms"]), max_age_s)
        return shown(facts, content if isinstance(content, bytes) else b"")

    def end_of(self, epoch: int) -> tuple[int, str] | None:
        """Height and digest of an epoch's last block; None if the epoch goes on, or its end isn't known."""
        return self._light.end_of(epoch)

    def fork(self, first: bytes, second: bytes, sources: tuple[str, str]) -> ChainForked:
        """The error that carries two proofs of headers (canonical bytes) which one committee signed, though only one
        can be final. Errors: ProofRefused where they don't contradict each other."""
        headers = (_native.signed_header(first), _native.signed_header(second))
        facts = json.loads(refusing(self._light.check_conflict, *headers))
        way = tuple(self._way[: facts["epoch"]])
        epochs = way if len(way) == facts["epoch"] else ()
        return ChainForked(
            f"{fork_words(facts)}: stop relying on the chain, keep the evidence, and tell its operators",
            evidence=ForkFile(self.chain, facts, headers, sources, epochs).to_bytes(),
        )

    def show_fork(self, content: bytes) -> dict[str, Any]:
        """What the file of a fork shows: the epoch, both headers, and the validators that signed both.

        Errors: ProofRefused where it shows none, EpochUnknown where its committee must be followed first."""
        file = prooffile.parse_fork(content)
        if file.chain != self.chain:
            raise ProofRefused("the evidence is of another chain: check it with that chain's genesis")
        for epoch, change in enumerate(file.epochs):
            self._follow_where_new(epoch, change, file.facts)
        facts: dict[str, Any] = json.loads(refusing(self._light.check_conflict, *file.headers))
        if facts != file.facts:
            raise ProofRefused("the readable part contradicts the headers: don't trust its source")
        return facts

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
        proof = refusing(_native.wrap_proof, "block", block.raw, block.proof)
        await self._reach(proof)
        with self._contradicted(lambda: proof):
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
            self._keep()

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
        with self._contradicted(lambda: proof):
            return cast(dict[str, Any], json.loads(refusing(self._light.check, proof, now_ms(), anew)))

    def _keep(self) -> None:
        """Saves what was followed. Without room for it the next start follows it again, so nothing is lost."""
        with contextlib.suppress(OSError):
            self.save_trust()

    @contextlib.contextmanager
    def _contradicted(self, offered: Callable[[], bytes]) -> Iterator[None]:
        """Turns a refusal by the known end of an epoch into one that carries both signed headers."""
        try:
            yield
        except ProofRefused as error:
            end = self._light.signed_end(offered()) if error.code in FORKED else None
            if end is None:
                raise
            try:
                fork = self.fork(end, offered(), ("the end that was followed", "what was offered"))
            except ProofRefused:
                raise error from None
            raise fork from None


def shown(facts: dict[str, Any], file: bytes) -> Shown:
    """What checked facts say, typed."""
    claim = Claim(
        int(facts["claimed_by"]["height"]),
        str(facts["claimed_by"]["digest"]),
        int(facts["claimed_by"]["time_ms"]),
        int(facts["epoch"]),
    )
    kind = cast(Literal["read", "receipt", "transaction", "block"], facts["kind"])
    receipt = wire.proven_receipt(facts) if "receipt" in facts else None
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


def fork_words(facts: Mapping[str, Any]) -> str:
    """One clause on what the evidence of a fork shows."""
    first, second = facts["headers"]
    names = ", ".join(str(signer["name"]) for signer in facts["signed_both"])
    return (
        f"the chain has forked: two blocks of epoch {facts['epoch']} are final, at heights {first['height']} and "
        f"{second['height']}, and {names} signed both"
    )


def check_fresh(time_ms: int, max_age_s: float | None) -> None:
    """Refuses a header of this time if it is older. Errors: ProofTooOld."""
    age_s = (now_ms() - time_ms) / 1000
    if max_age_s is not None and age_s > max_age_s:
        raise ProofTooOld(
            f"the newest block that the proof rests on is {age_s:.0f} s old, and {max_age_s:.0f} s are allowed: ask "
            "another node, or write something if the chain is idle, since without writes it makes no blocks"
        )


def now_ms() -> int:
    """The wall clock, Unix ms."""
    return time.time_ns() // 1_000_000
