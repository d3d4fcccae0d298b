"""The light client, which follows committees from a genesis or a checkpoint and checks each proof with the right one.

Invariants: the cryptography is in the extension; its state is bounded, however long the chain; claims beside a proof
are compared with the proven facts; without `fetch` it uses no network.
"""

import contextlib
import io
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, cast

import anyio.to_thread

from rustorium import _native, arguments
from rustorium.access.genesis import read_genesis
from rustorium.client import prooffile, wire
from rustorium.client.prooffile import ForkFile, ProofFile
from rustorium.client.settings import settings_of
from rustorium.client.strictjson import is_same
from rustorium.client.trust import TrustFile, from_checkpoint, from_genesis, translate_errors
from rustorium.errors import ChainForked, EpochUnknown, ProofRefused, ProofTooOld, TrustExpired, VerificationFailed
from rustorium.plain import CODE_CHARACTERS_MAX, plain
from rustorium.types import (
    Account,
    At,
    Balance,
    Block,
    Claim,
    ProvenState,
    Signers,
    Subject,
    SubjectContent,
    Value,
    VerifiedProof,
)

T = TypeVar("T")
FetchChanges = Callable[[int], Awaitable[Sequence[bytes]]]
"""Returns canonical bytes of some epoch changes, from the given epoch on; empty if there are none yet."""

FORKED = ("two-ends", "above-epoch-end")
"""Codes of refusals that mean that a committee signed something although its epoch had ended in another block."""
INLINE_BYTES_MAX = 16 * 1024
"""Proofs up to this size are checked on the event loop's thread: in about 2 ms."""
SAVE_S = 10.0
"""Time between two writes of the trust file because of the verified height."""
FIRST_CHANGES_BYTES_MAX = 4 * 1024 * 1024
"""Maximum number of bytes of epoch changes that are kept for proof files: some thousand epochs of four validators."""


OTHER_SHARD = "other-shard"
"""Code of the refusal of a proof of another shard."""


