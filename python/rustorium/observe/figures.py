"""The figures of a node that a table shows, from its metrics, and their rates between two looks.

Invariants: a metric that a node doesn't have is `None`, never 0.
"""

from collections.abc import Callable, Mapping

from rustorium.observe.exposition import Family, histograms, quantile

Figures = dict[str, int | float | None]


class Metrics:
    """One node's families, by name."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = families

    def value(self, name: str, pick: Callable[[list[float]], float] = sum) -> float | None:
        """Returns a gauge or counter (named without `_total`): `pick` of its series."""
        family = self._families.get(name)
        values = [sample.value for sample in family.samples] if family is not None else []
        return pick(values) if values else None

    def histogram(self, name: str) -> list[tuple[float, float]]:
        """Returns the buckets of all series of a histogram, added up."""
        family, total = self._families.get(name), dict[float, float]()
        if family is not None and family.kind == "histogram":
            for _, buckets in histograms(family):
                for bound, count in buckets:
                    total[bound] = total.get(bound, 0.0) + count
        return sorted(total.items())

    def quantile_ms(self, name: str, share: float) -> float | None:
        """Returns a quantile of a histogram of seconds, in ms."""
        found = quantile(self.histogram(name), share)
        return None if found is None else round(found * 1000, 2)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def figures(families: Mapping[str, Family]) -> Figures:
    """Returns the figures of a node for `metrics collect`; times in ms, since the node's start. Of a node with several
    shards, height, view, epoch and validators are those of the shard with most; counts are the sum of all."""
    metrics = Metrics(families)
    hits, misses = metrics.value("rustorium_storage_cache_hits"), metrics.value("rustorium_storage_cache_misses")
    asked = (hits or 0) + (misses or 0)
    rtt, memory = (
        metrics.value("rustorium_transport_rtt_seconds", max),
        metrics.value("rustorium_process_resident_memory_bytes"),
    )
    return {
        "ready": _whole(metrics.value("rustorium_node_ready")),
        "findings": _whole(metrics.value("rustorium_node_findings")),
        "height": _whole(metrics.value("rustorium_consensus_height", max)),
        "view": _whole(metrics.value("rustorium_consensus_view", max)),
        "epoch": _whole(metrics.value("rustorium_consensus_epoch", max)),
        "validators": _whole(metrics.value("rustorium_consensus_validators", max)),
        "missing": _whole(metrics.value("rustorium_consensus_missing_validators")),
        "byzantine": _whole(metrics.value("rustorium_consensus_byzantine_validators")),
        "peers": _whole(metrics.value("rustorium_transport_peers")),
        "pool": _whole(metrics.value("rustorium_txpool_transactions")),
        "transactions": _whole(metrics.value("rustorium_execution_transactions")),
        "blocks": _whole(metrics.value("rustorium_execution_blocks")),
        "nullified": _whole(metrics.value("rustorium_consensus_nullified_views")),
        "final_p50_ms": metrics.quantile_ms("rustorium_gateway_finality_seconds", 0.5),
        "final_p99_ms": metrics.quantile_ms("rustorium_gateway_finality_seconds", 0.99),
        "sync_p99_ms": metrics.quantile_ms("rustorium_storage_journal_sync_seconds", 0.99),
        "rtt_max_ms": None if rtt is None else round(rtt * 1000, 2),
        "cache_hits_percent": round(100 * (hits or 0) / asked, 1) if asked else None,
        "memory_mib": None if memory is None else round(memory / 2**20),
        "cpu_s": metrics.value("rustorium_process_cpu_seconds"),
    }


RATES = {
    "transactions_per_s": "rustorium_execution_transactions",
    "blocks_per_s": "rustorium_execution_blocks",
    "nullified_views": "rustorium_consensus_nullified_views",
    "journal_syncs_per_s": "rustorium_storage_journal_syncs",
    "cpu_cores": "rustorium_process_cpu_seconds",
}


def rates(first: Mapping[str, Family], last: Mapping[str, Family], seconds: float) -> Figures:
    """Returns the changes of a node's counters in that time: per second, except `nullified_views`, which is a number.
    `None` if a counter is missing or went back, as after a restart."""
    before, after, found = Metrics(first), Metrics(last), Figures()
    for name, metric in RATES.items():
        old, new = before.value(metric), after.value(metric)
        if old is None or new is None or new < old or seconds <= 0:
            found[name] = None
        elif name == "nullified_views":
            found[name] = int(new - old)
        else:
            found[name] = round((new - old) / seconds, 2)
    return found
