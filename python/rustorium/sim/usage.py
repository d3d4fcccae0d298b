"""Quotas that hold clients back, and the check that nobody used more than they allow (V59).

Invariants: the check knows the transactions' bytes and the final headers alone; it shares no code with what it checks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustorium.sim.errors import BreachError

DRAW = 8_192
"""Units that an account may hold besides what its paces allow."""
WORK_PER_S, WORK_MAX = 16_000, 20_000
"""An account's work: what it grows by in a second, and its maximum. Clients want about twice as much."""
ALL_PER_S, BURST_MS = 60_000, 250
"""The work of all accounts together, except the operators', and the time for which it adds up. Six accounts could use
more by their own pace."""
TIGHT: tuple[tuple[str, Any], ...] = (
    ("batch_work_max", WORK_MAX),
    ("quota_work_per_s", WORK_PER_S),
    ("quota_work_max", WORK_MAX),
    ("capacity", (("work_per_s", 2 * ALL_PER_S), ("work_burst_ms", BURST_MS), ("common_ppm", 500_000))),
)
"""Chain parameters of a run whose clients lack quota."""
WORK_LIMIT_AT = 2 + 32 + 32 + 32 + 8 + 8
"""The place of the declared work in a transaction in the form of version 1, behind version, chain, sender, key, nonce
and expiry."""


@dataclass(frozen=True, slots=True)
class Use:
    """What an executed transaction used."""

    time_ms: int
    """Time of its block."""
    account: int
    work: int


def declared_work(raw: bytes) -> int:
    """Returns the declared work of a transaction in the form of version 1."""
    return int.from_bytes(raw[WORK_LIMIT_AT : WORK_LIMIT_AT + 8], "little")


def judge_usage(node: int, uses: Iterable[Use], operators: Sequence[int]) -> None:
    """Checks that no window has more than V59 allows, for each account and for all that share a sponsor."""
    by_account: Mapping[int, list[Use]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: use.time_ms):
        by_account[use.account].append(use)
    for account, own in by_account.items():
        _check(node, f"account {account}", own, WORK_PER_S, WORK_MAX + DRAW)
    people = [account for account in by_account if account not in operators]
    shared = sorted((use for account in people for use in by_account[account]), key=lambda use: use.time_ms)
    burst = max(ALL_PER_S * BURST_MS // 1_000, WORK_MAX)
    _check(node, "the common sponsor", shared, ALL_PER_S, burst + DRAW * len(people))


def _check(node: int, who: str, uses: Sequence[Use], per_s: int, burst: int) -> None:
    """Checks all windows at once: what is used beyond the rate never rises over its least value so far by more than the
    burst. Times are milliseconds, and units are counted in thousandths."""
    used, least = 0, 0
    for use in uses:
        least = min(least, used - per_s * use.time_ms)
        used += 1_000 * use.work
        over = used - per_s * use.time_ms - least - 1_000 * (burst + 1)
        if over > 0:
            raise BreachError(f"node {node}: {who} used {over // 1_000} units more than V59 allows at {use.time_ms}")
