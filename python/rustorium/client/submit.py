"""Sends the same bytes to one node after another until each transaction's outcome is known or the deadline passes.

Invariants: a transaction is never signed again here; a refusal is believed only if no other node can have taken the
transaction; a transaction that is open at the deadline is reported as unknown, with its id.
"""

from collections.abc import Sequence
from functools import partial

import anyio

from rustorium.client.endpoints import Endpoint
from rustorium.client.transport import ATTEMPT_S_MIN, PAUSE_S_MAX, PAUSE_S_MIN, Transport
from rustorium.client.wire import SUBMISSION_MEDIA, Answer, frame, parse, shard_of, submitted, transaction_status
from rustorium.errors import (
    Busy,
    ClientError,
    NotFound,
    NotReady,
    OutcomeUnknown,
    Refused,
    RustoriumError,
    TlsRefused,
    Unreachable,
)
from rustorium.types import SignedTransaction, Submitted, Wait

PATH = "/v1/transactions"
GRACE_S = 0.5
ATTEMPTS = 3
"""Minimum number of equal parts of the remaining time; each attempt gets one part."""
SERVER_WAIT_MS_MAX = 60_000
LAGGING = ("unknown-account", "nonce-too-far")
"""Refusals that a lagging node gives; the other nodes are asked before one is believed."""
SKIPPED = "skipped"
"""Code of a transaction that execution skipped because the quota or the nonce before was missing: a later block may
execute it."""
NEVER_EXECUTED = ("nonce-used", "wrong-chain", "malformed-transaction", "transaction-too-large")
"""Refusals that are final if the refusing node doesn't know the transaction, even if it was sent elsewhere before. An
expired transaction is not among them: by another node's clock it may still get into a block."""

Result = Submitted | ClientError


class Group:
    """A group of at most 1,000 transactions that is being submitted."""

    def __init__(self, transport: Transport, transactions: Sequence[SignedTransaction], wait: Wait, deadline: float):
        self._transport, self._transactions, self._wait, self._deadline = transport, transactions, wait, deadline
        self._results: list[Result | None] = [None] * len(transactions)
        self._doubts: dict[int, ClientError] = {}
        self._perhaps_taken: set[int] = set()
        self._last: RustoriumError | None = None
        self._untrusted: set[str] = set()
        """URLs of nodes that got no request because TLS failed."""

    async def run(self) -> list[Result]:
        """Sends until every outcome is known or the deadline passes; returns one result per transaction, in order."""
        pause = PAUSE_S_MIN
        while self._open():
            self._doubts.clear()
            nodes = await self._transport.order(self._deadline)
            for endpoint in nodes:
                if not self._open() or anyio.current_time() >= self._deadline:
                    break
                await self._ask(endpoint)
            for index, refusal in self._doubts.items():
                perhaps = isinstance(refusal, Busy) or index in self._perhaps_taken
                if self._results[index] is None and not perhaps:
                    self._results[index] = refusal
            untrusted = self._untrusted.issuperset(endpoint.url for endpoint in nodes)
            if untrusted or not self._open() or anyio.current_time() + pause >= self._deadline:
                break
            await anyio.sleep(pause)
            pause = min(2 * pause, PAUSE_S_MAX)
        return [result or self._at_deadline(index) for index, result in enumerate(self._results)]

    def _open(self) -> list[int]:
        return [index for index, result in enumerate(self._results) if result is None]

    async def _ask(self, endpoint: Endpoint) -> None:
        asked = self._open()
        remaining = self._deadline - anyio.current_time()
        share = max(ATTEMPTS, len(self._transport.endpoints.all))
        attempt_s = min(remaining, max(ATTEMPT_S_MIN, remaining / share))
        wait_ms = max(1, min(int(attempt_s * 1000), SERVER_WAIT_MS_MAX))
        try:
            answer = await self._transport.attempt(
                "POST",
                endpoint,
                PATH,
                self._deadline + GRACE_S,
                params={"wait": self._wait, "timeout_ms": wait_ms},
                content=frame(self._transactions[index].raw for index in asked),
                media=SUBMISSION_MEDIA,
                attempt_s=attempt_s + GRACE_S,
                waits=True,
            )
        except Unreachable as error:
            self._last = error
            if error.sent:
                self._perhaps_taken.update(asked)
            return
        except TlsRefused as error:
            # No request was sent.
            self._last, self._untrusted = error, self._untrusted | {endpoint.url}
            return
        except Refused as error:
            self._last = error
            if isinstance(error, Busy):
                self._doubts.update(dict.fromkeys(asked, error))
            if "results" not in error.details and not isinstance(error, Busy):
                for index in asked:
                    if index not in self._perhaps_taken:
                        self._results[index] = error
                return
            answer = error.details
        except (NotReady, NotFound) as error:
            self._last = error
            return
        except ClientError as error:  # the node, or a proxy before it, failed after it got the request
            self._last = error
            self._perhaps_taken.update(asked)
            return
        if isinstance(answer, dict) and "results" in answer:
            answers, shard = parse(lambda body: (list(body["results"]), shard_of(body)), answer)
            await self._take(endpoint, asked, answers, shard)

    async def _take(self, endpoint: Endpoint, asked: list[int], answers: list[Answer], shard: int) -> None:
        if len(answers) != len(asked):
            self._perhaps_taken.update(asked)
            return
        for index, answer in zip(asked, answers, strict=True):
            result = parse(partial(submitted, shard=shard), answer)
            if isinstance(result, str) or (isinstance(result, Refused) and result.code == SKIPPED):
                self._perhaps_taken.add(index)
            elif isinstance(result, Submitted):
                self._results[index] = result
            elif isinstance(result, Busy):
                self._doubts[index] = result
            elif result.code in LAGGING:
                # A busy node may have what this node lacks. It is asked again before this refusal is believed.
                if not isinstance(self._doubts.get(index), Busy):
                    self._doubts[index] = result
            elif index in self._perhaps_taken:
                self._results[index] = await self._settle(endpoint, index, result)
            else:
                self._results[index] = result

    async def _settle(self, endpoint: Endpoint, index: int, refusal: Refused) -> Result | None:
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
        return Submitted(identity, "final", status.receipt) if self._wait != "certified" else None

    def _at_deadline(self, index: int) -> ClientError:
        if index in self._perhaps_taken:
            return OutcomeUnknown(self._transactions[index].id)
        found = self._doubts.get(index) or self._last
        if isinstance(found, ClientError):
            return found
        if isinstance(found, NotReady):
            return Busy(found.message, code=found.code)
        return Unreachable("no node answered before the deadline: check that the nodes run and the URLs are right")
