//! A member of a committee that attacks the others with its own keys: `liar CONFIG`, a JSON object (`Attack`). It prints a JSON
//! line when its first link is up and another when standard input has ended. Tests of real nodes run it.
//!
//! Kinds of frames, sent in turn. Falsely signed, so that they cut the sender off:
//! - `votes`: votes of its own, of all views that could matter.
//! - `certificates`: certificates of a quorum, of all views that could matter.
//! - `proposals`: proposals of views that it leads, each with 32 such certificates, the newest of which would prove its view.
//! - `junk`: batches of its own with 200 transactions, of which the last is falsely signed.
//!
//! Signed well, and of no use to anybody:
//! - `inventions`: proposals of the next view that it leads and of future ones, which list batches that don't exist.
//! - `batches`: different batches of its own at the same places, each of 200 good transactions.
//! - `gap`: batches far beyond a gap of its lane, which no block can list.
//! - `second`: more than one vote of its own for a view.
//! - `questions`: questions about history, snapshots, lanes and its own signatures.
//!
//! It learns the view and what headers look like by listening.

use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_api::genesis_file;
use rustorium_crypto::{SigningKey, block_digest, payload_root};
use rustorium_shard::context::Context;
use rustorium_transport::{Config, FollowerLimits, Frame, Handler, Peer, PeerAddress, SPOKEN, Transport};
use rustorium_types::*;
use serde::Deserialize;
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

type Fault = Box<dyn Error + Send + Sync>;

/// Time between two looks at the clock.
const PAUSE: Duration = Duration::from_micros(500);
/// Most that is sent at once after a pause, in microseconds of the rate.
const BURST_US: u64 = 20_000;
/// Transactions in a batch.
const TRANSACTIONS: u64 = 200;
/// Distance of the farthest view for which votes and certificates are made.
const AHEAD: u64 = 60;

#[derive(Deserialize)]
struct Attack {
    kinds: Vec<String>,
    genesis: PathBuf,
    /// Secret node key of the member, hex.
    node_seed: String,
    /// Secret validator key of the member, hex.
    validator_seed: String,
    listen: String,
    /// Peer address of each member, in the committee's order.
    addresses: Vec<String>,
    mbit_per_s: u64,
}

fn seed(hex: &str) -> Result<[u8; 32], Fault> {
    Ok(Hash::from_hex(hex)?.0)
}

/// Newest header that a peer proposed, and counts of what came.
#[derive(Default)]
struct FrameCounter {
    newest: Mutex<Option<Header>>,
    ups: AtomicU64,
    answers: AtomicU64,
    answered_bytes: AtomicU64,
}

impl Handler for FrameCounter {
    fn frame(&self, frame: Frame) {
        if frame.class == Class::Sync {
            self.answers.fetch_add(1, Relaxed);
            self.answered_bytes.fetch_add(frame.bytes.len() as u64, Relaxed);
            return;
        }
        if let Ok(Message::Proposal(proposal)) = Message::from_frame(frame.class, &frame.bytes) {
            let mut newest = self.newest.lock();
            if newest.as_ref().is_none_or(|header| header.view < proposal.header.view) {
                *newest = Some(proposal.header);
            }
        }
    }

    fn link(&self, _: &PublicKey, up: bool) {
        self.ups.fetch_add(u64::from(up), Relaxed);
    }
}

struct Liar {
    context: Context,
    key: SigningKey,
    me: ValidatorIndex,
    good: Vec<Transaction>,
    count: u64,
}

impl Liar {
    fn new(context: Context, key: SigningKey) -> Result<Self, Fault> {
        let me = context.me().ok_or("the validator's key is no member's")?;
        let mut liar = Self { context, key, me, good: Vec::new(), count: 0 };
        liar.good = (0..TRANSACTIONS).map(|nonce| liar.transaction(nonce)).collect();
        Ok(liar)
    }