class LightClient:
    """Checks proofs of one chain.

    `anchor`: path or canonical bytes of the genesis; with `checkpoint=True` path or content of a checkpoint file.
    `trust_period_s`: committees that retired longer ago are not trusted. The default is 30 days when starting from a
    checkpoint or trust file, and no limit (`math.inf`) from a genesis. `trust_file`: path of the file that keeps the
    followed committees and the newest verified height for the next start; it can also be a checkpoint file. `shard`:
    the shard that is followed from a genesis; a checkpoint and a trust file name theirs. Errors: VerificationFailed,
    UsageError, HomeMissing and HomeError with the fault in a genesis file, OSError."""

    def __init__(
        self,
        anchor: bytes | str | Path,
        *,
        checkpoint: bool = False,
        trust_period_s: float | None = None,
        trust_file: str | Path | None = None,
        fetch: FetchChanges | None = None,
        shard: int = 0,
    ) -> None:
        if trust_period_s is not None:
            arguments.number(trust_period_s, "trust_period_s", "seconds")
        if not isinstance(anchor, bytes) and not arguments.is_path(anchor):
            raise arguments.refused("anchor", "bytes or a path", anchor)
        given = anchor if not isinstance(anchor, bytes) else None
        if not isinstance(anchor, bytes):
            anchor = Path(anchor).read_bytes() if checkpoint else read_genesis(Path(anchor))
        arguments.whole(shard, "shard")
        start = partial(from_checkpoint, anchor, trust_period_s)
        if not checkpoint:
            start = partial(from_genesis, anchor, trust_period_s, shard)
        self._trust_file = TrustFile(arguments.path(trust_file, "trust_file")) if trust_file is not None else None
        try:
            self._light = self._trust_file.light(start, trust_period_s) if self._trust_file is not None else start()
        except VerificationFailed as error:
            if given is not None:
                error.args = (f"{given}: {error}",)
            raise
        self.verified_height = self._trust_file.height if self._trust_file is not None else 0
        """Height of the newest state that was verified here, or in earlier runs with the trust file; 0 for none."""
        self._saved_at_s = time.monotonic()
        self._fetch = fetch
        self._genesis = None if checkpoint else anchor
        self._trust_period_s = trust_period_s
        self._first_changes: list[bytes] = []
        """The first epoch changes after the genesis, in order."""
        self._first_changes_bytes = 0
        try:
            translate_errors(self._light.check_trust, now_ms())
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

    def members(self) -> list[tuple[str, str, str]]:
        """Returns of each member of the newest trusted committee its name, its node key (hex digits), and the address
        of its owner's account."""
        return self._light.members()

    def checkpoint(self) -> bytes:
        """Returns the content of a checkpoint file with the newest trusted committee, to start from later."""
        return prooffile.checkpoint_to_bytes(self.trusted, self._light.checkpoint())

    def save_trust(self) -> None:
        """Writes the trust file, if there is one and something is new. Errors: OSError."""
        if self._trust_file is not None:
            self._trust_file.save(self._light, self.verified_height)
            self._saved_at_s = time.monotonic()

    def verified(self, height: int) -> None:
        """Notes the height of a verified state. The trust file gets it within seconds, and at the end."""
        if height > self.verified_height:
            self.verified_height = height
            if time.monotonic() >= self._saved_at_s + SAVE_S:
                self._keep()

    def where_kept(self) -> str:
        """Names the trust file, in words for a sentence; empty if there is none."""
        return f" (noted in {self._trust_file.path})" if self._trust_file is not None else ""

    def follow(self, change: bytes) -> int:
        """Applies an epoch change; returns the epoch that it begins. Errors: VerificationFailed, and the state is
        unchanged; ChainForked with evidence if the epoch is known to have ended otherwise."""
        with self._contradicted(lambda: _native.boundary_of(change)):
            epoch = translate_errors(self._light.follow, change, now_ms())
        fits = self._first_changes_bytes + len(change) <= FIRST_CHANGES_BYTES_MAX
        if self._genesis is not None and epoch == len(self._first_changes) + 1 and fits:
            self._first_changes.append(change)
            self._first_changes_bytes += len(change)
        return epoch

    async def catch_up(self) -> dict[str, Any]:
        """Follows all epoch changes that can be fetched; returns the newest trusted committee. Errors:
        VerificationFailed."""
        while self._fetch is not None and (changes := await self._fetch(self.trusted["epoch"])):
            for change in changes:
                self.follow(change)
        self._keep()
        return self.trusted

    def at_genesis(self, subjects: Sequence[Subject]) -> ProvenState | None:
        """Returns the content of subjects before the first block, from the genesis. Nobody signed it: `at.proven` is
        `False`, and there is no proof for others. `None` if the client started from a checkpoint.

        Errors: VerificationFailed."""
        if self._genesis is None:
            return None
        items = json.dumps([wire.question(subject) for subject in subjects])
        facts = json.loads(translate_errors(_native.genesis_state, self._genesis, items, self.shard))
        return _verified_proof(facts, b"", None, proven=False).state

    def of_one_validator(self) -> bool:
        """Returns whether the genesis names one validator alone."""
        return self._genesis is not None and len(json.loads(_native.genesis_describe(self._genesis))["validators"]) == 1

    async def show(self, proof: bytes, *, max_age_s: float | None = None) -> dict[str, Any]:
        """Checks a proof (canonical bytes) and returns its facts; fetches the epoch changes that it needs. `max_age_s`:
        maximum age of the header by this machine's clock.

        Errors: VerificationFailed."""
        await self._reach(proof)
        inline = len(proof) <= INLINE_BYTES_MAX
        facts = self._check(proof) if inline else await anyio.to_thread.run_sync(self._check, proof)
        check_age(int(facts["claimed_by"]["time_ms"]), max_age_s)
        return facts

    def show_file(self, content: bytes | str | Path | BinaryIO, *, max_age_s: float | None = None) -> VerifiedProof:
        """Returns the facts that a proof file proves, from the file and the anchor alone. `content` is the file's bytes
        or path, or an open file, which is read as a stream and may have any number of epochs. `max_age_s`: maximum age
        of the header by this machine's clock.

        Errors: VerificationFailed, UsageError, OSError."""
        if arguments.is_path(content):
            content = Path(content).read_bytes()
        if not isinstance(content, bytes) and not hasattr(content, "read"):
            raise arguments.refused("content", "bytes, a path or an open file", content)
        opened = io.BytesIO(content) if isinstance(content, bytes) else cast(BinaryIO, content)
        begun = opened.tell() if getattr(opened, "seekable", bool)() else None
        shown = content if isinstance(content, bytes) else b""

        def named() -> object:
            if begun is None:
                return None
            opened.seek(begun)
            file, _ = prooffile.read(opened, lambda _number, _change, _facts: None)
            opened.seek(begun)
            return file.facts.get("shard")

        return self._or_of_shard(named, lambda light: light._show_opened(opened, shown, max_age_s))

    def _or_of_shard(self, named: Callable[[], object], show: Callable[["LightClient"], T]) -> T:
        """Shows something with this light client, or if that is of another shard with one of the shard that it names,
        from the same genesis. Errors: those of `show`."""
        try:
            return show(self)
        except ProofRefused as error:
            other = self._of_shard(named()) if error.code == OTHER_SHARD else None
            if other is None:
                raise
        return show(other)

    def _of_shard(self, shard: object) -> "LightClient | None":
        """Returns a light client of another shard, from the same genesis; `None` if there is no such shard."""
        if self._genesis is None or type(shard) is not int or not 0 <= shard < len(_native.Shards(self._genesis)):
            return None
        if shard == self.shard:
            return None
        return LightClient(self._genesis, shard=shard, trust_period_s=self._trust_period_s)

    def _show_opened(self, opened: BinaryIO, content: bytes, max_age_s: float | None) -> VerifiedProof:
        file, epochs = prooffile.read(opened, self._follow_where_new)
        self._require_chain(file.facts.get("chain"))
        # The next reader of the file knows no headers, so every byte of the proof must be valid.
        facts = self._check(file.proof, anew=True)
        prooffile.check_protocol(file, translate_errors(_native.proof_version, file.proof))
        if epochs != facts["epoch"]:
            raise ProofRefused("the file lacks the epoch changes that lead from the genesis to its proof: get it again")
        if file.chain != self.chain or file.kind != facts["kind"]:
            raise ProofRefused("the file names another chain or kind than its proof: get it again")
        if not is_same(file.facts, facts):
            raise ProofRefused("the file's readable part contradicts its proof: don't trust its source")
        check_age(int(facts["claimed_by"]["time_ms"]), max_age_s)
        return self.typed(facts, content)

    def typed(self, facts: dict[str, Any], file: bytes = b"") -> VerifiedProof:
        """Converts the facts of a checked proof into typed values, with the signers of its header."""
        return _verified_proof(facts, file, self.signers(str(facts["claimed_by"]["digest"])))

    def signers(self, digest: str) -> Signers | None:
        """Returns the validators whose signatures on a header, or on its descendant, were checked here. `None` if the
        header isn't among the 256 that were checked last, or is the trusted block itself."""
        found = self._light.signers(digest)
        if found is None:
            return None
        signers = json.loads(found)
        return Signers(tuple(signers["labels"]), int(signers["validators"]), bool(signers["by_owners"]))

    def end_of(self, epoch: int) -> tuple[int, str] | None:
        """Returns height and digest of an epoch's last block; `None` if the epoch isn't over, or its end isn't
        known."""
        return self._light.end_of(epoch)

    def fork(self, first: bytes, second: bytes, sources: tuple[str, str]) -> ChainForked:
        """Returns an error with the proofs (canonical bytes) of two conflicting headers, which one committee signed.
        Errors: ProofRefused if the headers don't contradict each other."""
        headers = (_native.signed_header(first), _native.signed_header(second))
        facts = json.loads(translate_errors(self._light.check_conflict, *headers))
        way = tuple(self._first_changes[: facts["epoch"]])
        epochs = way if len(way) == facts["epoch"] else ()
        protocol = translate_errors(_native.proof_version, headers[0])
        return ChainForked(
            f"{describe_fork(facts)}: stop relying on the chain, keep the evidence, and tell its operators",
            evidence=ForkFile(self.chain, facts, headers, sources, epochs, protocol).to_bytes(),
        )

    def show_fork(self, content: bytes) -> dict[str, Any]:
        """Checks a fork file and returns its facts: the epoch, both headers, and the validators that signed both.

        Errors: ProofRefused if it proves no fork, EpochUnknown if its committee must be followed first."""
        file = prooffile.parse_fork(content)
        return self._or_of_shard(lambda: prooffile.shard_of_fork(file), lambda light: light._show_fork(file))

    def _show_fork(self, file: ForkFile) -> dict[str, Any]:
        self._require_chain(file.chain)
        for epoch, change in enumerate(file.epochs):
            self._follow_where_new(epoch, change, file.facts)
        facts: dict[str, Any] = json.loads(translate_errors(self._light.check_conflict, *file.headers))
        prooffile.check_protocol(file, translate_errors(_native.proof_version, file.headers[0]))
        if not is_same(facts, file.facts):
            raise ProofRefused("the readable part contradicts the headers: don't trust its source")
        return facts

    def _require_chain(self, claimed: object) -> None:
        """Refuses what says itself that it is of another chain, before a less clear reason does. Errors:
        ProofRefused."""
        if claimed is not None and claimed != self.chain:
            named = plain(str(claimed), CODE_CHARACTERS_MAX)
            raise ProofRefused(
                f"the file is of chain {named}, which is another chain than the genesis or checkpoint, of chain "
                f"{self.chain}: give those of the file's chain"
            )

    def _follow_where_new(self, epoch: int, change: bytes, facts: object) -> None:
        """Applies the change that ended an epoch, if it is new and the proof with these facts needs it."""
        last = None
        if isinstance(facts, dict):
            self._require_chain(facts.get("chain"))
            last = facts.get("epoch")
        needed = not isinstance(last, int) or epoch < last
        if needed and self._light.knows(epoch) and not self._light.knows(epoch + 1):
            self.follow(change)

    async def file(self, proof: bytes, facts: dict[str, Any]) -> bytes:
        """Returns the proof file of a checked proof, with all that others need to check it from the genesis alone.

        Without the genesis, the epoch changes before the checkpoint are not checked. Errors: EpochUnknown if the
        changes from the genesis on can't be fetched, ProofRefused if a node gives wrong ones."""
        epochs = self._first_changes[: facts["epoch"]]
        if len(epochs) < facts["epoch"]:
            epochs += await self._changes(len(epochs), facts["epoch"])
            if self._genesis is not None:
                await anyio.to_thread.run_sync(self._check_from_genesis, self._genesis, epochs, proof)
        protocol = translate_errors(_native.proof_version, proof)
        return ProofFile(facts["kind"], self.chain, facts, proof, tuple(epochs), protocol).to_bytes()

    async def check_block(self, block: Block) -> tuple[dict[str, Any], str]:
        """Checks that a block is final; returns its header and digest. Errors: VerificationFailed."""
        proof = translate_errors(_native.wrap_proof, "block", block.raw, block.proof)
        await self._reach(proof)
        with self._contradicted(lambda: proof):
            header, digest = translate_errors(self._light.check_block, block.raw, block.proof, now_ms())
        return json.loads(header), digest

    def _check_from_genesis(self, genesis: bytes, epochs: Sequence[bytes], proof: bytes) -> None:
        # Checks from the genesis, like the file's readers do: the light client keeps only a few of the committees that
        # it followed.
        light = _native.Light.from_genesis(genesis, None, self.shard)
        for change in epochs:
            translate_errors(light.follow, change, now_ms())
        translate_errors(light.check, proof, now_ms())

    async def _reach(self, proof: bytes) -> None:
        missing = translate_errors(self._light.missing, proof)
        if missing is not None:
            for change in await self._changes(*missing):
                self.follow(change)
            self._keep()

    async def _changes(self, first: int, end: int) -> list[bytes]:
        """Fetches the changes that ended the epochs from `first` to before `end`. Errors: EpochUnknown."""
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
            return cast(dict[str, Any], json.loads(translate_errors(self._light.check, proof, now_ms(), anew)))

    def _keep(self) -> None:
        """Writes the trust file. On an I/O error nothing is lost: the next start fetches the epoch changes again."""
        with contextlib.suppress(OSError):
            self.save_trust()

    @contextlib.contextmanager
    def _contradicted(self, offered: Callable[[], bytes]) -> Iterator[None]:
        """Turns a refusal that contradicts an epoch's known end into an error with both signed headers."""
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


