"""Methods that read the state: values, accounts and balances, verified here unless the caller opts out.

Invariants: a proven answer was checked under a root that a quorum certified, is about the requested subjects, and is
never older than this client's earlier proven reads and its own writes; a node's word proves no absence.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import anyio
import msgspec

from rustorium import _native, arguments
from rustorium.api import Operation
from rustorium.client import wire
from rustorium.client.base import address_of
from rustorium.client.directory import ListedNode, newest
from rustorium.client.endpoints import Endpoint
from rustorium.client.finder import listed_nodes
from rustorium.client.heights import WAIT_S, HeightMethods
from rustorium.client.keys import Key
from rustorium.client.light import check_age, now_ms
from rustorium.client.shards import in_shard_of, of_signer, of_subject, of_subjects
from rustorium.client.subjects import subjects_of
from rustorium.client.text import K, raw
from rustorium.client.trust import translate_errors
from rustorium.errors import (
    AbsenceUnproven,
    Absent,
    BadResponse,
    Busy,
    ClientError,
    GenesisUnconfirmed,
    NoStateRoot,
    NotFound,
    OutcomeUnknown,
    ProofPruned,
    ProofRefused,
    Pruned,
    UsageError,
)
from rustorium.types import (
    PROOF_KEYS_MAX,
    Account,
    Balance,
    ProvenState,
    Subject,
    SubjectContent,
    Value,
    VerifiedProof,
    WriteProof,
)

WAIT_SHARE = 0.75
"""Share of the time until the deadline that a node may wait, so that its answer comes before the deadline."""
ATTEMPT_S = 6.0
PATIENCE_S = 0.75
"""Time after which another node is asked for a root, too; a good node waits for the next root."""


class _NothingYet(NotFound):
    """A node says that its chain has no block yet, and this client has neither read nor written anything. The other
    nodes are asked, too."""

    def __init__(self, endpoint: str, *, confirmed: bool) -> None:
        """`confirmed`: others say so, too."""
        super().__init__(f"{endpoint} has executed nothing yet")
        self.endpoint, self.confirmed = endpoint, confirmed


class _NothingProven(Exception):
    """A node has said so in two rounds, and no other node proved anything in the first."""

    def __init__(self, endpoint: str, *, confirmed: bool) -> None:
        super().__init__(endpoint)
        self.endpoint, self.confirmed = endpoint, confirmed


class StateMethods(HeightMethods):
    """The client's methods about the state."""

    async def read(
        self, namespace: str, key: bytes | str, *, at: str | int = "latest", max_age_s: float | None = None
    ) -> Value:
        """Returns a key's value or its absence. `at`: "latest" is the newest executed state, by the node's claim;
        "proven" is the newest under a certified root, checked here; "fresh" is the same, and as new as `proven` says; a
        height gives the state of that height, by the node's claim. `max_age_s` as for `prove`.

        Errors: VerificationFailed, GenesisNeeded, NoStateRoot, Pruned."""
        subject = Subject(address_of(namespace), key=raw(key, "a key"))
        if at in ("proven", "fresh"):
            state = await self.proven([subject], at="fresh" if at == "fresh" else "proven", max_age_s=max_age_s)
            return _value(state.items[subject])
        return _value(await self.held(subject, at=at))

    @in_shard_of("subject", of_subject)
    async def held(self, subject: Subject, *, at: str | int = "latest") -> SubjectContent:
        """Returns a subject's content at "latest", "proven" or a height; the node's claim, nothing is checked.

        Errors: NotFound if there is no such account, Pruned."""
        arguments.instance(subject, Subject, "subject")
        if type(at) not in (int, str):
            raise arguments.refused("at", '"latest", "proven" or a height', at)
        if subject.governance or subject.proposal is not None or subject.grant is not None:
            raise UsageError("seats, proposals and grants are read by `governance()` and `grants()`, or by `prove`")
        params: dict[str, str | int] = {"at": str(at)}
        path = f"/v1/accounts/{address_of(subject.account)}"
        if subject.authority:
            return await self._read(wire.settings, f"{path}/authority", params=params)
        if subject.asset is not None:
            asset = arguments.hex_of(subject.asset, "an asset id")
            return await self._read(wire.balance, f"{path}/balances/{asset}", params=params)
        if subject.key is None:
            return await self._read(wire.account, path, params=params)
        try:
            return await self._read(
                partial(_value_of, subject), f"{path}/keys/{subject.key.hex()}", params=params | {"encoding": "hex"}
            )
        except NotFound as error:
            if error.code != "key-not-found":
                raise
            return Value(subject.account, subject.key, None, wire.parse(wire.at, error.details))

    async def get(
        self, namespace: str, key: bytes | str, *, verify: bool = True, max_age_s: float | None = None
    ) -> bytes | None:
        """Returns a key's value, proven under a certified root unless `verify=False`; `None` if it has none."""
        return (await self.read(namespace, key, at="proven" if verify else "latest", max_age_s=max_age_s)).value

    async def get_many(
        self,
        namespace: str,
        keys: Iterable[K],
        *,
        verify: bool = True,
        max_age_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[K, bytes | None]:
        """Returns the values of any number of keys, in their order. Each 1,024 of them have one height and one proof,
        unless `verify=False`. `on_progress` gets the number of keys read so far and of all keys, after each part."""
        given: object = keys
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise arguments.refused("keys", "a list of keys", keys)
        wanted = list(dict.fromkeys(keys))
        tell = on_progress if on_progress is not None else lambda done, total: None
        found: dict[K, bytes | None] = {}
        if not verify:
            for key in wanted:
                found[key] = (await self.read(namespace, key)).value
                tell(len(found), len(wanted))
            return found
        for first in range(0, len(wanted), PROOF_KEYS_MAX):
            part = {key: Subject(namespace, key=raw(key, "a key")) for key in wanted[first : first + PROOF_KEYS_MAX]}
            state = await self.proven(list(dict.fromkeys(part.values())), max_age_s=max_age_s)
            found |= {key: _value(state.items[subject]).value for key, subject in part.items()}
            tell(len(found), len(wanted))
        return found

    async def account(self, address: str, *, verify: bool = True, max_age_s: float | None = None) -> Account:
        """Returns an account's record, proven unless `verify=False`. Errors: Absent, which is proven, too; NotFound on
        a node's word, or before the first block."""
        subject = Subject(address)
        if not verify:
            return _account(await self.held(subject))
        state = await self.proven([subject], max_age_s=max_age_s)
        found = state.items[subject]
        if found is None:
            kind = Absent if state.at.proven else NotFound
            by = "" if state.at.proven else ", by the genesis file alone"
            raise kind(f"there is no account {address} at height {state.at.height}{by}: make it with create_account")
        return _account(found)

    async def balance(
        self, address: str, asset: str, *, verify: bool = True, max_age_s: float | None = None
    ) -> Balance:
        """Returns an account's balance of an asset, proven unless `verify=False`."""
        subject = Subject(address, asset=arguments.hex_of(asset, "an asset id"))
        if verify:
            found = (await self.proven([subject], max_age_s=max_age_s)).items[subject]
        else:
            found = await self.held(subject)
        assert isinstance(found, Balance)
        return found

    async def directory(self) -> list[ListedNode]:
        """Returns the nodes that the validators' owners list for clients, proven, with all that the node that answers
        has executed; each node's record that was made last, without expired ones.

        Errors: VerificationFailed, GenesisNeeded, NoStateRoot, Busy."""
        return newest(await listed_nodes(self, at="current"), now_ms())

    @in_shard_of("subjects", of_subjects)
    async def prove(
        self,
        subjects: Sequence[Subject],
        *,
        at: int | Literal["proven", "current", "fresh"] = "proven",
        from_height: int = 0,
        max_age_s: float | None = None,
    ) -> ProvenState:
        """Returns the content of up to 1,024 subjects, with one proof file for others.

        `at`: "proven" waits until the newest certified root has `from_height` or a higher one; "current" waits until
        the root covers everything that the node has executed; "fresh" as for `proven`; a height asks for its root, if
        the node keeps it.
        `max_age_s`: maximum age of the header that claims the root, by this machine's clock, unless `at` is a height;
        the default is the client's `max_age_s`.

        Errors: VerificationFailed, GenesisNeeded, NoStateRoot, ProofPruned, Busy if no root came in time."""
        light = self.light
        state, proof, facts = await self._ask(subjects, at, from_height, max_age_s)
        file = await light.file(proof, facts)
        return ProvenState(state.at, state.claim, state.items, file)

    @in_shard_of("key", of_signer)
    async def write_with_proof(
        self, operations: Sequence[Operation], *, key: Key | None = None, timeout_ms: int | None = None
    ) -> WriteProof:
        """Signs, submits, and waits until a quorum has certified the receipt and a root with the written values. Both
        proofs are checked before they are returned. The state may already show later writes of others.

        Errors: those of `send`, VerificationFailed, GenesisNeeded."""
        light = self.light
        signer = self._signer(key)
        timeout_s = arguments.whole(timeout_ms, "timeout_ms") / 1000 if timeout_ms is not None else None
        done = await self.send(operations, key=signer, wait="certified", timeout_s=timeout_s)
        if done.receipt is None or done.proof is None:
            raise OutcomeUnknown(done.id, f"transaction {done.id} is final, but its proof came too late: ask again")
        proof = translate_errors(_native.wrap_proof, "receipt", done.proof)
        file = await light.file(proof, await self._show(light, proof))
        try:
            state = await self.prove(subjects_of(operations, signer.address), from_height=done.receipt.height)
        except NoStateRoot:
            state = None
        return WriteProof(done.receipt, file, state)

    async def verify_proof(self, proof: bytes) -> VerifiedProof:
        """Returns the facts that a proof file proves, from the genesis or checkpoint alone.

        Errors: VerificationFailed, GenesisNeeded."""
        return self.light.show_file(arguments.content(proof, "proof"))

    @in_shard_of("subjects", of_subjects)
    async def proven(
        self,
        subjects: Sequence[Subject],
        *,
        at: Literal["proven", "current", "fresh"] = "proven",
        max_age_s: float | None = None,
    ) -> ProvenState:
        """Returns the content of up to 1,024 subjects, verified here, without a proof file; `at` and `max_age_s` as for
        `prove`. "fresh" has all that two nodes had executed when the call began: of the endpoints that the user named,
        and of the directory only if there are fewer. One node alone could show an older state.

        Before the chain's first block it is the genesis state, which nobody signed: `at.proven` is `False`. It is taken
        only if a node says that it has executed nothing, another endpoint or a witness says so too (unless the genesis
        names one validator alone), none shows a block, and this client has never seen one.

        Errors: VerificationFailed, GenesisNeeded, GenesisUnconfirmed, NoStateRoot, Busy if no root came in time."""
        try:
            return (await self._ask(subjects, at, 0, max_age_s, genesis=True))[0]
        except (_NothingYet, _NothingProven) as said:
            if not said.confirmed:
                raise GenesisUnconfirmed(
                    f"{said.endpoint} says that the chain has no block yet, and no other node or witness that was "
                    "asked confirms it: name other nodes too, or read on this node's word (--no-verify, verify=False)"
                ) from None
            state = self.light.at_genesis(subjects)
            if state is None:
                # A checkpoint has no state, so the client waits for a root.
                return (await self._ask(subjects, at, 0, max_age_s))[0]
            check_age(state.claim.time_ms, self._max_age(max_age_s))
            return state

    def _max_age(self, max_age_s: float | None) -> float | None:
        return self._max_age_s if max_age_s is None else max_age_s

    async def _ask(
        self,
        subjects: Sequence[Subject],
        at: int | str,
        from_height: int,
        max_age_s: float | None = None,
        *,
        genesis: bool = False,
    ) -> tuple[ProvenState, bytes, dict[str, Any]]:
        """Returns a checked proof. `genesis`: raises _NothingYet or _NothingProven if the genesis says as much as a
        node can prove."""
        if not 0 < len(subjects) <= PROOF_KEYS_MAX or len(set(subjects)) != len(subjects):
            raise UsageError(
                f"a proof is about 1 to {PROOF_KEYS_MAX} different things, not {len(subjects)}: ask in parts"
            )
        shard = self.light.shard
        others = {self.shard_of(one.account) for one in subjects} - {shard}
        if others and self.shards > 1:
            raise UsageError(
                f"a proof is about accounts of one shard, and these are in shards {shard} and "
                f"{', '.join(map(str, sorted(others)))}: ask for those of each shard apart"
            )
        self._floors.show(shard, self.light.verified_height)
        least = 0 if isinstance(at, int) else max(from_height, self._floors.least(shard))
        try:
            age_s = None if isinstance(at, int) else self._max_age(max_age_s)
            found = await self._proof(subjects, at, least, self._deadline(None), age_s, genesis=genesis)
        except Busy as error:
            if error.code == "not-proven-yet" and 0 < least == self._floors.own(shard).height:
                await self._doubt_own_write(subjects, shard)
            if error.code == "not-proven-yet" and 0 < least == self.light.verified_height:
                raise Busy(
                    f"no node proves height {least} or a later one, which this client has verified before"
                    f"{self.light.where_kept()}: ask again in a moment, or another node",
                    code=error.code,
                    retry_after_ms=error.retry_after_ms,
                ) from None
            raise
        if not isinstance(at, int):
            self._floors.show(found[0].at.shard, found[0].at.height)
            self.light.verified(found[0].at.height)
        return found

    async def _doubt_own_write(self, subjects: Sequence[Subject], shard: int) -> None:
        """Forgets the height of the own write if it may be a node's invention.

        Times grow with heights: a final header with a lower height and a later time than the receipt shows that the
        claimed height is wrong. Otherwise the chain may only have stopped, and the height may still come."""
        wrote = self._floors.own(shard)
        try:
            state, _, _ = await self._proof(subjects, "proven", self._floors.shown(shard), self._deadline(WAIT_S))
        except ClientError:
            return
        late = state.claim.height < wrote.height and state.claim.time_ms > wrote.time_ms
        if late and wrote == self._floors.own(shard):
            self._floors.forget_write(shard)

    async def _proof(
        self,
        subjects: Sequence[Subject],
        at: int | str,
        least: int,
        deadline: float,
        max_age_s: float | None = None,
        *,
        genesis: bool = False,
    ) -> tuple[ProvenState, bytes, dict[str, Any]]:
        """Returns a checked proof of height `least` or above, from any node."""
        light = self.light
        for subject in subjects:
            address_of(subject.account)
            if subject.asset is not None:
                arguments.hex_of(subject.asset, "an asset id")
        question: dict[str, object] = {"items": [wire.question(subject) for subject in subjects]}
        # For a fresh answer each node proves all that it has executed.
        question |= {"from_height": least} if at == "proven" else {"at": "current" if at == "fresh" else str(at)}
        empty: set[str] = set()

        async def ask(endpoint: Endpoint) -> tuple[ProvenState, bytes, dict[str, Any]]:
            wait_s = min(WAIT_S, WAIT_SHARE * max(0.0, deadline - anyio.current_time()))
            try:
                body = await self._transport.attempt(
                    "POST",
                    endpoint,
                    "/v1/proofs",
                    deadline,
                    content=msgspec.json.encode(question | {"timeout_ms": int(1000 * wait_s)}),
                    media="application/json",
                    attempt_s=ATTEMPT_S,
                    waits=True,
                )
            except Busy as error:
                fresh = genesis and error.code == "not-proven-yet" and self._floors.least(light.shard) == 0
                confirmed = await self._nothing_executed(endpoint, deadline) if fresh else None
                if confirmed is None:
                    raise
                if endpoint.url in empty:
                    raise _NothingProven(endpoint.url, confirmed=confirmed) from None
                empty.add(endpoint.url)
                raise _NothingYet(endpoint.url, confirmed=confirmed) from None
            except (NotFound, Pruned, ProofPruned) as error:
                # A node that knows of no such thing proves its absence, and only an old height can be pruned.
                if isinstance(error, ProofPruned) and isinstance(at, int):
                    raise
                raise AbsenceUnproven(endpoint.url) from None
            proof = translate_errors(_native.wrap_proof, "read", wire.parse(wire.proof, body))
            facts = await self._show(light, proof, max_age_s)
            state = light.typed(facts).state
            if state is None or state.items.keys() != set(subjects):
                raise ProofRefused("a node proved something else than was asked for: don't trust that node")
            self._require_height(state.at.height, at, least)
            return state, proof, facts

        if at == "fresh":
            return await self._newest_of_two(ask, lambda answer: answer[0].at.height, deadline)
        return await self._transport.first(ask, deadline, absent=True, patience_s=PATIENCE_S, spread=True)

    def _require_height(self, height: int, at: int | str, least: int) -> None:
        """Checks that a proven state is of the height that was asked for. Errors: ProofRefused, Busy."""
        if at in ("current", "fresh") and height < least:
            # The node may only be behind, since it was told of no height.
            raise Busy("a node proved an older state than this client knows: ask again", code="not-proven-yet")
        if height < least:
            known = f", and this client verified height {least} before{self.light.where_kept()}"
            raise ProofRefused(
                f"a node proved the state of height {height}, which is older than what was asked for"
                f"{known if least == self.light.verified_height else ''}: ask another node"
            )
        if isinstance(at, int) and height != at:
            raise ProofRefused(f"a node proved the state of height {height}, which isn't what was asked for")


def _value_of(subject: Subject, answer: wire.Answer) -> Value:
    found = wire.value(answer)
    if (found.namespace, found.key) != (subject.account, subject.key):
        raise BadResponse("a node answered about another key: ask another node")
    return found


def _value(held: SubjectContent) -> Value:
    assert isinstance(held, Value)
    return held


def _account(held: SubjectContent) -> Account:
    assert isinstance(held, Account)
    return held
