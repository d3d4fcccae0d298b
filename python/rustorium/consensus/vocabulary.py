"""The messages between the consensus core and a shard's data plane: inputs come up, effects go down.

Invariants: every value is immutable and hashable. No value holds a transaction, a batch or a single vote. No effect
returns a value: its result comes back as an input, late, twice or never. Times are integers in monotonic nanoseconds.
Digests are 32 bytes. Views and heights are integers from 0; view 0 and height 0 are the genesis block.
"""

from dataclasses import dataclass
from enum import IntEnum


class VoteKind(IntEnum):
    """The three votes of Simplex (Chan and Pass, 2023); a certificate has the kind of the votes in it."""

    NOTARIZE = 0
    NULLIFY = 1
    FINALIZE = 2


class PayloadStatus(IntEnum):
    """Progress of the data plane on one block: on its payload and on its claims."""

    PENDING = 0
    """Header, signature and ancestry fields are checked; payload or claims are not yet (fetching, verifying,
    executing)."""
    READY = 1
    """The whole payload is held and verified, and the claims agree with this node's own execution."""
    INVALID = 2
    """The block or its payload breaks a rule: this node never votes for it."""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """The part of a block that the core needs; the bytes stay in the data plane."""

    view: int
    height: int
    digest: bytes
    parent_view: int
    parent: bytes
    proposer: int
    time_ms: int
    has_payload: bool
    claimed_height: int
    """The executed height whose result root the header claims (0: only genesis)."""
    rooted_height: int = 0
    """The height whose state root the header claims (0: no claim)."""
    ends_epoch: bool = False
    """`True` if the header says that its epoch ends: the boundary block, or a closing block above it (R28)."""


@dataclass(frozen=True, slots=True)
class OwnVote:
    """A vote of this node that its journal holds; `digest` is `None` for a nullify."""

    kind: VoteKind
    view: int
    digest: bytes | None


# ---- inputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate, formed here or received. Arrives once per (kind, view), in any order. A finalization
    needs no decision: the data plane executes the final blocks without waiting for the core."""

    kind: VoteKind
    view: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """Contents of the store and the journal. The first input; repeated at each epoch's start, where everything before
    it is void (R29). `final` is the newest finalized block; at an epoch's start it is the boundary block before the
    epoch."""

    final: BlockFacts
    payload_height: int
    """The newest final height that had a payload (0: no such height)."""
    epoch: int
    me: int | None
    """This node's index in the epoch's committee; `None` if it is not a member and follows (R30)."""
    n: int
    """The size of the epoch's committee."""
    blocks: tuple[BlockFacts, ...] = ()
    """Blocks above the final one whose proposals the journal holds."""
    certificates: tuple[Certificate, ...] = ()
    votes: tuple[OwnVote, ...] = ()
    leaders: tuple[int, ...] = ()
    """The members that lead in ordinary cycles, by place (R1); empty: all members."""
    seed: int | None = None
    """The seed of the leaders' order. `None` on a chain of protocol version 1, where the leaders take turns by
    place."""
    boundary_view: int = 0
    """The view of the boundary block before the epoch: the epoch's own views begin above it."""
    backoff: int | None = None
    """K of R16, as this node knew it within the last hour; `None` if unknown. The core starts with the larger of this
    and its usual start value."""


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """A block is known: the first valid proposal of its view (also this node's own), or a fetched block. Repeated as
    the status moves on."""

    block: BlockFacts
    status: PayloadStatus


@dataclass(frozen=True, slots=True)
class WorkSeen:
    """Level-triggered: whether this node holds verified batches or transactions that could be listed on the newest
    notarized block (back-pressure off, not expired). `False` never wakes the core; it arrives with another input."""

    listable: bool


@dataclass(frozen=True, slots=True)
class ClaimReady:
    """Level-triggered, rising: a quorum's reports, this node's own among them, agree on the result root of `height`."""

    height: int


@dataclass(frozen=True, slots=True)
class RootReady:
    """Level-triggered, rising: a quorum's reports, this node's own among them, agree on the state root after
    `height`. An empty block made now on a chain that ends there could claim that root, because its root period is
    over by then."""

    height: int


@dataclass(frozen=True, slots=True)
class ClaimWanted:
    """A client waits for the certified result of `height`: an owed claim below it is work at once."""

    height: int


@dataclass(frozen=True, slots=True)
class EndDue:
    """Level-triggered: whether a block proposed now could be the epoch's boundary. That is so if the end is due, by
    time or after the height of the newest `ClaimReady`, and no boundary is final yet. `False` never wakes the core."""

    due: bool


