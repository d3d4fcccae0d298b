"""What the consensus core and a shard's data plane say to each other: inputs come up, effects go down.

Invariants: every value is immutable and hashable; nothing here holds a transaction, a batch or a single vote; no effect
returns a value (what it leads to comes back as an input, late, twice or never). Times are integer monotonic
nanoseconds, digests are 32 bytes, views and heights are integers from 0 (view 0 and height 0 are the genesis block).
"""

from dataclasses import dataclass
from enum import IntEnum


class VoteKind(IntEnum):
    """The three votes of Simplex (Chan and Pass, 2023); a certificate has the kind of the votes in it."""

    NOTARIZE = 0
    NULLIFY = 1
    FINALIZE = 2


class PayloadStatus(IntEnum):
    """How far the data plane is with a block: what the block lists, and what it claims."""

    PENDING = 0
    """Header, signature and ancestry fields are checked; payload or claims are not yet (fetching, verifying,
    executing)."""
    READY = 1
    """The whole payload is held and verified and the claims agree with this node's own execution."""
    INVALID = 2
    """A rule on the block or its payload is broken: never to be voted for."""


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What the core needs to know of a block; the bytes stay in the data plane."""

    view: int
    height: int
    digest: bytes
    parent_view: int
    parent: bytes
    proposer: int
    time_ms: int
    has_payload: bool
    claimed_height: int
    """The executed height whose result root the header claims (0: nothing but genesis)."""
    rooted_height: int = 0
    """The height whose state root the header claims (0: none)."""
    ends_epoch: bool = False
    """The header says that its epoch ends: the boundary block, or a closing block above it (R28)."""


@dataclass(frozen=True, slots=True)
class OwnVote:
    """A vote of this node's that its journal holds; `digest` is None for a nullify."""

    kind: VoteKind
    view: int
    digest: bytes | None


# ---- inputs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificate:
    """A quorum's votes, verified: formed here or received. Comes once per (kind, view), in any order. What a
    finalization makes final needs no decision: the data plane executes it without waiting for the core."""

    kind: VoteKind
    view: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the store and the journal hold: the first input, and again at each epoch's start, when everything before is
    void (R29). `final` is the newest finalized block, at an epoch's start the boundary block before it."""

    final: BlockFacts
    payload_height: int
    """The newest final height that had a payload (0: none)."""
    epoch: int
    me: int | None
    """This node's index in the epoch's committee; None: it is in none, and follows (R30)."""
    n: int
    """The size of the epoch's committee."""
    blocks: tuple[BlockFacts, ...] = ()
    """Blocks above the final one whose proposals the journal holds."""
    certificates: tuple[Certificate, ...] = ()
    votes: tuple[OwnVote, ...] = ()
    leaders: tuple[int, ...] = ()
    """The members that lead in ordinary cycles, by place (R1); none: all."""
    seed: int | None = None
    """What their order is drawn from; None on a chain of protocol version 1: they go round by place."""
    boundary_view: int = 0
    """The view of the boundary block before the epoch: its own views begin above it."""
    backoff: int | None = None
    """K of R16, as this node knew it within the last hour: where it is more than what one starts with, it is gone on
    with."""


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """A block is known: its first valid proposal in its view (own ones too), or one fetched. Repeats as status moves
    on."""

    block: BlockFacts
    status: PayloadStatus


@dataclass(frozen=True, slots=True)
class WorkSeen:
    """Level-triggered: whether this node holds verified batches or transactions that could be listed on the newest
    notarized block (back-pressure off, not expired). False never wakes the core, it only rides along."""

    listable: bool


@dataclass(frozen=True, slots=True)
class ClaimReady:
    """Level-triggered, rising: a quorum's reports, this node's own among them, agree on the result root of `height`."""

    height: int


@dataclass(frozen=True, slots=True)
class RootReady:
    """Level-triggered, rising: a quorum's reports, this node's own among them, agree on the state root after `height`,
    and an empty block made now on a chain that ends there could claim it (its root period is over by then)."""

    height: int


