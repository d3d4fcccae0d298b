"""The four Grafana boards, described here and converted to Grafana's JSON on export."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 24
NODES = '{instance=~"$node"}'
SHARDS = '{instance=~"$node",shard=~"$shard"}'
OF_SHARD = re.compile(
    r"rustorium_(consensus|txpool|execution|state|python|storage_(?!free_bytes|disk_bytes)|"
    r"proofs|gateway_(finality|notify|busy(?!_transactions)|waiting)|node_(synced|queue_length|shard|peer_suspicion))"
)
"""Metrics whose series name a shard; all others are of the whole process."""
SCHEMA = 39
"""The schema version of Grafana 10 and later."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart (or a number) of one or more queries, each with its legend."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    help: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A board: its file's name, title and panels, from the top left on."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "") -> str:
    selected = SHARDS if OF_SHARD.match(metric) else NODES
    query = f"rate({metric}{selected}[$__rate_interval])"
    return f"sum by ({by}) ({query})" if by else query


def _quantile(metric: str, share: float, by: str = "") -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', grouped)})"


def _mean(metric: str) -> str:
    return f"{_rate(f'{metric}_sum')} / {_rate(f'{metric}_count')}"


def _each(query: str, what: str = "") -> tuple[str, str]:
    """Returns a query and its legend: `what`, the node, and the shard of those metrics that have one."""
    named = "{{instance}}, shard {{shard}}" if SHARDS in query else "{{instance}}"
    return query, f"{what} {named}".lstrip()


def _one(title: str, query: str, legend: str = "", **more: Any) -> Panel:
    return Panel(title, ((query, legend) if legend else _each(query),), **more)


def _stat(title: str, query: str, unit: str = "short", help: str = "") -> Panel:
    return Panel(title, ((query, ""),), unit, "stat", 4, help)


def _times(title: str, metric: str, help: str = "", **more: Any) -> Panel:
    """Makes a panel with median and 99th percentile of all nodes together, and each node's mean."""
    queries = (
        (_quantile(metric, 0.5), "p50"),
        (_quantile(metric, 0.99), "p99"),
        _each(_mean(metric), "mean"),
    )
    return Panel(title, queries, "s", help=help, **more)


OVERVIEW = Board(
    "rustorium-overview",
    "Rustorium / Overview",
    (
        _stat("Nodes ready", f"sum(rustorium_node_ready{NODES})"),
        _stat("Height", f"max(rustorium_consensus_height{SHARDS})"),
        _stat(
            "Transactions per second",
            f"sum(max by (shard) ({_rate('rustorium_execution_transactions_total')}))",
            "tps",
            "Of each shard by the node that counts most.",
        ),
        _stat("Missing validators", f"max(rustorium_consensus_missing_validators{SHARDS})"),
        _stat("Byzantine validators", f"max(rustorium_consensus_byzantine_validators{SHARDS})"),
        _stat("Findings", f"sum(rustorium_node_findings{NODES})"),
        Panel(
            "Time until a transaction is final",
            (
                (_quantile("rustorium_gateway_finality_seconds", 0.5), "p50"),
                (_quantile("rustorium_gateway_finality_seconds", 0.99), "p99"),
            ),
            "s",
            help="From when the node accepts it until it reports the receipt: final and on the disks of a quorum.",
        ),
        _one("Transactions executed", _rate("rustorium_execution_transactions_total"), unit="tps"),
        _one("Blocks", _rate("rustorium_execution_blocks_total"), unit="ops"),
        _one("Height", f"rustorium_consensus_height{SHARDS}"),
        _one("Ready", f"rustorium_node_ready{NODES}"),
        _one("Findings by node", f"rustorium_node_findings{NODES}"),
        _one("Pool", f"rustorium_txpool_transactions{SHARDS}"),
        _one("CPU cores", _rate("rustorium_process_cpu_seconds_total"), unit="short"),
        _one("Memory", f"rustorium_process_resident_memory_bytes{NODES}", unit="bytes"),
        _one("Free disk", f"rustorium_storage_free_bytes{NODES}", unit="bytes"),
        _one("Open files", f"rustorium_process_open_fds{NODES}"),
        _one(
            "Uptime",
            f"time() - rustorium_process_start_time_seconds{NODES}",
            unit="s",
            help="A drop to 0 is a restart.",
        ),
        Panel(
            "Proposals and pauses of operators",
            (
                _each(f"rustorium_governance_open_proposals{NODES}", "open"),
                _each(f"rustorium_governance_pauses{NODES}", "paused"),
            ),
            help="`rustorium-node status check` says which, and what to do.",
        ),
    ),
)

