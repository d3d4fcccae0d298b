"""Every known trouble of a node: its code, its severity, the act that heals it, and advice for the operator.

Invariants: PURE; a code never changes once published. `journal-…` has no act but to wait or to ask: no program can find
out what the journal may have forgotten, and a validator that signs twice is worse than one that is away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The effect of a finding on the node's service."""

    DEGRADED = "degraded"
    """The node serves, but not as well as it should."""
    NOT_READY = "not-ready"
    """The node should not be asked anything."""


class Act(StrEnum):
    """The act that heals."""

    WAIT = "wait"
    """No act: the trouble passes, or others must act."""
    RESTART = "restart"
    """The process ends and starts again."""
    REFILL = "refill"
    """The store is moved aside, and peers fill a new one with what they can prove."""
    FREE = "free"
    """Files that the node doesn't need are removed: stores that were moved aside, logs of inputs."""
    PRUNE = "prune"
    """The node is started again with fewer heights kept, if its operator allows that."""
    ASK = "ask"
    """No act until a person has done something."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A known trouble."""

    severity: Severity
    act: Act
    advice: str
    keep: bool = False
    """`True`: a store that is moved aside because of it is evidence, and stays until a person removes it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A trouble of a running node."""

    code: str
    evidence: str
    since_ms: int
    """Unix ms."""

    @property
    def kind(self) -> Kind:
        return FINDINGS[self.code]


_REFILL = "`recover auto` or `recover manual` moves the store aside and has the peers fill a new one"

NOT_HEARD = "not heard for"
"""Words between a silent peer's name and the time, in the evidence of `peers-suspected`."""
FINDINGS: Mapping[str, Kind] = {
    "wedged": Kind(Severity.NOT_READY, Act.RESTART, "restart the node, and report its log, which says what hung"),
    "disk-stalled": Kind(
        Severity.NOT_READY,
        Act.WAIT,
        "the disk has stopped answering: check it; the node continues when the disk answers",
    ),
    "disk-slow": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "votes are sent late: remove other load from the disk, or give the node a faster one",
    ),
    "disk-low": Kind(Severity.DEGRADED, Act.FREE, "free space on the disk, or lower storage.keep"),
    "journal-large": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "check whether blocks become final, and search the log for a member that equivocates; if neither is the cause, "
        "report this finding, and restart the node before its disk is full",
    ),
    "history-cut": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "give the node a larger disk, or lower storage.keep: this node no longer has the history that was cut",
    ),
    "store-corrupt": Kind(Severity.NOT_READY, Act.REFILL, f"check the disk; {_REFILL}"),
    "diverged": Kind(
        Severity.NOT_READY,
        Act.REFILL,
        f"report this finding, and keep the store that is moved aside: it shows what went wrong; {_REFILL}",
        keep=True,
    ),
    "behind-pruned": Kind(Severity.NOT_READY, Act.REFILL, f"the node was away for too long to catch up; {_REFILL}"),
    "peers-lost": Kind(
        Severity.NOT_READY,
        Act.WAIT,
        "check that those validators run, that config.toml has their addresses, and that their genesis names the same "
        "chain (`genesis show`): nodes of another chain are refused",
    ),
    "not-served": Kind(
        Severity.NOT_READY,
        Act.WAIT,
        "validators serve only members and the followers that they name: unless this node is a member, have the "
        "operator of a validator whose address it knows run `rustorium-node followers add KEY` (`keys show` prints the "
        "key of this home's node.key), or add the key to [p2p] followers in that validator's config.toml and restart "
        "it; if the key is named, check that the validator runs, that config.toml here has its address, and that both "
        "have the same genesis (`genesis show`)",
    ),
    "peer-other-chain": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "compare the genesis files with that validator's operator (`genesis show FILE` shows a file's chain): whoever "
        "has the wrong one stops that node and makes a home with the right one; if only the address is wrong, correct "
        "p2p.peers in config.toml",
    ),
    "chain-stands": Kind(
        Severity.NOT_READY,
        Act.WAIT,
        "have `status check` ask all nodes (`--net`, or `--node` for each): start those that don't answer, and give a "
        "new key to those that are retired; what waits becomes final once a quorum signs again",
    ),
    "peers-suspected": Kind(
        Severity.DEGRADED, Act.WAIT, "check those nodes: they are connected but send nothing, or too rarely"
    ),
    "leaders-mute": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "ask their operators: this node skips their turns until they propose in time again (R17b)",
    ),
    "peer-cut-off": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "ask that validator's operator to check its release and its keys; if this continues, the operators should "
        "replace the validator",
    ),
    "many-liars": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "more validators than the committee tolerates sent false signatures: compare releases with their operators, and"
        " check this machine's memory and processor",
    ),
    "catching-up": Kind(Severity.NOT_READY, Act.WAIT, "wait: the node executes what it has missed"),
    "chain-ahead-of-clock": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "set this machine's clock; if it is right, other validators' clocks were ahead: the chain goes on, but its "
        "time stands nearly still until the clocks have caught up",
    ),
    "block-ahead-of-clock": Kind(
        Severity.DEGRADED, Act.WAIT, "compare the clocks of this machine and of that validator, and set the wrong one"
    ),
    "home-leaves-out": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "transactions of that validator's senders now go to other validators first: ask its operator whether it is "
        "overloaded or omits them on purpose",
    ),
    "lane-junk": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "ask that validator's operator what it lists: either clients send it what they have no quota for, or it fills "
        "disks on purpose; operators can replace it",
    ),
    "certificate-ends": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "write a new certificate and its key to the files that gateway.tls_certificate and gateway.tls_key name: the "
        "gateway uses them without a restart",
    ),
    "tls-files-unusable": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "correct the files: until then the gateway keeps using the old ones, and a restart of the node would fail",
    ),
    "signer-unreachable": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "start the signer process (`rustorium-node signer run`), or repair what the evidence names: the node goes on "
        "without voting, and votes again when the signer is back",
    ),
    "signer-refuses": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "look for another node that uses this validator key, and stop it; a few refusals after a crash of this node "
        "are no fault",
    ),
    "shard-trouble": Kind(
        Severity.DEGRADED,
        Act.WAIT,
        "read the evidence, which names the shard: the node's other shards go on, and a shard that ended is started "
        "again by itself; `recover auto` or `recover manual` refills a damaged store of it; if it ends again and again "
        "for another reason, do what its code asks for",
    ),
    "not-in-committee": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "`node list` shows the next committee: if this key is in it, wait for the next epoch, which operators can "
        "begin with `node end-epoch`; if not, have the operators admit the validator with `node add`, or start the "
        "node with --role follower",
    ),
    "key-retired": Kind(
        Severity.DEGRADED,
        Act.ASK,
        "stop the node and run `rustorium-node node replace-key`, or let it run as a follower",
    ),
}

