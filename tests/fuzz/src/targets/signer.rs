//! The messages between a node and its signer.

use super::canonical;
use rustorium_crypto::{SigningKey, account_id};
use rustorium_signer::protocol::{FRAME_BYTES_MAX, Hello, Reply, Request, VERSION, frame_into, split_frame};
use rustorium_signer::{Answer, JournalSummary, Refusal, RequestSubject};
use rustorium_types::{
    Authority, Batch, BatchBody, BatchDigest, BlockDigest, BoundedVec, ChainId, Epoch, PossessionBody, ShardId,
    TransactionBody2, ValidatorIndex, View, VoteBody, VoteKind, encode,
};

const CHAIN: ChainId = ChainId([7; 32]);

fn vote() -> VoteBody {
    let (shard, epoch, view) = (ShardId(0), Epoch(1), View(9));
    VoteBody { chain: CHAIN, shard, epoch, view, kind: VoteKind::Finalize, block: BlockDigest([1; 32]) }
}

fn batch() -> BatchBody {
    let (shard, epoch, author, transactions) = (ShardId(0), Epoch(1), ValidatorIndex(2), BoundedVec::default());
    BatchBody { chain: CHAIN, shard, epoch, author, seq: 3, previous: BatchDigest([4; 32]), transactions }
}

pub fn request(input: &[u8]) {
    canonical::<Request>(input, FRAME_BYTES_MAX);
    canonical::<Hello>(input, FRAME_BYTES_MAX);
    if let Ok(Some((frame, end))) = split_frame(input) {
        assert!(end <= input.len());
        canonical::<Request>(frame, FRAME_BYTES_MAX);
    }
}

pub fn requests() -> Vec<Vec<u8>> {
    let key = SigningKey::from_seed(&[5; 32]);
    let votes = BoundedVec::new(vec![key.sign_vote(ValidatorIndex(2), vote())]).unwrap_or_default();
    let (chain, shard, epoch, settled) = (CHAIN, ShardId(0), Epoch(1), View(8));
    let possession = PossessionBody { chain, owner_key: [1; 32], validator_key: [2; 32], node_key: [3; 32] };
    let Ok(authority) = Authority::of_key(key.public()) else { return Vec::new() };
    let body = TransactionBody2 {
        sender: account_id(3, &key.public()),
        authority,
        nonce: 1,
        expires_at_ms: 2,
        work_limit: 3,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    };
    let whats = [
        RequestSubject::Show(Box::new(JournalSummary { chain, shard, epoch, settled, next_seq: 3, votes })),
        RequestSubject::Vote { body: vote(), settled },
        RequestSubject::Batch(Box::new(batch())),
        RequestSubject::Possession(possession),
        RequestSubject::Ping,
        RequestSubject::Transaction2 { chain, body: Box::new(body) },
    ];
    let requests = whats.into_iter().map(|what| Request { id: 1, what });
    let plain: Vec<Vec<u8>> = requests.map(|request| encode(&request)).collect();
    let mut framed = Vec::new();
    frame_into(&Request { id: 2, what: RequestSubject::Ping }, &mut framed);
    let hello = encode(&Hello { version: VERSION, key: key.public(), session: [3; 16] });
    plain.into_iter().chain([framed, hello]).collect()
}

pub fn reply(input: &[u8]) {
    canonical::<Reply>(input, FRAME_BYTES_MAX);
    canonical::<Answer>(input, FRAME_BYTES_MAX);
}

pub fn replies() -> Vec<Vec<u8>> {
    let answers = [
        Answer::Signed([3; 64]),
        Answer::Ready(Some(Box::new(Batch { body: batch(), signature: [3; 64] }))),
        Answer::Here,
        Answer::Refused(Refusal::Conflict("view 9: already notarized another block".to_owned())),
        Answer::Refused(Refusal::OtherBatch { seq: 3, next_seq: 4 }),
    ];
    answers.into_iter().map(|answer| encode(&Reply { id: 1, answer })).collect()
}