@dataclass(frozen=True, slots=True)
class ClaimWanted:
    """A client waits for the certified result of `height`: an owed claim below it is work at once."""

    height: int


@dataclass(frozen=True, slots=True)
class EndDue:
    """Level-triggered: whether a block proposed now could be the epoch's boundary, since the end is due by the time or
    after the height of the newest ClaimReady, and no boundary is final yet. False never wakes the core."""

    due: bool


@dataclass(frozen=True, slots=True)
class NullifiesSeen:
    """f + 1 validators nullified `view`."""

    view: int


@dataclass(frozen=True, slots=True)
class HeldByNobody:
    """Level-triggered: runs of views (first, last) of which neither this node nor, as far as they were asked, its peers
    hold a certificate: the newest 64 views at most."""

    runs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Proposed:
    """The leader of `view`, one that this node passes over, has proposed in it, though the view may be over. Told once,
    and whatever the proposal holds."""

    view: int


@dataclass(frozen=True, slots=True)
class PeerSilence:
    """Level-triggered: whether `peer` has been silent for three heartbeats (no frame made by its consensus core)."""

    peer: int
    silent: bool


@dataclass(frozen=True, slots=True)
class LaneCostly:
    """This leader served a batch of `lane` to more than f peers while `view` was its own, or has such fetches open."""

    lane: int
    view: int


@dataclass(frozen=True, slots=True)
class VoteRefused:
    """The guard in front of the signing key refused a vote: the journal holds one that excludes it."""

    kind: VoteKind
    view: int


@dataclass(frozen=True, slots=True)
class Diverged:
    """This node executed `height` to another root than a quorum claims: it stops voting until it is repaired."""

    height: int


@dataclass(frozen=True, slots=True)
class KeyRetired:
    """The journal lacks something that this node signed: the data plane signs nothing more, and shows no life."""


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
    """The node is in `view` from now on; `because` is the certificate that justified it (None at start). The data plane
    moves its windows, and resends with that certificate."""

    view: int
    because: Certificate | None
    leads: bool = False
    """Whether this node leads the view: it hears of work at once. Others need it for their timers alone, so `WorkSeen`
    may wait some milliseconds for an input that wakes them anyway."""
    epoch: int = 0
    """The epoch of the `Recovered` that the core goes by: effects in front of the first `EnterView` of the data plane's
    own epoch are of an older one, and are dropped (R29)."""
    backoff: int = 0
    """K of R16, which a `Recovered` brings again."""
    passed_over: tuple[int, ...] = ()
    """The leaders on this node's list (R17b), for who looks at the node."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Build a block of `view` on `parent` (a closing block where the parent ends this epoch, R28), put payload and own
    notarize vote on disk, send it to all with the parent's notarization and the nullifications of every view between.
    Comes back as BlockSeen(READY). The proposal is this node's notarize vote of the view."""

    view: int
    parent_view: int
    parent: bytes
    claim_height: int
    """Claim the result root of this executed height, which a ClaimReady announced (never below the parent's claim)."""
    root_height: int = 0
    """Claim the state root of this height: the newest root period's end at or below it (never below the parent's)."""
    distrusted_lanes: tuple[int, ...] = ()
    """Lanes that end at the seq that a quorum holds, for this proposal."""


@dataclass(frozen=True, slots=True)
class Vote:
    """Sign, journal, sync, then send to all, together with `carry` (a certificate to send on) in the same frame."""

    kind: VoteKind
    view: int
    digest: bytes | None
    carry: Certificate | None = None


@dataclass(frozen=True, slots=True)
class SendCertificate:
    """Send a held certificate on to all, once per node and certificate."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """A certificate names a block that this node has not seen: get its header (and payload) from peers."""

    view: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class FetchCertificates:
    """Certificates of `first_view`..`last_view` (inclusive) are missing to judge a proposal: ask `peer`, then
    others."""

    first_view: int
    last_view: int
    peer: int


@dataclass(frozen=True, slots=True)
class SendWork:
    """Send what makes WorkSeen true to `peer`, or to all when None: they may not have seen it."""

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