    /// A transaction of an account that doesn't exist.
    fn transaction(&self, nonce: u64) -> Transaction {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: self.context.chain(),
            sender: AccountId([3; 32]),
            public_key: self.key.public(),
            nonce,
            expires_at_ms: u64::MAX,
            work_limit: 1_000,
            shard_hint: None,
            location: None,
            data: BoundedVec::default(),
        };
        self.key.sign_transaction(body).into_inner()
    }

    fn body(&self, kind: VoteKind, view: u64, block: BlockDigest) -> VoteBody {
        let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { block };
        self.context.committee.body(kind, View(view), block)
    }

    /// A digest that nobody has seen.
    fn digest(&mut self) -> [u8; 32] {
        self.count += 1;
        let mut digest = [7; 32];
        digest[..8].copy_from_slice(&self.count.to_le_bytes());
        digest
    }

    /// A well-formed signature on something else.
    fn false_signature(&self) -> Signature {
        self.good.first().and_then(Transaction::first).map_or([7; 64], |transaction| transaction.signature)
    }

    /// The next view from this one on that the liar leads.
    fn led_from(&self, view: u64) -> u64 {
        (view..view + AHEAD).find(|view| self.context.leaders.of(View(*view)) == self.me).unwrap_or(view)
    }

    fn false_certificate(&mut self, kind: VoteKind, view: u64) -> Certificate {
        let digest = BlockDigest(self.digest());
        let (body, signature) = (self.body(kind, view, digest), self.false_signature());
        let signers = (0..quorum(self.context.n()) as u16).map(|signer| (ValidatorIndex(signer), signature));
        Certificate { body, signatures: BoundedVec::new(signers.collect()).unwrap_or_default() }
    }

    fn false_proposal(&mut self, newest: &Header) -> Message {
        let view = self.led_from(newest.view.0 + 1 + self.count % (AHEAD / 2));
        let header = Header { view: View(view), proposer: self.me, ..newest.clone() };
        let nullifications = (1..=32).map(|back| self.false_certificate(VoteKind::Nullify, view.saturating_sub(back)));
        let nullifications = BoundedVec::new(nullifications.collect()).unwrap_or_default();
        let (inline, signature) = (BoundedVec::default(), self.false_signature());
        Message::Proposal(Box::new(Proposal { header, inline, signature, notarization: None, nullifications }))
    }

    /// A child of the newest block that lists one invented batch of each lane.
    fn invention(&mut self, newest: &Header) -> Message {
        let ahead = if self.count.is_multiple_of(2) { 0 } else { self.count % AHEAD };
        let view = self.led_from(newest.view.0 + 1 + ahead);
        let invent = |cursor: &Cursor| Cursor { next_seq: cursor.next_seq + 1, tip: BatchDigest(self.digest()) };
        let cursors = BoundedVec::new(newest.cursors.iter().map(invent).collect()).unwrap_or_default();
        let header = Header {
            view: View(view),
            height: newest.height.next(),
            parent: block_digest(newest),
            parent_view: newest.view,
            proposer: self.me,
            time_ms: newest.time_ms + 1,
            payload_root: payload_root(&[], &newest.cursors, &cursors),
            cursors,
            transactions: 1,
            ..newest.clone()
        };
        let body = self.body(VoteKind::Notarize, view, block_digest(&header));
        let signature = self.key.sign_vote(self.me, body).signature;
        let (inline, nullifications) = (BoundedVec::default(), BoundedVec::default());
        Message::Proposal(Box::new(Proposal { header, inline, signature, notarization: None, nullifications }))
    }

    fn vote(&mut self, newest: &Header, good: bool) -> Message {
        let digest = BlockDigest(self.digest());
        let body = self.body(VoteKind::Notarize, newest.view.0 + 1 + self.count % AHEAD, digest);
        let signature = if good { self.key.sign_vote(self.me, body).signature } else { self.false_signature() };
        let vote = SignedVote { body, signer: self.me, signature };
        Message::Vote(Box::new(VoteMessage { vote, report: Report::default(), held: Held::default(), carry: None }))
    }

    fn batch(&mut self, newest: &Header, beyond: u64, good: bool) -> Message {
        let cursor = newest.cursors.get(usize::from(self.me.0)).copied().unwrap_or_default();
        let seq = cursor.next_seq + beyond;
        let mut transactions = self.good.clone();
        let last = transactions.last_mut().filter(|_| !good);
        if let Some(Transaction::V1(last)) = last {
            last.signature = [1; 64];
        }
        let first_of_all = BatchDigest::default();
        let previous = if seq == 0 { first_of_all } else { BatchDigest(self.digest()) };
        // Makes it another batch where nothing before it does.
        transactions.rotate_left((self.count % TRANSACTIONS) as usize);
        self.count += 1;
        let committee = &self.context.committee;
        let body = BatchBody {
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            author: self.me,
            seq,
            previous,
            transactions: BoundedVec::new(transactions).unwrap_or_default(),
        };
        Message::Batch(Box::new(self.key.sign_batch(body).1))
    }

    fn question(&mut self, newest: &Header) -> Message {
        self.count += 1;
        let lane = ValidatorIndex((self.count / 6 % self.context.n() as u64) as u16);
        let next_seq = newest.cursors.get(usize::from(lane.0)).map_or(0, |cursor| cursor.next_seq);
        let request = match self.count % 6 {
            0 => Request::FinalBlocks { first: Height(1), count: 256 },
            1 => Request::Certificates { first: View(newest.view.0.saturating_sub(255)), last: newest.view },
            2 => Request::Batches { lane, first: next_seq.saturating_sub(256), end: next_seq },
            3 => Request::OwnSignatures { next_seq: 0 },
            4 => Request::State(StateRequest::Newest { above: Height(0) }),
            _ => Request::Block(newest.parent),
        };
        Message::Request { id: self.count, request }
    }

    /// The next frame. Errors: there is no such kind.
    fn next(&mut self, kind: &str, newest: &Header) -> Result<Message, Fault> {
        let view = newest.view.0 + 1 + self.count % AHEAD;
        let kinds = [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize];
        Ok(match kind {
            "votes" => self.vote(newest, false),
            "certificates" => {
                let kind = kinds[(self.count % 3) as usize];
                Message::Certificate(Box::new(self.false_certificate(kind, view)))
            }
            "proposals" => self.false_proposal(newest),
            "junk" => self.batch(newest, self.count % 32, false),
            "inventions" => self.invention(newest),
            "batches" => self.batch(newest, self.count % 32, true),
            "gap" => self.batch(newest, 40 + self.count % 16, true),
            "second" => self.vote(newest, true),
            "questions" => self.question(newest),
            other => return Err(format!("there is no kind {other}").into()),
        })
    }
}

