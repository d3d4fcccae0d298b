//! How long an empty store takes to be filled from peers' snapshots, over links on loopback, both sides in this process:
//! `cargo run --release -p rustorium-node --example state_sync [KEYS [PEERS [VALUE_BYTES]]]`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../../types/tests/headers/mod.rs"]
mod headers;

use headers::empty_header;
use rustorium_crypto::hash::{domain, hash, result_root, value_hash};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_crypto::{SigningKey, block_digest, certify, verify_vote};
use rustorium_node::outside::{Question, Questions, Server, Standing, Work};
use rustorium_node::statesync::{JoinEvent, Joiner, Offers};
use rustorium_quorum::Committee;
use rustorium_shard::context::Context;
use rustorium_shard::senders::Credit;
use rustorium_stages::queue::Queue;
use rustorium_state::host::open_table;
use rustorium_state::slot::Slot;
use rustorium_state::tables::Tables;
use rustorium_state::tree::{MemKv, update};
use rustorium_state::workers::Serial;
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig, TreeStore};
use rustorium_transport::{Config, FollowerLimits, Frame, Handler, Peer, SPOKEN, Transport};
use rustorium_types::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

const CHAIN: ChainId = ChainId([7; 32]);
const HEIGHTS: u64 = 100;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn open(folder: &std::path::Path) -> Arc<dyn Store> {
    let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), CHAIN);
    Arc::new(RocksStore::open(folder, &StoreConfig::default(), &at_rest).unwrap())
}

/// Accounts of three regions, one leaf each.
fn leaf(number: u64, value_bytes: usize) -> LeafWrite {
    let mut account = hash(b"account", &[&number.to_le_bytes()]);
    account[0] = (number % 3) as u8;
    let name = vec![2, b'k'];
    let key = StateKey { account: AccountId(account), name: hash(domain::NAME, &[&name]) };
    LeafWrite { key, name, value: Some(vec![number as u8; value_bytes]) }
}

fn header(parent: &Header) -> Header {
    let (height, view) = (parent.height.next(), View(parent.view.0 + 1));
    Header { height, view, parent: block_digest(parent), parent_view: parent.view, time_ms: height.0, ..parent.clone() }
}

