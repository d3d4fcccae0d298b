"""For each alert, series for which it must fire and series for which it must not, in the form of `promtool test rules`:
one value each half minute."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOUR = 120
"""Number of values in an hour."""


@dataclass(frozen=True)
class Case:
    """`bad` and `good` are series (without their `instance`) and their values: the node `bad` fires, `good` doesn't."""

    alert: str
    bad: dict[str, str]
    good: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of the alert besides the instance."""
    also: dict[str, str] = field(default_factory=dict)
    """Series of other nodes, with their labels."""


def steady(value: object) -> str:
    return f"{value}x{HOUR}"


def rising(step: object) -> str:
    return f"0+{step}x{HOUR}"


def named(name: str, **labels: str) -> str:
    return name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")


C, S, T = "rustorium_consensus", "rustorium_storage", "rustorium_transport"
UP = named("up", job="rustorium")
PEER = {"peer": "2"}
DOWN = named(f"{T}_link_up", **PEER)
LOST, SENT = named(f"{T}_lost_packets_total", **PEER), named(f"{T}_sent_packets_total", **PEER)
DISK = f"{S}_disk_bytes"
SHARD = {"shard": "0"}
VALIDATOR = {named("rustorium_node_build", role="validator"): steady(1)}
FOLLOWER = {named("rustorium_node_build", role="follower"): steady(1)}
REFUSED = named(f"{T}_refusals_total", reason="identity")


def of(shard: int, **values: str) -> dict[str, str]:
    """Returns a shard's series, each with its area and values."""
    return {named(f"rustorium_{name}", shard=str(shard)): value for name, value in values.items()}


def governing(**counts: int) -> dict[str, str]:
    return {f"rustorium_governance_{name}": steady(count) for name, count in counts.items()}


def finality(fast: int, slow: int) -> dict[str, str]:
    bucket = "rustorium_gateway_finality_seconds_bucket"
    counts = {"0.5": fast, "4": fast + slow, "+Inf": fast + slow}
    return {named(bucket, le=bound): rising(count) for bound, count in counts.items()}


