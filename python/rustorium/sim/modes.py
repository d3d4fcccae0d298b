"""The modes of the simulator's runs.

Invariants: a mode's name is a word of `sim run --mode` and of a run's printed line.
"""

from enum import Enum

FAULT_KINDS = (
    "delay",
    "loss",
    "reorder",
    "duplicate",
    "partition",
    "crash",
    "crash within a step",
    "power loss",
    "forgotten records",
    "forgotten store writes",
    "full disk",
    "failing disk",
    "slow node",
    "wiped node",
    "silent traitor",
    "withheld batch",
    "withheld vote",
)
EPOCH_FAULT_KINDS = (
    *FAULT_KINDS,
    "asked to admit",
    "asked to remove",
    "asked to replace key",
    "asked to end epoch",
    "crash at a boundary",
    "late node",
    "new key",
)
"""Kinds of faults in runs whose committees change."""


class Mode(Enum):
    SAFETY = "safety"
    """Faults to the end; only the invariants are checked."""
    LIVENESS = "liveness"
    """Faults stop. Then all that clients sent must become final, and the chain must come to rest."""
    EPOCHS = "epochs"
    """LIVENESS while committees grow, shrink and change their keys. The changes that are due must take effect."""
    TRAITORS = "traitors"
    """LIVENESS with as many traitors as possible: the seed names their kinds, every combination in turn."""
    PARTITIONS = "partitions"
    """The seed names a partition of the nodes, every one in turn: it holds, heals, and then the run continues as
    LIVENESS. After the last partition they begin again, with traitors."""
    TWINS = "twins"
    """The seed's number names a scenario of `twins`."""
    BAD_HOURS = "bad-hours"
    """Up to 1,000 views in a row without a final block, members away during parts of them, deaths and restarts after
    them. Then a final block must come soon, and then the run continues as LIVENESS."""
    ATTACKS = "attacks"
    """LIVENESS with traitors that waste others' time and memory: the seed names their kinds, every combination in
    turn."""
    CLOCKS = "clocks"
    """LIVENESS with clocks that jump by up to an hour, and a final block soon after the last jump."""
    HOSTS = "hosts"
    """LIVENESS of two shards that share processes and links. A host also ends by itself, and is started again."""
    SHARDS = "shards"
    """A run of one of `SHARED`, every one in turn, of two shards. Their committees are the same, overlap, or have no
    node in common. Nodes host the root shard and the shards of whose committees they are members."""
    QUOTA = "quota"
    """LIVENESS on a chain whose accounts, and all of them together, have less quota than clients want. Nobody uses more
    than V59 allows in any window, and what waits becomes final."""
    AUTHORITY = "authority"
    """A run of one of the modes above, every one of `SECOND` in turn, with accounts whose keys change, their recovery
    account, and thieves of former keys. At the end the keys in effect act on a chain at rest."""
    GOVERNANCE = "governance"
    """A run of one of `SEATED` in the same way. Operators' seats propose, approve and withdraw changes, and change
    their keys. Parameters and operators change at ends of epochs. A light client follows. At the end live seats make a
    change."""
    PAUSE = "pause"
    """A run of one of `SEATED`, in which seats pause all accounts or single ones. What waits is executed afterwards."""
    ACTIVATE = "activate"
    """A run of one of the modes above, every one in turn, on a chain that goes from version 1 to version 2."""
    ACTIVATE_FEW = "activate-few"
    """At the switch fewer than n − f members run this release. The chain stands until one more is installed."""
    ACTIVATE_AT_END = "activate-at-end"
    """Operators put their values as the clock ends the epoch."""
    ACTIVATE_TWICE = "activate-twice"
    """Two operators put values: different ones, the same one, or a second one when version 2 is active."""
    ACTIVATE_COMMITTEE = "activate-committee"
    """The committee changes in the epoch for which the values are."""
    ACTIVATE_AWAY = "activate-away"
    """Members are away during the switch; some come back with 0.2.0."""
    ACTIVATE_POWER_CUT = "activate-power-cut"
    """All nodes lose power at a step of the switch, every one in turn."""
    ACTIVATE_BACK = "activate-back"
    """Members go back to 0.2.0 before the switch or after it, and come again to this release."""


OF_SEATS = (Mode.GOVERNANCE, Mode.PAUSE)
"""Modes in which seats act."""
OF_VERSION_2 = (Mode.SHARDS, Mode.QUOTA, Mode.AUTHORITY, *OF_SEATS)
"""Modes of what version 1 doesn't have."""
ACTIVATED = tuple(mode for mode in Mode if not mode.value.startswith("activate") and mode not in OF_VERSION_2)
"""Modes that a run of ACTIVATE has, each in turn."""
SECOND = (Mode.LIVENESS, Mode.EPOCHS, Mode.TRAITORS, Mode.PARTITIONS, Mode.CLOCKS, Mode.HOSTS)
"""Modes that a run of AUTHORITY has, each in turn."""
SHARED = (Mode.HOSTS, Mode.SAFETY, Mode.TRAITORS, Mode.PARTITIONS, Mode.CLOCKS, Mode.ATTACKS, Mode.BAD_HOURS)
"""Modes that a run of SHARDS has, each in turn."""
SEATED = (Mode.LIVENESS, Mode.TRAITORS, Mode.PARTITIONS, Mode.CLOCKS)
"""Modes that runs with seats have, each in turn. Only the root shard has seats."""