ENDINGS: Mapping[str, Act] = {
    # The store is not what was written.
    "store-corrupt": Act.REFILL,
    "store-keys-lost": Act.REFILL,
    "diverged": Act.REFILL,
    "snapshot-too-new": Act.REFILL,
    "journal-missing": Act.REFILL,
    # Another start may not have this trouble.
    "store-missing": Act.RESTART,
    "store-failed": Act.RESTART,
    "state-tree-failed": Act.RESTART,
    "journal-failed": Act.RESTART,
    "audit-failed": Act.RESTART,
    "core-fault": Act.RESTART,
    "thread-panicked": Act.RESTART,
    "process-panicked": Act.RESTART,
    "internal": Act.RESTART,
    "system": Act.RESTART,
    "port-in-use": Act.RESTART,
    "listen-failed": Act.RESTART,
    "died": Act.RESTART,
    "disk-full": Act.FREE,
    # Only a person can change these.
    "journal-retired": Act.ASK,
    "journal-corrupt": Act.ASK,
    "rekey-unfinished": Act.ASK,
    "restart-begun": Act.ASK,
    "home-locked": Act.ASK,
    "wrong-storage-key": Act.ASK,
    "home-newer": Act.ASK,
    "home-older": Act.ASK,
    "upgrade-unfinished": Act.ASK,
    "format-unknown": Act.ASK,
    "protocol-newer": Act.ASK,
}
"""Acts by the code that a node ended with. An unlisted code (a configuration, a key, a genesis) is for a person."""

ENDS_PROCESS = frozenset(
    [
        "disk-full",
        "audit-failed",
        "journal-retired",
        "key-in-use",
        "config-invalid",
        "port-in-use",
        "listen-failed",
        "process-panicked",
        "system",
        "stopped",
    ]
)
"""Endings of a hosted shard that concern the whole process: its disk, keys, links, servers or threads."""

KEPT = frozenset(code for code, kind in FINDINGS.items() if kind.keep)


def act_for(code: str) -> Act:
    """Returns the act that heals a finding or an ending."""
    if code in FINDINGS:
        return FINDINGS[code].act
    return ENDINGS.get(code, Act.ASK)


def ends_process(code: str) -> bool:
    """Returns whether a hosted shard that ended with this code must take the others with it."""
    return code in ENDS_PROCESS


def retired_because(said: object) -> str:
    """Returns the node's reason for a retired key; empty if the key isn't retired. A retirement mark that was cut short
    gives no reason, but it is still a mark."""
    return "" if said is None else str(said) or "the validator key is retired, and its mark doesn't say why"
