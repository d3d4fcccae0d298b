//! Messages that a traitor could sign with its own key, and short descriptions of frames: for simulations with
//! traitors.
//!
//! *Invariants:* nothing is forged without the key that signs it; frames are read without any check.

use rustorium_crypto::{SigningKey, block_digest, payload_root};
use rustorium_types::{
    Batch, BatchBody, BatchDigest, BlockDigest, BoundedVec, Certificate, ChainId, DecodeError, End, Epoch, Hash,
    Header, Held, Message, Proposal, Report, Request, Response, ShardId, SignedVote, StateClaim, Transaction,
    ValidatorIndex, View, VoteBody, VoteKind, VoteMessage,
};

/// Returns a vote's frame without further data.
pub fn vote(key: &SigningKey, signer: ValidatorIndex, body: VoteBody) -> Vec<u8> {
    let vote = key.sign_vote(signer, body);
    let message = VoteMessage { vote, report: Report::default(), held: Held::default(), carry: None };
    Message::Vote(Box::new(message)).to_frame()
}

/// Differences of a forged proposal from the one that it is made from.
#[derive(Default)]
pub struct Change {
    /// Milliseconds to add to its time.
    pub later_ms: u64,
    /// If set, the proposal lists nothing on top of this parent, which it also names.
    pub empty_on: Option<Header>,
    /// Another root in its claim of a result.
    pub result_root: Option<Hash>,
    /// Another root in its claim of the state, if it has one.
    pub state_root: Option<Hash>,
    /// Whether the epoch should end.
    pub ends_epoch: Option<bool>,
}

/// Returns the frame of a proposal of the same view by the same leader, with other contents.
pub fn proposal(key: &SigningKey, frame: &[u8], change: Change) -> Result<Vec<u8>, DecodeError> {
    let Message::Proposal(proposal) = Message::from_frame(rustorium_types::Class::Consensus, frame)? else {
        return Err(DecodeError::Malformed("not a proposal's frame".into()));
    };
    let Proposal { mut header, mut inline, notarization, nullifications, .. } = *proposal;
    header.time_ms += change.later_ms;
    if let Some(parent) = change.empty_on {
        inline = BoundedVec::default();
        (header.parent, header.parent_view) = (block_digest(&parent), parent.view);
        header.height = parent.height.next();
        header.payload_root = payload_root(&[], &parent.cursors, &parent.cursors);
        (header.cursors, header.transactions, header.declared_work) = (parent.cursors, 0, 0);
    }
    if let Some(root) = change.result_root {
        header.result.root = root;
    }
    if let (Some(lie), StateClaim::Rooted { root, .. }) = (change.state_root, &mut header.state) {
        *root = lie;
    }
    if let Some(ends) = change.ends_epoch {
        header.end = if ends { End::Boundary } else { End::GoesOn };
    }
    let body = VoteBody {
        chain: header.chain,
        shard: header.shard,
        epoch: header.epoch,
        view: header.view,
        kind: VoteKind::Notarize,
        block: block_digest(&header),
    };
    let signature = key.sign_vote(header.proposer, body).signature;
    let forged = Proposal { header, inline, signature, notarization, nullifications };
    Ok(Message::Proposal(Box::new(forged)).to_frame())
}

/// Returns the frame of a batch of a shard's epoch.
pub fn batch(
    key: &SigningKey,
    (chain, shard, epoch): (ChainId, ShardId, Epoch),
    author: ValidatorIndex,
    place: (u64, BatchDigest),
    transactions: Vec<Transaction>,
) -> Result<Vec<u8>, DecodeError> {
    let (seq, previous) = place;
    let transactions = BoundedVec::new(transactions)?;
    let body = BatchBody { chain, shard, epoch, author, seq, previous, transactions };
    let (_, batch) = key.sign_batch(body);
    Ok(Message::Batch(Box::new(batch)).to_frame())
}

/// A short description of a frame.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Kind of the message.
    pub message: &'static str,
    /// The epoch in the message.
    pub epoch: Option<Epoch>,
    /// The view of the message.
    pub view: Option<View>,
    /// The kind of vote or certificate.
    pub kind: Option<VoteKind>,
    /// The block in the message.
    pub block: Option<BlockDigest>,
    /// The signer, or the maker of the content.
    pub signer: Option<ValidatorIndex>,
    /// A batch's digest.
    pub batch: Option<BatchDigest>,
    /// A batch's seq in its lane.
    pub seq: Option<u64>,
    /// True for a proposal whose block ends its epoch.
    pub ends_epoch: bool,
}

