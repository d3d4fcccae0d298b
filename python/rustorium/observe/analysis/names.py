"""The stages of a transaction in their order, and the metrics in which a node measures them."""

from dataclasses import dataclass

TRANSACTIONS = "rustorium_execution_transactions"
FINALITY = "rustorium_gateway_finality_seconds"
SYNC = "rustorium_storage_journal_sync_seconds"
STEP_CPU = "rustorium_python_step_cpu_seconds"
STEP_WALL = "rustorium_python_step_wall_seconds"
RTT = "rustorium_transport_rtt_seconds"
LEADER_SECONDS = "rustorium_consensus_leader_propose_seconds"
LEADER_PROPOSALS = "rustorium_consensus_leader_proposals"
PLACE = "rustorium_consensus_place"
ROOT = "0"
"""The shard of nodes of earlier releases, which don't name it."""


def member(shard: str, place: str) -> str:
    """Returns the name of a committee's member in the label `peer` of links."""
    return place if shard in ("", ROOT) else f"{shard}/{place}"


def shard_of(name: str) -> str:
    """Returns the shard in whose committee a member has this name."""
    shard, slash, _ = name.partition("/")
    return shard if slash else ROOT


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a transaction."""

    name: str
    metric: str
    what: str
    own: bool
    """`True` if it is one node's own work; otherwise it waits for others too."""
    advice: str
    """Advice if most of the time goes to this stage."""


STAGES = (
    Stage(
        "submit",
        "rustorium_txpool_verify_seconds",
        "a client's transaction waits until its signature is checked",
        True,
        "signatures are checked on all cores: give the nodes more of them, or spread clients over more nodes",
    ),
    Stage(
        "pool",
        "rustorium_txpool_gather_seconds",
        "the oldest transaction of a batch waits for more transactions",
        True,
        "a batch waits for at most txpool.batch_delay_us: lower it, at the cost of more and smaller batches",
    ),
    Stage(
        "propose",
        "rustorium_consensus_propose_seconds",
        "from a view's start, or from the first work after it, until its proposal arrives",
        False,
        "leaders propose late: check for a node that is slow or far away, or a load that leaves the core no time",
    ),
    Stage(
        "notarize",
        "rustorium_consensus_notarize_seconds",
        "from the proposal to the first votes of a quorum",
        False,
        "each vote takes a sync of the voter's journal and a trip to the others: look at disks and links below",
    ),
    Stage(
        "finalize",
        "rustorium_consensus_finalize_seconds",
        "from the notarization to the second votes of a quorum",
        False,
        "each vote takes a sync of the voter's journal and a trip to the others: look at disks and links below",
    ),
    Stage(
        "execute",
        "rustorium_execution_block_seconds",
        "a block's transactions are executed",
        True,
        "one thread executes: use faster cores, fewer operations a transaction, or a larger storage.cache_bytes",
    ),
    Stage(
        "persist",
        "rustorium_storage_commit_seconds",
        "a block's changes are written to the store",
        True,
        "use a faster disk for db/, or keep fewer heights (storage.keep)",
    ),
    Stage(
        "notify",
        "rustorium_gateway_notify_seconds",
        "clients that wait for a block's outcome are notified",
        True,
        "many clients wait on one node: spread them over more nodes",
    ),
)