def _verified_proof(
    facts: dict[str, Any], file: bytes, signers: Signers | None, *, proven: bool = True
) -> VerifiedProof:
    claim = Claim(
        int(facts["claimed_by"]["height"]),
        str(facts["claimed_by"]["digest"]),
        int(facts["claimed_by"]["time_ms"]),
        int(facts["epoch"]),
        signers,
    )
    kind = cast(Literal["read", "receipt", "transaction", "block"], facts["kind"])
    receipt = wire.proven_receipt(facts) if "receipt" in facts else None
    state = None
    if kind == "read":
        at = At(int(facts["height"]), str(facts["state_root"]), int(facts["shard"]), proven=proven)
        state = ProvenState(at, claim, dict(_subject_content(item, at) for item in facts["items"]), file)
    return VerifiedProof(kind, str(facts["chain"]), claim, facts, receipt, state)


def _subject_content(item: dict[str, Any], at: At) -> tuple[Subject, SubjectContent]:
    account = str(item["account"])
    if item["type"] == "value":
        key = bytes.fromhex(item["key_hex"])
        value = bytes.fromhex(item["value_hex"]) if item["value_hex"] is not None else None
        return Subject(account, key=key), Value(account, key, value, at)
    if item["type"] == "balance":
        asset = str(item["asset"])
        return Subject(account, asset=asset), Balance(account, asset, int(item["balance"]), at)
    if item["type"] == "authority":
        return Subject(account, authority=True), settings_of(account, item["custody"])
    if item["type"] == "governance":
        return Subject(account, governance=True), item["record"]
    if item["type"] == "proposal":
        return Subject(account, proposal=int(item["number"])), item["proposal"]
    if item["type"] == "grant":
        to, held = str(item["to"]), item["grant"]
        return Subject(account, grant=to), wire.grant(account, to, held, at) if held is not None else None
    record = item["record"]
    if record is None:
        return Subject(account), None
    return Subject(account), Account(
        account,
        nonce=int(record["nonce"]),
        quota_left=int(record["quota_left"]),
        storage_bytes_left=int(record["storage_bytes_left"]),
        at=at,
        history_left=wire.number_in(record, "history_left"),
        sponsor=wire.number_in(record, "sponsor"),
        grants_era=wire.number_in(record, "grants_era") or 0,
        **wire.signer(record),
    )


def describe_fork(facts: Mapping[str, Any]) -> str:
    """Describes the evidence of a fork in one clause."""
    first, second = facts["headers"]
    names = ", ".join(str(signer["name"]) for signer in facts["signed_both"])
    return (
        f"the chain has forked: two blocks of epoch {facts['epoch']} are final, at heights {first['height']} and "
        f"{second['height']}, and {names} signed both"
    )


def check_age(time_ms: int, max_age_s: float | None) -> None:
    """Refuses a header of this time if it is older than `max_age_s`. Errors: ProofTooOld."""
    age_s = (now_ms() - time_ms) / 1000
    if max_age_s is not None and age_s > max_age_s:
        raise ProofTooOld(
            f"the newest block that the proof rests on is {age_s:.0f} s old, and {max_age_s:.0f} s are allowed: ask "
            "another node, or write something if the chain is idle, since without writes it makes no blocks"
        )


def now_ms() -> int:
    """Returns the wall clock time, Unix ms."""
    return time.time_ns() // 1_000_000