impl Summary {
    fn vote(message: &'static str, vote: &SignedVote) -> Self {
        Self { signer: Some(vote.signer), ..Self::body(message, &vote.body) }
    }

    fn body(message: &'static str, body: &VoteBody) -> Self {
        let block = (body.kind != VoteKind::Nullify).then_some(body.block);
        Self {
            message,
            epoch: Some(body.epoch),
            view: Some(body.view),
            kind: Some(body.kind),
            block,
            ..Self::default()
        }
    }

    fn certificate(message: &'static str, certificate: &Certificate) -> Self {
        Self::body(message, &certificate.body)
    }

    fn header(message: &'static str, header: &Header) -> Self {
        Self {
            message,
            epoch: Some(header.epoch),
            view: Some(header.view),
            block: Some(block_digest(header)),
            signer: Some(header.proposer),
            ends_epoch: header.ends_epoch(),
            ..Self::default()
        }
    }

    fn batch(message: &'static str, batch: &Batch) -> Self {
        Self {
            message,
            epoch: Some(batch.body.epoch),
            signer: Some(batch.body.author),
            batch: Some(rustorium_crypto::batch_digest(&batch.body)),
            seq: Some(batch.body.seq),
            ..Self::default()
        }
    }

    fn named(message: &'static str) -> Self {
        Self { message, ..Self::default() }
    }
}

/// Reads a frame of any class. Errors: it is malformed.
pub fn read(frame: &[u8]) -> Result<Summary, DecodeError> {
    let message: Message = rustorium_types::decode(frame, rustorium_types::limits::FRAME_BYTES_MAX)?;
    Ok(match &message {
        Message::Proposal(proposal) => Summary::header("proposal", &proposal.header),
        Message::Vote(message) => Summary::vote("vote", &message.vote),
        Message::Certificate(certificate) => Summary::certificate("certificate", certificate),
        Message::Heartbeat(heartbeat) => Summary { epoch: Some(heartbeat.epoch), ..Summary::named("heartbeat") },
        Message::Report(_) => Summary::named("report"),
        Message::Probe(_) => Summary::named("probe"),
        Message::Echo(_) => Summary::named("echo"),
        Message::Work(work) => Summary { epoch: Some(work.epoch), ..Summary::named("work") },
        Message::Batch(batch) => Summary::batch("batch", batch),
        Message::Transactions(_) => Summary::named("transactions"),
        Message::Request { request, .. } => of_request(request),
        Message::Response { response, .. } => of_response(response),
    })
}

fn of_request(request: &Request) -> Summary {
    match request {
        Request::Block(block) => Summary { block: Some(*block), ..Summary::named("block request") },
        Request::Batch { lane, digest } => {
            Summary { signer: Some(*lane), batch: Some(*digest), ..Summary::named("batch request") }
        }
        Request::Certificates { first, .. } => Summary { view: Some(*first), ..Summary::named("certificates request") },
        Request::FinalBlocks { .. } => Summary::named("final blocks request"),
        Request::OwnSignatures { .. } => Summary::named("own signatures request"),
        Request::State(_) => Summary::named("state request"),
        Request::Batches { lane, .. } => Summary { signer: Some(*lane), ..Summary::named("batches request") },
        Request::EpochEnd(epoch) => Summary { epoch: Some(*epoch), ..Summary::named("epoch end request") },
        Request::Follow(_) => Summary::named("follow request"),
    }
}

fn of_response(response: &Response) -> Summary {
    match response {
        Response::NotHeld => Summary::named("not held"),
        Response::Block(block) => Summary::header("block", &block.header),
        Response::Batch(batch) => Summary::batch("batch answer", batch),
        Response::Certificates(_) => Summary::named("certificates"),
        Response::FinalBlocks { .. } => Summary::named("final blocks"),
        Response::OwnSignatures { epoch, .. } => Summary { epoch: Some(*epoch), ..Summary::named("own signatures") },
        Response::State(_) => Summary::named("state"),
        Response::Batches(batches) => {
            Summary { signer: batches.first().map(|batch| batch.body.author), ..Summary::named("batches answer") }
        }
        Response::EpochEnd(change) => Summary::header("epoch end", change.boundary()),
    }
}
