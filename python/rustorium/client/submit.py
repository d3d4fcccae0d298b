"""Sends the same bytes to one node after another until each transaction's outcome is known or the deadline passes.

Invariants: a transaction is never signed again here; a refusal is believed if two nodes give it, or one while no other
answers, and only if no other node can have taken the transaction; a milestone with a refused proof, or below the
requested one, is none; a transaction that is open at the deadline is reported as unknown, with its id.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import anyio

from rustorium.client.endpoints import Endpoint
from rustorium.client.transport import ATTEMPT_S_MIN, PAUSE_S_MAX, PAUSE_S_MIN, Transport
from rustorium.client.wire import SUBMISSION_MEDIA, Answer, frame, parse, shard_of, submitted, transaction_status
from rustorium.errors import (
    BadResponse,
    Busy,
    ChainForked,
    ClientError,
    NotFound,
    NotReady,
    OutcomeUnknown,
    Refused,
    RustoriumError,
    TlsRefused,
    Unreachable,
    VerificationFailed,
)
from rustorium.types import SignedTransaction, Submitted, Wait

PATH = "/v1/transactions"
GRACE_S = 0.5
ATTEMPTS = 3
"""Minimum number of equal parts of the remaining time; each attempt gets one part."""
SERVER_WAIT_MS_MAX = 60_000
LAGGING = ("unknown-account", "nonce-too-far")
"""Refusals that a lagging node gives; all other nodes are asked before one is believed."""
SKIPPED = "skipped"
"""Code of a transaction that execution skipped because the quota or the nonce before was missing: a later block may
execute it."""
NO_QUOTA = "quota-too-small"
"""Code of a transaction that was listed in vain too often; its sender is told when there will be enough."""
NEVER_EXECUTED = (
    "nonce-used",
    "wrong-chain",
    "malformed-transaction",
    "transaction-too-large",
    "too-large",
    "too-many-signatures",
    "too-much-history",
    "work-limit-too-high",
    "work-limit-too-low",
    "wrong-version",
)
"""Refusals that are final if the refusing node doesn't know the transaction, even if it was sent elsewhere before. An
expired transaction is not among them: by another node's clock it may still get into a block."""
COPIES_MAX = 2
"""Nodes that have the same bytes at one time, before they have answered."""
BELIEVED = 2
"""Number of nodes whose common refusal is believed at once."""
MILESTONES: tuple[Wait, ...] = ("accepted", "final", "certified")

Result = Submitted | ClientError
Check = Callable[[SignedTransaction, Submitted], Awaitable[Submitted]]
"""Checks a node's result, and returns it as it was proven. Errors: VerificationFailed."""