/// Only what the joiner looks at is true of this chain.
fn genesis() -> Genesis {
    Genesis {
        version: NEWEST_VERSION,
        name: BoundedBytes::default(),
        time_ms: 0,
        parameters: Parameters::default(),
        validators: BoundedVec::default(),
        accounts: BoundedVec::default(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    }
}

fn first() -> Header {
    Header { chain: CHAIN, ..empty_header() }
}

/// A chain with so many keys, rooted and certified.
fn chain(store: &Arc<dyn Store>, tables: &Tables, keys: u64, value_bytes: usize) {
    let (mut at, mut root, mut tree) = (first(), Hash::ZERO, MemKv::default());
    for height in 0..=HEIGHTS + 1 {
        let from = height * keys / (HEIGHTS + 1);
        let to = if height > HEIGHTS { from } else { (height + 1) * keys / (HEIGHTS + 1) };
        let diff: Vec<LeafWrite> = (from..to).map(|number| leaf(number, value_bytes)).collect();
        if height > 0 {
            at = header(&at);
        }
        if height > HEIGHTS {
            use rustorium_state::tree::KvRead;
            let state = Hash(tree.top().unwrap().commitment.encode());
            at.state = StateClaim::Rooted { height: Height(HEIGHTS), first: Height(1), root: state };
            at.result = ResultClaim { height: Height(HEIGHTS), root };
        }
        let mut changes: Vec<_> = diff.iter().map(|w| (w.key, w.value.as_deref().map(value_hash))).collect();
        changes.sort_unstable();
        tree.apply(update(tables, &tree, &changes, &Serial).unwrap());
        let link = ResultLink::default();
        root = result_root(&root, &link.receipts, &link.diff, &link.outbox);
        let (digest, block) = (block_digest(&at), Block { header: at.clone(), inline: BoundedVec::default() });
        let body = VoteBody {
            chain: CHAIN,
            shard: ShardId(0),
            epoch: Epoch(0),
            view: at.view,
            kind: VoteKind::Finalize,
            block: digest,
        };
        let vote = verify_vote(&key(1).public(), key(1).sign_vote(ValidatorIndex(0), body)).unwrap();
        let commit = HeightCommit {
            digest,
            block,
            inline_ids: vec![],
            batches: vec![],
            receipts: vec![],
            diff,
            link,
            result_root: root,
            finalization: certify(1, &[vote]),
        };
        store.commit(&commit).unwrap();
    }
    use rustorium_state::tree::KvRead;
    let mut rows: Vec<_> = tree.rows().into_iter().map(|(id, slot)| (id.to_bytes(), Some(slot.to_row()))).collect();
    rows.push((vec![u8::MAX], Some(Slot::Child(tree.top().unwrap()).to_row())));
    store.fold_tree(Height(HEIGHTS), &rows).unwrap();
    store.sync().unwrap();
}

struct Serves(Arc<Questions>);

impl Handler for Serves {
    fn frame(&self, frame: Frame) {
        if let Ok(Message::Request { id, request: Request::State(request) }) =
            Message::from_frame(frame.class, &frame.bytes)
        {
            let work = Work::Answer { id, request: Request::State(request) };
            self.0.push(Question {
                from: frame.from,
                standing: Standing::Guest,
                work,
                credit: Credit::of(frame.credit),
            });
        }
    }

    fn link(&self, _: &PublicKey, _: bool) {}
}

struct Hears(Arc<Queue<JoinEvent>>);

impl Handler for Hears {
    fn frame(&self, frame: Frame) {
        if let Ok(Message::Response { id, response }) = Message::from_frame(frame.class, &frame.bytes) {
            self.0.push(JoinEvent::Response { from: frame.from, id, response, credit: frame.credit });
        }
    }

    fn link(&self, node_key: &PublicKey, up: bool) {
        self.0.push(JoinEvent::Link { node_key: *node_key, up });
    }
}

fn link(me: u8, sockets: &mut [Option<UdpSocket>], addresses: &[SocketAddr], handler: Arc<dyn Handler>) -> Transport {
    let peer = |i: u8| Peer {
        index: ValidatorIndex(u16::from(i)),
        node_key: key(100 + i).public(),
        address: Some(addresses[usize::from(i)].into()),
    };
    let config = Config {
        me: Some(ValidatorIndex(u16::from(me))),
        listen: addresses[usize::from(me)],
        identity: key(100 + me),
        shards: Default::default(),
        chain: CHAIN,
        versions: SPOKEN,
        peers: (0..addresses.len() as u8).map(peer).collect(),
        queue_frames: Config::QUEUES.0,
        queue_bytes: Config::QUEUES.1,
        guests: Default::default(),
        followers: FollowerLimits::CLOSED,
        shaper: None,
    };
    let socket = sockets[usize::from(me)].take().unwrap();
    Transport::start_on(socket, config, handler, &tokio::runtime::Handle::current()).unwrap()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let number = |at: usize, default: u64| std::env::args().nth(at).map_or(default, |text| text.parse().unwrap());
    let (keys, peers, value_bytes) = (number(1, 1_000_000), number(2, 2) as u8, number(3, 100) as usize);
    let folder = tempfile::tempdir().unwrap();
    let tables = Arc::new(open_table(folder.path(), 10).unwrap());
    let source = open(&folder.path().join("source"));
    let began = Instant::now();
    chain(&source, &tables, keys, value_bytes);
    println!("a chain with {keys} keys made in {:.1} s", began.elapsed().as_secs_f64());

    let mut sockets: Vec<_> = (0..=peers).map(|_| Some(UdpSocket::bind("127.0.0.1:0").unwrap())).collect();
    let addresses: Vec<_> = sockets.iter().map(|s| s.as_ref().unwrap().local_addr().unwrap()).collect();
    let mut servers = Vec::new();
    for me in 0..peers {
        let (questions, offers) = (Arc::<Questions>::default(), Arc::new(Offers::new(source.clone(), u64::MAX)));
        offers.create().unwrap().unwrap();
        let transport = link(me, &mut sockets, &addresses, Arc::new(Serves(questions.clone())));
        let server = Server::new(offers, questions.clone(), transport, source.clone());
        servers.push((questions, std::thread::spawn(move || server.run())));
    }
    let events = Arc::<Queue<JoinEvent>>::default();
    let transport = link(peers, &mut sockets, &addresses, Arc::new(Hears(events.clone())));
    let store = open(&folder.path().join("joined"));
    let committee =
        Committee { chain: CHAIN, shard: ShardId(0), epoch: Epoch(0), me: None, keys: vec![key(1).public()] };
    let mut context = Context::new(&genesis(), ShardId::ROOT, None);
    context.committee = Arc::new(committee);
    let joiner = Joiner {
        store: store.clone(),
        transport,
        events,
        tables,
        context: Arc::new(context),
        peers: usize::from(peers),
        beyond_heights: 1,
        banned: Box::new(|ban| panic!("an honest peer was banned: {ban:?}")),
        progress: Arc::default(),
    };
    let began = Instant::now();
    let joined = tokio::task::spawn_blocking(move || joiner.run()).await.unwrap().unwrap();
    let took = began.elapsed();
    let rate = u128::from(keys) * 1000 / took.as_millis().max(1);
    println!("{joined:?} from {peers} peers in {:.1} s, {rate} leaves a second", took.as_secs_f64());
    assert_eq!(store.tree_base().unwrap(), Some(Height(HEIGHTS)));
    assert!(store.state(&leaf(keys - 1, value_bytes).key).unwrap().is_some());
    for (questions, thread) in servers {
        questions.close();
        thread.join().unwrap();
    }
}