CONSENSUS = Board(
    "rustorium-consensus",
    "Rustorium / Consensus",
    (
        _stat("Validators", f"max(rustorium_consensus_validators{SHARDS})"),
        _stat("Missing validators", f"max(rustorium_consensus_missing_validators{SHARDS})"),
        _stat("Byzantine validators", f"max(rustorium_consensus_byzantine_validators{SHARDS})"),
        _stat("Epoch", f"max(rustorium_consensus_epoch{SHARDS})"),
        _stat("View", f"max(rustorium_consensus_view{SHARDS})"),
        _stat("Retired keys", f"sum(max by (instance) (rustorium_consensus_key_retired{SHARDS}))"),
        _one("Missing validators", f"rustorium_consensus_missing_validators{SHARDS}", help="As each node sees it."),
        _one("Failed views", _rate("rustorium_consensus_nullified_views_total"), unit="ops"),
        Panel(
            "Views per block",
            (_each(_mean("rustorium_consensus_block_views")),),
            help="1 if no view failed; like CometBFT's rounds.",
        ),
        _times("Block interval", "rustorium_consensus_block_interval_seconds", "By the times in the headers."),
        _times(
            "Time to the proposal",
            "rustorium_consensus_propose_seconds",
            "From the start of the view, or from when there is work.",
        ),
        Panel(
            "Time to the proposal, by leader",
            (
                (
                    f"{_rate('rustorium_consensus_leader_propose_seconds_total', 'shard, peer')} / "
                    f"{_rate('rustorium_consensus_leader_proposals_total', 'shard, peer')}",
                    "leader {{peer}} of shard {{shard}}",
                ),
            ),
            "s",
            help="As seen by all selected nodes. A leader far above the others makes everybody wait.",
        ),
        _times(
            "Time to the payload",
            "rustorium_consensus_payload_seconds",
            "From the proposal until everything that it lists has arrived.",
        ),
        _times("Time to the notarization", "rustorium_consensus_notarize_seconds", "From the proposal."),
        _times("Time to the finalization", "rustorium_consensus_finalize_seconds", "From the notarization."),
        _times(
            "Duration of views", "rustorium_consensus_view_seconds", "From entering a view to entering a later one."
        ),
        Panel(
            "Heights without a certified result",
            (_each(f"rustorium_consensus_height{SHARDS} - rustorium_consensus_claimed_height{SHARDS}"),),
        ),
        _one("Peers that became silent", _rate("rustorium_consensus_silences_total"), unit="ops"),
        _one("Suspicion of peers (phi)", f"rustorium_node_peer_suspicion{NODES}", "{{instance}} of {{peer}}"),
        _one("Steps of the consensus core", _rate("rustorium_python_steps_total", "kind"), "{{kind}}", unit="ops"),
        _times("CPU time of a step", "rustorium_python_step_cpu_seconds"),
        _times("Duration of a step", "rustorium_python_step_wall_seconds"),
    ),
)

