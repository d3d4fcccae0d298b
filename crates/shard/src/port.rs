//! Messages between the data plane and the consensus core: the Rust side of `rustorium.consensus.vocabulary`.

use crate::periods::claimed_height;
use rustorium_quorum::Leaders;
use rustorium_types::{BlockDigest, Epoch, Header, Height, ValidatorIndex, View, VoteKind};

/// Facts of a block that the core needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockFacts {
    /// View in which the block was proposed.
    pub view: View,
    /// Height of the block.
    pub height: Height,
    /// Digest of the block.
    pub digest: BlockDigest,
    /// View of the parent.
    pub parent_view: View,
    /// Digest of the parent.
    pub parent: BlockDigest,
    /// Proposer of the block.
    pub proposer: ValidatorIndex,
    /// Time of the block, Unix ms.
    pub time_ms: u64,
    /// True if the block lists transactions.
    pub has_payload: bool,
    /// Executed height that the block claims.
    pub claimed_height: Height,
    /// Height whose state root the block claims.
    pub rooted_height: Height,
    /// True if the header says that the epoch ends.
    pub ends_epoch: bool,
}

impl BlockFacts {
    /// Returns the facts of a header.
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

/// Result of the data plane's checks of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PayloadStatus {
    /// Something is still missing.
    Pending = 0,
    /// The block may be voted for.
    Ready = 1,
    /// The block must never be voted for.
    Invalid = 2,
}

/// Name of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CertificateName {
    /// Kind of the certificate.
    pub kind: VoteKind,
    /// View of the certificate.
    pub view: View,
    /// Block of the certificate. `None` for a nullification.
    pub digest: Option<BlockDigest>,
}

/// Input to the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// State at the start. It is always the first input, and comes again at each epoch's start; it voids everything
    /// before it.
    Recovered {
        /// The newest final block in the store.
        last_final: BlockFacts,
        /// The newest final height that had a payload.
        payload_height: Height,
        /// Blocks above `last_final` that the journal holds.
        blocks: Vec<BlockFacts>,
        /// Certificates above `last_final` that the journal holds.
        certificates: Vec<CertificateName>,
        /// Own votes above `last_final` that the journal holds.
        votes: Vec<CertificateName>,
        /// The epoch.
        epoch: Epoch,
        /// This node's place in the committee. `None` if the node only follows.
        me: Option<ValidatorIndex>,
        /// The committee's size.
        n: usize,
        /// Leaders of the epoch's views.
        leaders: Leaders,
        /// Number of doublings of all views' timers that the core last reported. `None` if it reported none within an
        /// hour.
        backoff: Option<u32>,
    },
    /// A block and the result of its checks so far.
    BlockSeen(BlockFacts, PayloadStatus),
    /// A verified certificate.
    Certificate(CertificateName),
    /// True if something could be listed.
    WorkSeen(bool),
    /// The newest height that a quorum has executed to the same result root.
    ClaimReady(Height),
    /// The newest height for which a quorum has the same state root.
    RootReady(Height),
    /// A client waits for this height to be certified.
    ClaimWanted(Height),
    /// True if a block proposed now could be the epoch's boundary.
    EndDue(bool),
    /// f + 1 members have voted to nullify the view.
    NullifiesSeen(View),
    /// Runs of views of which neither this node nor its peers hold a certificate.
    HeldByNobody(Vec<(View, View)>),
    /// The leader of this view proposed in it, though the core passes that leader over.
    Proposed(View),
    /// A peer fell silent (true) or is back (false).
    PeerSilence(ValidatorIndex, bool),
    /// Round trips to the members, by place, microseconds; 0 for unknown ones and this node.
    RoundTrips(Vec<u64>),
    /// A lane whose batches had to be served to more than f peers.
    LaneCostly(ValidatorIndex, View),
    /// The guard refused a vote.
    VoteRefused(VoteKind, View),
    /// A quorum has executed this height to another root than this node.
    Diverged(Height),
    /// The journal lacks something that this node signed, so the node signs nothing more.
    KeyRetired,
}

impl Input {
    /// Names of the kinds, as the core spells them.
    pub const KINDS: [&'static str; 17] = [
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
        "RoundTrips",
        "LaneCostly",
        "VoteRefused",
        "Diverged",
        "KeyRetired",
    ];

    /// Returns the place of the input's kind in `KINDS`.
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
            Self::RoundTrips(_) => 12,
            Self::LaneCostly(..) => 13,
            Self::VoteRefused(..) => 14,
            Self::Diverged(_) => 15,
            Self::KeyRetired => 16,
        }
    }
}

/// Effect of the core, for the data plane to carry out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The core has entered a view.
    EnterView {
        /// The view.
        view: View,
        /// Certificate that made the core enter the view.
        because: Option<CertificateName>,
        /// True if this node leads the view and must hear of work at once.
        leads: bool,
        /// Epoch that the core is in. Effects that come before the first one with this node's epoch belong to an older
        /// epoch.
        epoch: Epoch,
        /// Number of doublings of all views' timers.
        backoff: u32,
        /// Leaders that this node passes over.
        passed_over: Vec<ValidatorIndex>,
    },
    /// Builds, signs and sends a block.
    Propose {
        /// View of the block.
        view: View,
        /// Parent of the block.
        parent: BlockDigest,
        /// Executed height to claim.
        claim_height: Height,
        /// Height up to which the newest state root is claimed.
        root_height: Height,
        /// Lanes that are listed only as far as a quorum holds them.
        distrusted_lanes: Vec<ValidatorIndex>,
    },
    /// Signs a vote, writes it to the journal, and sends it once it is on disk.
    Vote {
        /// Kind of the vote.
        kind: VoteKind,
        /// View of the vote.
        view: View,
        /// Block of the vote. `None` for a nullify vote.
        digest: Option<BlockDigest>,
        /// Certificate to send along with the vote.
        carry: Option<CertificateName>,
    },
    /// Sends a held certificate to all peers.
    SendCertificate(CertificateName),
    /// Fetches a block that a certificate names.
    FetchBlock(BlockDigest),
    /// Fetches certificates.
    FetchCertificates {
        /// First view.
        first: View,
        /// Last view.
        last: View,
        /// Peer to ask first.
        peer: ValidatorIndex,
    },
    /// Sends the work that could be listed, to this peer or (`None`) to all.
    SendWork(Option<ValidatorIndex>),
    /// Sends own open votes again.
    ResendVotes(View),
    /// Tells peers that the core is alive.
    Heartbeat(View),
}