/// Sends at the rate that was asked for, which all peers share, until standard input ends; returns frames and bytes that
/// the links took.
fn flood(attack: &Attack, transport: &Transport, counter: &FrameCounter, liar: &mut Liar) -> Result<(u64, u64), Fault> {
    let ended = std::thread::spawn(|| stdin().read_to_end(&mut Vec::new()));
    let (began, burst) = (Instant::now(), attack.mbit_per_s * BURST_US / 8);
    // `spent` counts what was sent, and what was due too long ago to be sent.
    let (mut frames, mut bytes, mut spent) = (0, 0, 0);
    let mut kinds = attack.kinds.iter().cycle();
    while !ended.is_finished() {
        let due = began.elapsed().as_micros() as u64 * attack.mbit_per_s / 8;
        spent = spent.max(due.saturating_sub(burst));
        let newest = counter.newest.lock().clone();
        let Some(newest) = newest.filter(|_| spent < due) else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let message = liar.next(kinds.next().ok_or("no kinds")?, &newest)?;
        let frame = Bytes::from(message.to_frame());
        let taken = transport.broadcast(message.class(), frame.clone()) as u64;
        let sent = taken * frame.len() as u64;
        (frames, bytes, spent) = (frames + taken, bytes + sent, spent + sent);
        if taken == 0 {
            // Nobody reads any more, or nobody yet.
            std::thread::sleep(PAUSE);
        }
    }
    Ok((frames, bytes))
}

fn config(attack: &Attack, context: &Context) -> Result<Config, Fault> {
    let peer = |(place, (member, address)): (usize, (&Validator, &String))| -> Result<Peer, Fault> {
        let (index, address) = (ValidatorIndex(place as u16), Some(PeerAddress::parse(address)?));
        Ok(Peer { index, node_key: member.node_key, address })
    };
    let members = context.validators.iter().zip(&attack.addresses).enumerate();
    Ok(Config {
        me: context.me(),
        listen: attack.listen.parse()?,
        identity: SigningKey::from_seed(&seed(&attack.node_seed)?),
        chain: context.chain(),
        shards: Default::default(),
        versions: SPOKEN,
        peers: members.map(peer).collect::<Result<_, _>>()?,
        queue_frames: Config::QUEUES.0,
        queue_bytes: Config::QUEUES.1,
        guests: Default::default(),
        followers: FollowerLimits::CLOSED,
        shaper: None,
    })
}

fn say(line: serde_json::Value) -> Result<(), Fault> {
    writeln!(stdout(), "{line}")?;
    Ok(stdout().flush()?)
}

fn main() -> Result<(), Fault> {
    let attack: Attack = serde_json::from_str(&std::env::args().nth(1).ok_or("usage: liar CONFIG")?)?;
    let key = SigningKey::from_seed(&seed(&attack.validator_seed)?);
    let context =
        Context::new(&genesis_file::from_json(&std::fs::read_to_string(&attack.genesis)?)?, ShardId::ROOT, key.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let counter = Arc::<FrameCounter>::default();
    let transport = Transport::start(config(&attack, &context)?, counter.clone(), runtime.handle())?;
    while counter.ups.load(Relaxed) == 0 {
        std::thread::sleep(PAUSE);
    }
    say(serde_json::json!({ "linked": counter.ups.load(Relaxed) }))?;
    let began = Instant::now();
    let (frames, bytes) = flood(&attack, &transport, &counter, &mut Liar::new(context, key)?)?;
    let (answers, answered_bytes) = (counter.answers.load(Relaxed), counter.answered_bytes.load(Relaxed));
    let mbit_per_s = bytes * 8 / began.elapsed().as_micros().max(1) as u64;
    say(serde_json::json!({
        "frames": frames, "bytes": bytes, "mbit_per_s": mbit_per_s, "linked": counter.ups.load(Relaxed), "answers": answers,
        "answered_bytes": answered_bytes,
    }))?;
    runtime.block_on(transport.close());
    Ok(())
}