STATE = Board(
    "rustorium-state",
    "Rustorium / Shards and state",
    (
        _times("Time to execute a block", "rustorium_execution_block_seconds"),
        _times("Time to commit a block", "rustorium_storage_commit_seconds"),
        _times("Time to sync the journal", "rustorium_storage_journal_sync_seconds", "Every vote waits for it."),
        Panel(
            "Transactions per block",
            (_each(_mean("rustorium_execution_block_transactions")),),
        ),
        _one("Skipped transactions", _rate("rustorium_execution_skipped_transactions_total"), unit="ops"),
        _one("Empty blocks", _rate("rustorium_execution_empty_blocks_total"), unit="ops"),
        Panel(
            "Hit rate of the state cache",
            (
                _each(
                    f"{_rate('rustorium_storage_cache_hits_total')} / ({_rate('rustorium_storage_cache_hits_total')} + "
                    f"{_rate('rustorium_storage_cache_misses_total')})"
                ),
            ),
            "percentunit",
        ),
        _one("Size of the state cache", f"rustorium_storage_cache_bytes{SHARDS}", unit="bytes"),
        _one("Committed bytes", _rate("rustorium_storage_commit_bytes_total"), unit="Bps"),
        _one("Bytes written to the journal", _rate("rustorium_storage_journal_bytes_total"), unit="Bps"),
        _one("Records of the journal", _rate("rustorium_storage_journal_records_total"), unit="ops"),
        _one("Syncs of the journal", _rate("rustorium_storage_journal_syncs_total"), unit="ops"),
        _one("Segments of the journal", f"rustorium_storage_journal_segments{SHARDS}"),
        Panel(
            "Size of the journal",
            (
                _each(f"rustorium_storage_journal_held_bytes{SHARDS}", "held by"),
                _each(f"rustorium_storage_journal_live_bytes{SHARDS}", "needed by"),
            ),
            "bytes",
            help="Held: from the oldest needed record to the end. Needed: the records that are still needed.",
        ),
        Panel(
            "Heights not on disk yet",
            (_each(f"rustorium_consensus_height{SHARDS} - rustorium_storage_durable_height{SHARDS}"),),
            help="The journal would replay the commits of these heights.",
        ),
        Panel(
            "Heights without a state root yet",
            (_each(f"rustorium_consensus_height{SHARDS} - rustorium_state_rooted_height{SHARDS}"),),
        ),
        _times("Time to compute a state root", "rustorium_state_root_seconds"),
        _one("Requests for proofs", _rate("rustorium_proofs_asked_total"), unit="ops"),
        _times("Time to make a state proof", "rustorium_proofs_seconds"),
        _times("Time to check clients' signatures", "rustorium_txpool_verify_seconds"),
        _times("Waiting time of a batch for more transactions", "rustorium_txpool_gather_seconds"),
        _one(
            "Queue lengths",
            f"rustorium_node_queue_length{SHARDS}",
            "{{stage}} of {{instance}}, shard {{shard}}",
        ),
    ),
)

