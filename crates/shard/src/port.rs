//! What the data plane and the consensus core say to each other: the Rust side of `rustorium.consensus.vocabulary`.

use crate::periods::claimed_height;
use rustorium_quorum::Leaders;
use rustorium_types::{BlockDigest, Epoch, Header, Height, ValidatorIndex, View, VoteKind};

/// What the core needs to know of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockFacts {
    /// The view it was proposed in.
    pub view: View,
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: BlockDigest,
    /// Its parent's view.
    pub parent_view: View,
    /// Its parent's digest.
    pub parent: BlockDigest,
    /// Its proposer.
    pub proposer: ValidatorIndex,
    /// Its time, Unix ms.
    pub time_ms: u64,
    /// Whether it lists transactions.
    pub has_payload: bool,
    /// The executed height that it claims.
    pub claimed_height: Height,
    /// The height whose state root it claims.
    pub rooted_height: Height,
    /// Whether its header says that the epoch ends.
    pub ends_epoch: bool,
}

impl BlockFacts {
    /// The facts of a header.
    pub fn of(digest: BlockDigest, header: &Header) -> Self {
        Self {
            view: header.view,
            height: header.height,
            digest,
            parent_view: header.parent_view,
            parent: header.parent,
            proposer: header.proposer,
            time_ms: header.time_ms,
            has_payload: header.transactions > 0,
            claimed_height: header.result.height,
            rooted_height: claimed_height(&header.state),
            ends_epoch: header.ends_epoch(),
        }
    }
}

/// How far the data plane is with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PayloadStatus {
    /// Something is still missing.
    Pending = 0,
    /// May be voted for.
    Ready = 1,
    /// Never to be voted for.
    Invalid = 2,
}

/// Names a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CertificateName {
    /// Its kind.
    pub kind: VoteKind,
    /// Its view.
    pub view: View,
    /// Its block; none for a nullification.
    pub digest: Option<BlockDigest>,
}

/// What comes up to the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Always the first, and again at each epoch's start, when everything before is void.
    Recovered {
        /// The newest final block in the store.
        last_final: BlockFacts,
        /// The newest final height that had a payload.
        payload_height: Height,
        /// Blocks above it that the journal holds.
        blocks: Vec<BlockFacts>,
        /// Certificates above it that the journal holds.
        certificates: Vec<CertificateName>,
        /// Own votes above it that the journal holds.
        votes: Vec<CertificateName>,
        /// The epoch.
        epoch: Epoch,
        /// This node's place in its committee; none: it follows.
        me: Option<ValidatorIndex>,
        /// The committee's size.
        n: usize,
        /// Who leads its views.
        leaders: Leaders,
        /// How often the timers of all views were doubled when the core last said so; none: not within an hour.
        backoff: Option<u32>,
    },
    /// A block and how far it is checked.
    BlockSeen(BlockFacts, PayloadStatus),
    /// A certificate, verified.
    Certificate(CertificateName),
    /// Whether something could be listed.
    WorkSeen(bool),
    /// The newest height that a quorum has executed alike.
    ClaimReady(Height),
    /// The newest height whose state root a quorum has alike.
    RootReady(Height),
    /// A client waits for this height to be certified.
    ClaimWanted(Height),
    /// Whether a block proposed now could be the epoch's boundary.
    EndDue(bool),
    /// f + 1 nullified the view.
    NullifiesSeen(View),
    /// Runs of views of which neither this node nor its peers hold a certificate.
    HeldByNobody(Vec<(View, View)>),
    /// The leader of the view, one that the core passes over, proposed in it.
    Proposed(View),
    /// A peer fell silent or is back.
    PeerSilence(ValidatorIndex, bool),
    /// A lane had to be served to more than f peers.
    LaneCostly(ValidatorIndex, View),
    /// The guard refused a vote.
    VoteRefused(VoteKind, View),
    /// A quorum executed to another root.
    Diverged(Height),
    /// The journal lacks something that this node signed: nothing is signed any more.
    KeyRetired,
}

impl Input {
    /// Names of the kinds, as the core has them.
    pub const KINDS: [&'static str; 16] = [
        "Recovered",
        "BlockSeen",
        "Certificate",
        "WorkSeen",
        "ClaimReady",
        "RootReady",
        "ClaimWanted",
        "EndDue",
        "NullifiesSeen",
        "HeldByNobody",
        "Proposed",
        "PeerSilence",
        "LaneCostly",
        "VoteRefused",
        "Diverged",
        "KeyRetired",
    ];

    /// Place of its kind in `KINDS`.
    pub fn kind(&self) -> usize {
        match self {
            Self::Recovered { .. } => 0,
            Self::BlockSeen(..) => 1,
            Self::Certificate(_) => 2,
            Self::WorkSeen(_) => 3,
            Self::ClaimReady(_) => 4,
            Self::RootReady(_) => 5,
            Self::ClaimWanted(_) => 6,
            Self::EndDue(_) => 7,
            Self::NullifiesSeen(_) => 8,
            Self::HeldByNobody(_) => 9,
            Self::Proposed(_) => 10,
            Self::PeerSilence(..) => 11,
            Self::LaneCostly(..) => 12,
            Self::VoteRefused(..) => 13,
            Self::Diverged(_) => 14,
            Self::KeyRetired => 15,
        }
    }
}

/// What goes down to the data plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The node is in this view.
    EnterView {
        /// The view.
        view: View,
        /// Why.
        because: Option<CertificateName>,
        /// Whether this node leads it, and must hear of work at once.
        leads: bool,
        /// The epoch that the core is in: what comes before the first one that names this node's is of an older epoch.
        epoch: Epoch,
        /// How often the timers of all views are doubled.
        backoff: u32,
        /// The leaders that this node passes over.
        passed_over: Vec<ValidatorIndex>,
    },
    /// Build, sign and send a block.
    Propose {
        /// Its view.
        view: View,
        /// Its parent.
        parent: BlockDigest,
        /// The executed height to claim.
        claim_height: Height,
        /// The height to claim the newest state root at or below of.
        root_height: Height,
        /// Lanes that end where a quorum holds them.
        distrusted_lanes: Vec<ValidatorIndex>,
    },
    /// Sign, journal, sync and send a vote.
    Vote {
        /// The kind.
        kind: VoteKind,
        /// The view.
        view: View,
        /// The block; none for a nullify.
        digest: Option<BlockDigest>,
        /// A certificate to send on with it.
        carry: Option<CertificateName>,
    },
    /// Send a held certificate on to all.
    SendCertificate(CertificateName),
    /// Get a block that a certificate names.
    FetchBlock(BlockDigest),
    /// Get certificates.
    FetchCertificates {
        /// First view.
        first: View,
        /// Last view.
        last: View,
        /// Whom to ask first.
        peer: ValidatorIndex,
    },
    /// Send what could be listed.
    SendWork(Option<ValidatorIndex>),
    /// Send own open votes again.
    ResendVotes(View),
    /// Say that the core is alive.
    Heartbeat(View),
}