class Group:
    """A group of at most 1,000 transactions that is being submitted."""

    def __init__(
        self, transport: Transport, transactions: Sequence[SignedTransaction], wait: Wait, deadline: float, check: Check
    ) -> None:
        self._transport, self._transactions, self._wait, self._deadline = transport, transactions, wait, deadline
        self._check = check
        self._results: list[Result | None] = [None] * len(transactions)
        self._doubts: dict[int, ClientError] = {}
        self._refusals: dict[int, dict[str, Refused]] = {}
        """Refusals of each transaction that no other node can have taken since, by the node's URL."""
        self._final_refusals: dict[int, dict[str, Refused]] = {}
        """The same of nodes that don't have the transaction in their ledger, which can't take it any more."""
        self._disproved: dict[int, dict[str, VerificationFailed]] = {}
        """Refused proofs of each transaction, by the node's URL."""
        self._perhaps_taken: set[int] = set()
        self._pending: dict[int, set[str]] = {}
        """URLs of slow nodes that may still take each transaction, since another one has it, too."""
        self._doubters: dict[int, set[str]] = {}
        """URLs of the nodes that doubt each transaction in this round."""
        self._last: RustoriumError | None = None
        self._causes: dict[str, str] = {}
        """Why the connection to each endpoint failed in this round, by URL."""
        self._untrusted: set[str] = set()
        """URLs of nodes that got no request because TLS failed."""

    async def run(self) -> list[Result]:
        """Sends until every outcome is known or the deadline passes; returns one result per transaction, in order.

        Errors: VerificationFailed if each node's proof of a transaction is refused, ChainForked."""
        pause, start = PAUSE_S_MIN, anyio.current_time()
        while self._open():
            self._doubts.clear()
            self._doubters.clear()
            self._causes.clear()
            nodes = await self._transport.order(self._deadline)
            await self._round(nodes)
            self._end_round(nodes)
            untrusted = self._untrusted.issuperset(endpoint.url for endpoint in nodes)
            if self._transport.is_stopped(self._causes, start, self._deadline):
                self._last = self._transport.stopped(start, self._causes)
                break
            wait_s = max(pause, self._quota_wait_s())
            if untrusted or not self._open() or anyio.current_time() + wait_s >= self._deadline:
                break
            await anyio.sleep(wait_s)
            pause = min(2 * pause, PAUSE_S_MAX)
        return [result or self._at_deadline(index) for index, result in enumerate(self._results)]

    async def _round(self, nodes: Sequence[Endpoint]) -> None:
        """Asks one node after the other. If one takes much longer than usual, the next one gets the same bytes, too:
        whatever a node says of its health, it may keep a transaction to itself."""
        endpoints, known = self._transport.endpoints, self._transport.known
        asking, late = list[Endpoint](), list[Endpoint]()
        fatal: Exception | None = None
        start = anyio.current_time()

        async def ask(endpoint: Endpoint, done: anyio.Event) -> None:
            nonlocal fatal
            asking.append(endpoint)
            try:
                await self._ask(endpoint)
            except Exception as error:
                fatal = error
            asking.remove(endpoint)
            done.set()
            if fatal is not None or not self._open():
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for endpoint in nodes:
                if not self._open() or anyio.current_time() >= self._deadline:
                    break
                if self._is_only_to_confirm(endpoint):
                    continue
                done = anyio.Event()
                alone = len(asking) < COPIES_MAX - 1 and endpoint is not nodes[-1]
                tasks.start_soon(ask, endpoint, done)
                if await self._is_late(done, alone=alone):
                    late.append(endpoint)
                    self._await(endpoint)
        if fatal is not None:
            raise fatal
        if not self._open():
            known.took(self._wait, anyio.current_time() - start)
            for endpoint in late:
                if endpoint in asking:
                    endpoints.failed(endpoint, anyio.current_time())

    async def _is_late(self, done: anyio.Event, *, alone: bool) -> bool:
        """Waits for a node's answer. Returns whether the next node should be asked meanwhile; only if it was asked
        `alone`."""
        if alone:
            with anyio.move_on_after(self._transport.known.patience_s(self._wait)):
                await done.wait()
            if not done.is_set() and self._transport.endpoints.may_hedge(anyio.current_time()):
                return True
        await done.wait()
        return False

    def _await(self, endpoint: Endpoint) -> None:
        """Notes that a slow node may still take what another one gets, too."""
        for index in self._open():
            self._pending.setdefault(index, set()).add(endpoint.url)
            self._refusals.pop(index, None)

    def _may_be_taken(self, index: int) -> bool:
        return index in self._perhaps_taken or bool(self._pending.get(index))

    def _open(self) -> list[int]:
        return [index for index, result in enumerate(self._results) if result is None]

    def _quota_wait_s(self) -> float:
        """Returns the time until one of the open transactions has quota, as nodes say; 0 unless all of them lack it."""
        doubts = [self._doubts.get(index) for index in self._open()]
        lacking = [doubt for doubt in doubts if isinstance(doubt, Busy) and doubt.code == NO_QUOTA]
        return (
            min((doubt.retry_after_ms / 1000 for doubt in lacking), default=0.0) if len(lacking) == len(doubts) else 0
        )

    def _refusals_of(self, index: int) -> dict[str, Refused]:
        return self._refusals.get(index, {}) | self._final_refusals.get(index, {})

    def _is_only_to_confirm(self, endpoint: Endpoint) -> bool:
        """Returns whether a node that lately failed would only be asked to confirm refusals, one of them by a node that
        the user named."""
        return endpoint.down_until > anyio.current_time() and all(map(self._is_refused_by_named, self._open()))

    def _is_refused_by_named(self, index: int) -> bool:
        urls = self._refusals_of(index)
        return any(own.url in urls for own in self._transport.endpoints.own)

    def _is_doubted_by_named(self, index: int) -> bool:
        return any(own.url in self._doubters.get(index, ()) for own in self._transport.endpoints.own)

    def _end_round(self, nodes: Sequence[Endpoint]) -> None:
        """Believes the refusals of single nodes, since no other node said anything else. Errors: VerificationFailed if
        each of the nodes lied."""
        for index in self._open():
            disproved = self._disproved.get(index, {})
            if len(disproved) == len(nodes):
                raise list(disproved.values())[-1]
            if self._is_refused_by_named(index):
                for url, refusal in self._refusals_of(index).items():
                    refusal.alone = True
                    self._results[index] = refusal.about(url, "{} alone says so" if len(nodes) > 1 else "{} says so")
        for index, doubt in self._doubts.items():
            perhaps = isinstance(doubt, Busy) or self._may_be_taken(index) or not self._is_doubted_by_named(index)
            if self._results[index] is None and not perhaps:
                self._results[index] = self._doubted(index, doubt, nodes)

    def _doubted(self, index: int, doubt: ClientError, nodes: Sequence[Endpoint]) -> ClientError:
        """Returns a doubt, and on whose word it rests if no other node says so."""
        first, *others = self._doubters[index]
        if not isinstance(doubt, Refused) or others:
            return doubt
        doubt.alone = True
        return doubt.about(first, "{} alone says so") if len(nodes) > 1 else doubt

    async def _send(self, endpoint: Endpoint, asked: list[int]) -> Answer:
        """Sends transactions to a node, and returns what it answers. What a slow node has said at last counts as that
        of any other. Errors: those of an attempt."""
        remaining = self._deadline - anyio.current_time()
        share = max(ATTEMPTS, len(self._transport.endpoints.all))
        attempt_s = min(remaining, max(ATTEMPT_S_MIN, remaining / share))
        wait_ms = max(1, min(int(attempt_s * 1000), SERVER_WAIT_MS_MAX))
        try:
            answer: Answer = await self._transport.attempt(
                "POST",
                endpoint,
                PATH,
                self._deadline + GRACE_S,
                params={"wait": self._wait, "timeout_ms": wait_ms},
                content=frame(self._transactions[index].raw for index in asked),
                media=SUBMISSION_MEDIA,
                attempt_s=attempt_s + GRACE_S,
                waits=True,
                named=False,
            )
        finally:
            for urls in self._pending.values():
                urls.discard(endpoint.url)
        return answer

    async def _ask(self, endpoint: Endpoint) -> None:
        asked = self._open()
        try:
            answer = await self._send(endpoint, asked)
        except Unreachable as error:
            self._last, self._causes[endpoint.url] = error, error.cause
            if error.sent:
                self._taken_perhaps(*asked)
            return
        except TlsRefused as error:
            # No request was sent.
            self._last, self._untrusted = error, self._untrusted | {endpoint.url}
            return
        except Refused as error:
            self._last = error
            if "results" not in error.details:
                self._refused_all(endpoint, asked, error)
                return
            answer = error.details
        except (NotReady, NotFound) as error:
            self._last = error
            return
        except ClientError as error:  # the node, or a proxy before it, failed after it got the request
            self._last = error
            self._taken_perhaps(*asked)
            return
        if isinstance(answer, dict) and "results" in answer:
            try:
                answers, shard = parse(lambda body: (list(body["results"]), shard_of(body)), answer)
                await self._take(endpoint, asked, answers, shard)
            except BadResponse as error:
                self._last = error.about(endpoint.url)
                self._taken_perhaps(*asked)

    def _doubt(self, endpoint: Endpoint, index: int, doubt: ClientError) -> None:
        self._doubts[index] = doubt
        self._doubters.setdefault(index, set()).add(endpoint.url)

    def _refused_all(self, endpoint: Endpoint, asked: list[int], error: Refused) -> None:
        """Notes that a node refused a whole submission."""
        for index in asked:
            if isinstance(error, Busy):
                self._doubt(endpoint, index, error)
            elif not self._may_be_taken(index):
                self._refused(self._refusals, endpoint, index, error)

    async def _take(self, endpoint: Endpoint, asked: list[int], answers: list[Answer], shard: int) -> None:
        if len(answers) != len(asked):
            self._taken_perhaps(*asked)
            return
        for index, answer in zip(asked, answers, strict=True):
            if self._results[index] is not None:
                continue  # another node was faster
            result = parse(partial(submitted, shard=shard), answer)
            if isinstance(result, str) or (isinstance(result, Refused) and result.code == SKIPPED):
                self._taken_perhaps(index)
            elif isinstance(result, Submitted):
                await self._reached(endpoint, index, replace(result, endpoint=endpoint.url))
            elif isinstance(result, Busy):
                self._doubt(endpoint, index, result)
            elif result.code in LAGGING:
                # A busy node may have what this node lacks. It is asked again before this refusal is believed.
                if not isinstance(self._doubts.get(index), Busy):
                    self._doubt(endpoint, index, result)
            elif not self._may_be_taken(index):
                self._refused(self._refusals, endpoint, index, result)
            elif isinstance(found := await self._settle(endpoint, index, result), Submitted):
                await self._reached(endpoint, index, found)
            elif found is not None:
                self._refused(self._final_refusals, endpoint, index, found)

    async def _reached(self, endpoint: Endpoint, index: int, result: Submitted) -> None:
        """Takes a milestone, if it is the requested one and its proof holds."""
        if MILESTONES.index(result.reached) < MILESTONES.index(self._wait):
            self._taken_perhaps(index)
            return
        try:
            self._results[index] = await self._check(self._transactions[index], result)
        except ChainForked:
            raise
        except (BadResponse, VerificationFailed) as error:
            self._last = error.about(endpoint.url)
            self._transport.endpoints.failed(endpoint, anyio.current_time())
            self._taken_perhaps(index)
            if isinstance(error, VerificationFailed):
                self._disproved.setdefault(index, {})[endpoint.url] = error

    def _taken_perhaps(self, *indices: int) -> None:
        """Notes that a node may have taken transactions. What others said against them before shows nothing now."""
        self._perhaps_taken.update(indices)
        for index in indices:
            self._refusals.pop(index, None)

    def _refused(
        self, refusals: dict[int, dict[str, Refused]], endpoint: Endpoint, index: int, refusal: Refused
    ) -> None:
        """Notes a node's refusal, which is believed once another node confirms it, if the user named one of them."""
        refusals.setdefault(index, {})[endpoint.url] = refusal
        if len(self._refusals_of(index)) >= BELIEVED and self._is_refused_by_named(index):
            self._results[index] = refusal

    async def _settle(self, endpoint: Endpoint, index: int, refusal: Refused) -> Submitted | Refused | None:
        """Decides about a refusal of a transaction that another node may have taken.

        The refusing node is asked for the ledger's record, because another node may not have executed as much. `None`:
        go on asking."""
        identity = self._transactions[index].id
        try:
            body = await self._transport.attempt("GET", endpoint, f"{PATH}/{identity}", self._deadline)
        except NotFound:
            return refusal if refusal.code in NEVER_EXECUTED else None
        except RustoriumError:
            return None
        status = parse(transaction_status, body)
        if status.receipt is None:
            return None
        return Submitted(identity, "final", status.receipt, endpoint=endpoint.url)

    def _at_deadline(self, index: int) -> ClientError:
        # A listed node that refuses may keep a transaction to itself.
        doubt = self._doubts.get(index)
        doubted = isinstance(doubt, Refused) and not isinstance(doubt, Busy) and not self._is_doubted_by_named(index)
        by_strangers = doubted or (bool(self._refusals_of(index)) and not self._is_refused_by_named(index))
        if self._may_be_taken(index) or by_strangers:
            return self._disproof(index) or OutcomeUnknown(self._transactions[index].id)
        found = self._doubts.get(index) or self._last
        if isinstance(found, ClientError):
            return found
        if isinstance(found, NotReady):
            return Busy(found.message, code=found.code)
        return Unreachable("no node answered before the deadline: check that the nodes run and the URLs are right")

    def _disproof(self, index: int) -> ClientError | None:
        """Returns that the outcome is unknown, and who lied about it; `None` if nobody did."""
        if index not in self._disproved:
            return None
        error = list(self._disproved[index].values())[-1]
        identity = self._transactions[index].id
        message = f"the outcome of transaction {identity} is unknown at the deadline, and {error.message}"
        return OutcomeUnknown(identity, message).about(error.endpoint)