NETWORK = Board(
    "rustorium-network",
    "Rustorium / Network and abuse",
    (
        _one("Connected links", f"sum by (instance) (rustorium_transport_link_up{NODES})"),
        _one("Round trips", f"rustorium_transport_rtt_seconds{NODES}", "{{instance}} to {{peer}}", unit="s"),
        _one("Reconnected links", _rate("rustorium_transport_reconnects_total", "instance"), unit="ops"),
        _one(
            "Sent",
            _rate("rustorium_transport_sent_bytes_total", "instance, class"),
            "{{instance}} {{class}}",
            unit="Bps",
        ),
        _one(
            "Received",
            _rate("rustorium_transport_received_bytes_total", "instance, class"),
            "{{instance}} {{class}}",
            unit="Bps",
        ),
        _one(
            "Bytes waiting to be sent",
            f"sum by (instance, class) (rustorium_transport_queue_bytes{NODES})",
            "{{instance}} {{class}}",
            unit="bytes",
        ),
        _one(
            "Frames refused because a queue was full",
            _rate("rustorium_transport_full_frames_total", "instance, class"),
            "{{instance}} {{class}}",
            unit="ops",
        ),
        Panel(
            "Lost packets",
            (
                (
                    f"{_rate('rustorium_transport_lost_packets_total', 'instance')} / "
                    f"{_rate('rustorium_transport_sent_packets_total', 'instance')}",
                    "{{instance}}",
                ),
            ),
            "percentunit",
        ),
        _one(
            "Congestion",
            _rate("rustorium_transport_congestion_events_total", "instance"),
            unit="ops",
        ),
        _one("Refused peers", _rate("rustorium_transport_refusals_total", "reason"), "{{reason}}", unit="ops"),
        Panel(
            "Address validations (QUIC Retry)",
            (
                (_rate("rustorium_transport_address_proofs_total"), "peers {{instance}}"),
                (_rate("rustorium_gateway_address_proofs_total"), "clients {{instance}}"),
            ),
            "ops",
        ),
        _one("Followers", f"rustorium_transport_followers{NODES}"),
        _one("HTTP responses", _rate("rustorium_gateway_http_responses_total", "status"), "{{status}}", unit="ops"),
        Panel(
            "Duration of a request",
            (
                (_quantile("rustorium_gateway_http_seconds", 0.5, "kind"), "p50 {{kind}}"),
                (_quantile("rustorium_gateway_http_seconds", 0.99, "kind"), "p99 {{kind}}"),
            ),
            "s",
        ),
        _one(
            "Submitted transactions",
            _rate("rustorium_gateway_submitted_transactions_total", "face"),
            "{{face}}",
            unit="ops",
        ),
        Panel(
            "Refused as busy",
            (
                (_rate("rustorium_gateway_busy_transactions_total", "face"), "{{face}}"),
                (_rate("rustorium_gateway_busy_total"), "full pool {{instance}}"),
            ),
            "ops",
        ),
        _one("Client connections", f"sum by (face) (rustorium_gateway_connections{NODES})", "{{face}}"),
        _one(
            "Refused connections",
            _rate("rustorium_gateway_refused_connections_total", "instance, face"),
            "{{instance}} {{face}}",
            unit="ops",
        ),
        _one("Event streams", f"rustorium_gateway_event_streams{NODES}"),
        _one("Transactions with waiting clients", f"rustorium_gateway_waiting_transactions{NODES}"),
        _times("Time to notify clients", "rustorium_gateway_notify_seconds"),
    ),
)

BOARDS = (OVERVIEW, CONSENSUS, STATE, NETWORK)


def grafana(board: Board) -> str:
    """Returns a board as Grafana's JSON."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    made = {
        "uid": board.name,
        "title": board.title,
        "tags": ["rustorium"],
        "editable": True,
        "schemaVersion": SCHEMA,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Rustorium", "tags": ["rustorium"], "asDropdown": True}],
        "templating": {"list": _variables(source)},
        "panels": list(_panels(board.panels, source)),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _variables(source: dict[str, str]) -> list[dict[str, Any]]:
    every = {"includeAll": True, "multi": True, "refresh": 2, "sort": 1, "current": {"text": "All", "value": "$__all"}}
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "node",
            "label": "Node",
            "type": "query",
            "datasource": source,
            "query": "label_values(rustorium_consensus_height, instance)",
            **every,
        },
        {
            "name": "shard",
            "label": "Shard",
            "type": "query",
            "datasource": source,
            "query": "label_values(rustorium_consensus_height, shard)",
            # Also the series of earlier releases, which name no shard.
            "allValue": ".*",
            **every,
        },
    ]


def _panels(panels: Sequence[Panel], source: dict[str, str]) -> Iterator[dict[str, Any]]:
    left = top = 0
    for number, panel in enumerate(panels, 1):
        height = 4 if panel.kind == "stat" else 8
        if left + panel.width > WIDTH:
            left, top = 0, top + 8
        yield {
            "id": number,
            "title": panel.title,
            "description": panel.help,
            "type": panel.kind,
            "datasource": source,
            "gridPos": {"x": left, "y": top, "w": panel.width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind != "stat" else {},
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": source, "expr": query, "legendFormat": legend}
                for place, (query, legend) in enumerate(panel.queries)
            ],
        }
        left += panel.width


def queries() -> Iterator[tuple[str, str]]:
    """Yields each query with its board and panel, for tests."""
    for board in BOARDS:
        for panel in board.panels:
            for query, _ in panel.queries:
                yield f"{board.name}: {panel.title}", query