@dataclass(frozen=True, slots=True)
class NullifiesSeen:
    """f + 1 validators have nullified `view`."""

    view: int


@dataclass(frozen=True, slots=True)
class HeldByNobody:
    """Level-triggered: runs of views (first, last) without a certificate at this node or at any peer that was asked. At
    most the newest 64 views."""

    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Proposed:
    """The leader of `view`, whom this node passes over, has proposed in `view`, even if the view is over. Sent once,
    whatever the proposal contains."""

    view: int


@dataclass(frozen=True, slots=True)
class PeerSilence:
    """Level-triggered: whether `peer` has been silent for three heartbeats (no frame from its consensus core)."""

    peer: int
    silent: bool


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Level-triggered: the measured round trips to the other members, by place, in microseconds; 0 for a peer that
    isn't measured and for this node. Never wakes the core."""

    us: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LaneCostly:
    """This node, as the leader of `view`, served a batch of `lane` to more than f peers, or has such fetches open."""

    lane: int
    view: int


@dataclass(frozen=True, slots=True)
class VoteRefused:
    """The guard in front of the signing key refused a vote, because the journal holds a vote that excludes it."""

    kind: VoteKind
    view: int


@dataclass(frozen=True, slots=True)
class Diverged:
    """This node's execution of `height` gave another root than a quorum claims: it stops voting until it is
    repaired."""

    height: int


@dataclass(frozen=True, slots=True)
class KeyRetired:
    """The journal lacks something that this node signed: the data plane signs nothing more and sends no heartbeats."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline that the core asked for has come."""


Input = (
    Recovered
    | BlockSeen
    | Certificate
    | WorkSeen
    | ClaimReady
    | RootReady
    | ClaimWanted
    | EndDue
    | NullifiesSeen
    | PeerSilence
    | RoundTrips
    | LaneCostly
    | VoteRefused
    | Diverged
    | KeyRetired
    | HeldByNobody
    | Proposed
    | Tick
)


# ---- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnterView:
    """The node is in `view` from now on. `because` is the certificate that justified entering it (`None` at start). The
    data plane moves its windows and sends that certificate with resends."""

    view: int
    because: Certificate | None
    leads: bool = False
    """`True` if this node leads the view: it then hears of work at once. Other nodes need work for their timers only,
    so `WorkSeen` may wait some milliseconds for an input that wakes them anyway."""
    epoch: int = 0
    """The epoch of the `Recovered` that the core goes by. The data plane drops effects in front of the first
    `EnterView` of its own epoch: they belong to an older epoch (R29)."""
    backoff: int = 0
    """K of R16, which a later `Recovered` brings back."""
    passed_over: tuple[int, ...] = ()
    """The leaders on this node's list (R17b), for status output."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Build a block of `view` on `parent` (a closing block if the parent ends this epoch, R28). Put payload and own
    notarize vote on disk, then send the block to all, with the parent's notarization and the nullifications of every
    view between. Comes back as `BlockSeen(READY)`. The proposal is this node's notarize vote of the view."""

    view: int
    parent_view: int
    parent: bytes
    claim_height: int
    """Claim the result root of this executed height, which a `ClaimReady` announced (never below the parent's
    claim)."""
    root_height: int = 0
    """Claim the state root of the newest root period's end at or below this height (never below the parent's claim)."""
    distrusted_lanes: tuple[int, ...] = ()
    """Lanes that end, in this proposal, at the seq that a quorum holds."""


@dataclass(frozen=True, slots=True)
class Vote:
    """Sign, journal and sync this vote, then send it to all. `carry` is a certificate to send in the same frame."""

    kind: VoteKind
    view: int
    digest: bytes | None
    carry: Certificate | None = None


@dataclass(frozen=True, slots=True)
class SendCertificate:
    """Send a held certificate to all, once per node and certificate."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """Fetch a block, its header and payload, from peers: a certificate names it and this node has not seen it."""

    view: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class FetchCertificates:
    """Ask `peer`, then others, for the certificates of `first_view`..`last_view` (inclusive): a proposal can't be
    judged without them."""

    first_view: int
    last_view: int
    peer: int


@dataclass(frozen=True, slots=True)
class SendWork:
    """Send what makes `WorkSeen` true to `peer`, or to all if `None`: they may not have seen it."""

    peer: int | None


@dataclass(frozen=True, slots=True)
class ResendVotes:
    """Send this node's own votes above the last finalization again, with the certificate that justified `view`."""

    view: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Tell all peers that the core is alive: best finalization, certificate of the current view, own open votes."""

    view: int


Effect = (
    EnterView | Propose | Vote | SendCertificate | FetchBlock | FetchCertificates | SendWork | ResendVotes | Heartbeat
)