CASES = [
    Case("RustoriumNodeDown", {UP: steady(0)}, {UP: steady(1)}, {"job": "rustorium"}),
    Case("RustoriumNodeNotReady", {"rustorium_node_ready": steady(0)}, {"rustorium_node_ready": steady(1)}),
    Case(
        "RustoriumQuorumLost",
        VALIDATOR | of(0, consensus_missing_validators=steady(2), consensus_validators=steady(4)),
        VALIDATOR | of(0, consensus_missing_validators=steady(1), consensus_validators=steady(4)),
        SHARD,
    ),
    Case(
        "RustoriumQuorumLost",
        VALIDATOR | of(0, consensus_missing_validators=steady(3), consensus_validators=steady(7)),
        FOLLOWER | of(0, consensus_missing_validators=steady(3), consensus_validators=steady(7)),
        SHARD,
    ),
    # A node of an earlier release, whose series name no shard.
    Case(
        "RustoriumQuorumLost",
        VALIDATOR | {f"{C}_missing_validators": steady(2), f"{C}_validators": steady(4)},
        VALIDATOR | {f"{C}_missing_validators": steady(1), f"{C}_validators": steady(4)},
    ),
    Case(
        "RustoriumValidatorsMissing",
        VALIDATOR | of(0, consensus_missing_validators=steady(1)),
        VALIDATOR | of(0, consensus_missing_validators=steady(0)),
        SHARD,
    ),
    Case(
        "RustoriumValidatorsMissing",
        VALIDATOR | of(0, consensus_missing_validators=steady(1)),
        FOLLOWER | of(0, consensus_missing_validators=steady(1)),
        SHARD,
    ),
    Case(
        "RustoriumByzantineValidator",
        of(0, consensus_byzantine_validators=steady(1)),
        of(0, consensus_byzantine_validators=steady(0)),
        SHARD,
    ),
    Case("RustoriumKeyRetired", of(0, consensus_key_retired=steady(1)), of(0, consensus_key_retired=steady(0)), SHARD),
    Case(
        "RustoriumChainStalled",
        of(0, txpool_able=steady(3), consensus_height=steady(7)),
        of(0, txpool_able=steady(3), consensus_height=rising(1)),
        SHARD,
    ),
    Case(
        "RustoriumChainStalled",
        of(0, txpool_able=steady(1), consensus_height=steady(7)),
        of(0, txpool_able=steady(0), consensus_height=steady(7)),
        SHARD,
    ),
    # What waits for a nonce before it makes no block.
    Case(
        "RustoriumChainStalled",
        of(0, txpool_transactions=steady(3), txpool_able=steady(3), consensus_height=steady(7)),
        of(0, txpool_transactions=steady(3), txpool_able=steady(0), consensus_height=steady(7)),
        SHARD,
    ),
    # Transactions of one shard say nothing of the height of another.
    Case(
        "RustoriumChainStalled",
        of(0, txpool_able=steady(3), consensus_height=steady(7)),
        of(0, txpool_able=steady(3), consensus_height=rising(1))
        | of(1, txpool_able=steady(0), consensus_height=steady(7)),
        SHARD,
    ),
    Case("RustoriumNodeBehind", of(0, consensus_height=steady(100)), of(0, consensus_height=steady(1_000)), SHARD),
    Case("RustoriumNodeBehind", {f"{C}_height": steady(100)}, {f"{C}_height": steady(1_000)}),
    # A young shard isn't behind an old one.
    Case(
        "RustoriumNodeBehind",
        of(0, consensus_height=steady(100)) | of(1, consensus_height=steady(7)),
        of(0, consensus_height=steady(1_000)) | of(1, consensus_height=steady(9)),
        SHARD,
    ),
    Case(
        "RustoriumViewsFail",
        of(0, consensus_nullified_views_total=rising(10)),
        of(0, consensus_nullified_views_total=rising(1)),
        SHARD,
    ),
    Case("RustoriumFinalitySlow", finality(90, 10), finality(1_000, 1)),
    Case(
        "RustoriumDiskSlow",
        of(0, storage_journal_sync_seconds_sum=rising(10), storage_journal_sync_seconds_count=rising(100)),
        of(0, storage_journal_sync_seconds_sum=rising(1), storage_journal_sync_seconds_count=rising(100)),
        SHARD,
    ),
    Case("RustoriumDiskFull", {f"{S}_free_bytes": steady(10**9)}, {f"{S}_free_bytes": steady(10**10)}),
    Case(
        "RustoriumDiskFull",
        {f"{S}_free_bytes": f"{10**12}-{10**9}x{HOUR}", DISK: steady(10**13)},
        {f"{S}_free_bytes": f"{10**12}-{10**8}x{HOUR}", DISK: steady(10**13)},
    ),
    Case(
        "RustoriumDiskFull",
        {f"{S}_free_bytes": f"{10**12}-{10**9}x{HOUR}", DISK: steady(10**13)},
        {f"{S}_free_bytes": f"{10**12}-{10**9}x{HOUR}", DISK: steady(2 * 10**12)},
    ),
    Case(
        "RustoriumDiskFullSoon",
        {f"{S}_free_bytes": f"{10**12}-{10**8}x{HOUR}"},
        {f"{S}_free_bytes": f"{10**12}-{10**6}x{HOUR}"},
    ),
    Case("RustoriumStoreDamaged", of(0, storage_damaged=steady(1)), of(0, storage_damaged=steady(0)), SHARD),
    Case("RustoriumBusy", {"rustorium_gateway_busy_total": rising(1)}, {"rustorium_gateway_busy_total": steady(5)}),
    Case("RustoriumLinkDown", VALIDATOR | {DOWN: steady(0)}, VALIDATOR | {DOWN: steady(1)}, PEER),
    Case("RustoriumLinkDown", VALIDATOR | {DOWN: steady(0)}, FOLLOWER | {DOWN: steady(0)}, PEER),
    Case("RustoriumPacketsLost", {LOST: rising(10), SENT: rising(100)}, {LOST: rising(1), SENT: rising(100)}, PEER),
    Case("RustoriumPeersRefused", {REFUSED: rising(60)}, {REFUSED: rising(10)}),
    Case(
        "RustoriumRestarts",
        {"rustorium_process_start_time_seconds": rising(1)},
        {"rustorium_process_start_time_seconds": steady(7)},
    ),
    Case("RustoriumAccountsPaused", governing(pauses=1), governing(pauses=0)),
    Case("RustoriumProposalOpen", governing(open_proposals=2), governing(open_proposals=0)),
    Case("RustoriumOperatorsThin", governing(seats=2, quorum=2), governing(seats=3, quorum=2)),
    Case("RustoriumOperatorsThin", governing(seats=1, quorum=1), governing(seats=0, quorum=0)),
    Case(
        "RustoriumFileDescriptors",
        {"rustorium_process_open_fds": steady(900), "rustorium_process_max_fds": steady(1_024)},
        {"rustorium_process_open_fds": steady(100), "rustorium_process_max_fds": steady(1_024)},
    ),
]


def promtool_test(rules: Path, severities: dict[str, str]) -> str:
    """Returns the file for `promtool test rules`; JSON is valid YAML."""
    tests = [_test(case, severities[case.alert]) for case in CASES]
    return json.dumps({"rule_files": [str(rules)], "evaluation_interval": "30s", "tests": tests}, indent=1)


def _test(case: Case, severity: str) -> dict[str, Any]:
    series = [
        {"series": _of(name, instance), "values": values}
        for instance, all_ in (("bad", case.bad), ("good", case.good))
        for name, values in all_.items()
    ]
    fires = {"alertname": case.alert, "alertstate": "firing", "instance": "bad", "severity": severity, **case.labels}
    inside = ",".join(f'{name}="{value}"' for name, value in sorted(fires.items()))
    return {
        "name": case.alert,
        "interval": "30s",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
                "eval_time": "50m",
                "exp_samples": [{"labels": f"ALERTS{{{inside}}}", "value": 1}],
            }
        ],
    }


def _of(name: str, instance: str) -> str:
    bare, _, labels = name.partition("{")
    return f'{bare}{{instance="{instance}"' + (f",{labels}" if labels else "}")
