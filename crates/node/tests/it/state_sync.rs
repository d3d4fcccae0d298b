//! Snapshots of a real chain, fetched over real links by an empty store, from peers of which some lie.

use crate::chain::{context, v};
use crate::net::Net;
use crate::steps;
use rustorium_crypto::SigningKey;
use rustorium_node::statesync::{JoinEvent, JoinOutcome, Joiner, Offers};
use rustorium_shard::Event;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::journal_records;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_stages::rooter::{RootMetrics, Rooter};
use rustorium_state::tables::Tables;
use rustorium_storage::{EpochStore, HistoryStore, MemStore, Store, SyncStore, TreeStore};
use rustorium_sync::state::{Ban, Snapshots, answer_state, check_snapshot};
use rustorium_transport::{Config, FollowerLimits, Frame, Handler, Peer, SPOKEN, Transport};
use rustorium_types::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

fn tables() -> Arc<Tables> {
    static TABLES: OnceLock<Arc<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| Arc::new(Tables::build(4).unwrap())).clone()
}

/// A chain with several claimed roots; node 3 doesn't see the last one, and node 0's tree is folded.
fn rooted(rounds: u64) -> Net {
    let mut net = Net::new();
    root(&mut net, rounds);
    net
}

pub fn root(net: &mut Net, rounds: u64) {
    for round in 0..rounds {
        net.submit((round % 4) as usize);
        net.advance(60_000);
        net.advance(20_000);
        let tip = net.height(0);
        (0..4).for_each(|index| net.ports(index).events.push_back(Event::ClaimWanted(Height(tip))));
        net.run();
        net.advance(1_000_000);
    }
    fold(net, net.store(0).clone());
}

pub fn fold(net: &Net, store: Arc<dyn Store>) {
    let (events, inbox) = (Arc::<Queue<Event>>::default(), Arc::<Inbox>::default());
    let metrics = RootMetrics::new(&NodeMetrics::new(ShardId::ROOT));
    Rooter::new(store, tables(), &net.nodes[0].shard.ports.context, events, inbox, metrics).unwrap();
}

fn offers(net: &Net) -> Arc<Offers> {
    let offers = Offers::new(net.store(0).clone(), 500);
    offers.refresh().unwrap();
    Arc::new(offers)
}

#[test]
fn the_newest_two_certified_snapshots_are_offered() {
    let net = rooted(6);
    let offers = offers(&net);
    let listed = offers.list();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed[0].height > listed[1].height);
    let snapshot = offers.newest(Height(0)).unwrap();
    assert_eq!(snapshot.height, listed[0].height);
    assert!(offers.newest(snapshot.height).is_none());
    let committee = context(&net.genesis, 3).committee.clone();
    let checked = check_snapshot(&committee.chain, committee.shard, &committee.keys, &[], snapshot).unwrap();
    assert_eq!(checked.snapshot.result_root, net.store(0).block(checked.header.height).unwrap().unwrap().result_root);
    // All nodes offer the same heights of the same chain.
    fold(&net, net.store(1).clone());
    let other = Offers::new(net.store(1).clone(), 500);
    other.refresh().unwrap();
    assert_eq!(other.list(), listed);
}

#[test]
fn the_operator_can_have_the_newest_state_offered_at_once() {
    let net = rooted(4);
    let offers = Offers::new(net.store(0).clone(), u64::MAX);
    offers.refresh().unwrap();
    assert_eq!(offers.list(), []);
    let made = offers.create().unwrap().unwrap();
    assert_eq!(offers.list(), [made]);
    assert_eq!(Some(made.height), net.store(0).roots().first().copied());
    assert_eq!(offers.create().unwrap(), Some(made), "again: the same");
    let empty = Offers::new(Arc::new(MemStore::new()), 1);
    assert_eq!(empty.create().unwrap(), None);
}

fn node_key(index: u8) -> SigningKey {
    SigningKey::from_seed(&[110 + index; 32])
}

/// A peer that serves snapshots, correct or false.
struct Serves {
    offers: Arc<Offers>,
    store: Arc<MemStore>,
    lies: bool,
    /// If true, presents closing blocks as boundaries.
    closes: bool,
    transport: OnceLock<Transport>,
}

impl Handler for Serves {
    fn frame(&self, frame: Frame) {
        let Ok(Message::Request { id, request }) = Message::from_frame(frame.class, &frame.bytes) else { return };
        let answer = match request {
            Request::State(question) => answer_state(&*self.offers, &question).map(|answer| self.shown(answer)),
            Request::EpochEnd(epoch) => return self.end(&frame.from, id, epoch),
            _ => None,
        };
        let response = answer.map_or(Response::NotHeld, |answer| Response::State(Box::new(answer)));
        self.answer(&frame.from, id, response);
    }

    fn link(&self, _: &PublicKey, _: bool) {}
}

impl Serves {
    fn answer(&self, to: &PublicKey, id: u64, response: Response) {
        let frame = Message::Response { id, response }.to_frame();
        self.transport.wait().send_to(to, Class::Sync, frame.into()).unwrap();
    }

    fn end(&self, to: &PublicKey, id: u64, epoch: Epoch) {
        let change = self.store.epoch(epoch).unwrap().map(|change| if self.closes { closing(change) } else { change });
        self.answer(to, id, change.map_or(Response::NotHeld, Response::EpochEnd));
    }

    fn shown(&self, answer: StateAnswer) -> StateAnswer {
        match answer {
            StateAnswer::Slots(bytes) if self.lies => {
                let mut bytes = bytes.into_vec();
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                StateAnswer::Slots(BoundedBytes::new(bytes).unwrap())
            }
            other => other,
        }
    }
}

/// Returns the same end, with the first closing block in the boundary's place.
fn closing(change: EpochTransition) -> EpochTransition {
    let EpochTransition::V1(change) = change else { panic!("the epoch is of a later version") };
    let mut descendants = change.proof.descendants.clone().into_vec();
    if descendants.is_empty() {
        return EpochTransition::V1(change);
    }
    let boundary = descendants.remove(0);
    let proof = BlockProof { descendants: BoundedVec::new(descendants).unwrap(), ..change.proof };
    EpochChange { boundary, proof, next: change.next }.into()
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

/// Node 3, which joins, and peers 0 to 2, which are started one by one.
pub struct World {
    runtime: Runtime,
    sockets: Vec<Option<UdpSocket>>,
    addresses: Vec<SocketAddr>,
    pub net: Net,
    peers: Vec<Transport>,
}

impl World {
    pub fn new(net: Net) -> Self {
        let sockets: Vec<_> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let runtime = runtime();
        Self { runtime, sockets: sockets.into_iter().map(Some).collect(), addresses, net, peers: Vec::new() }
    }

    fn transport(&mut self, me: u8, handler: Arc<dyn Handler>, runtime: &Handle) -> Transport {
        let peer = |i: u8| Peer {
            index: v(usize::from(i)),
            node_key: node_key(i).public(),
            address: Some(self.addresses[usize::from(i)].into()),
        };
        let config = Config {
            me: Some(v(usize::from(me))),
            listen: self.addresses[usize::from(me)],
            identity: node_key(me),
            shards: Default::default(),
            chain: context(&self.net.genesis, 0).chain(),
            versions: SPOKEN,
            peers: (0..4).map(peer).collect(),
            queue_frames: Config::QUEUES.0,
            queue_bytes: Config::QUEUES.1,
            guests: Default::default(),
            followers: FollowerLimits::CLOSED,
            shaper: None,
        };
        match self.sockets[usize::from(me)].take() {
            Some(socket) => Transport::start_on(socket, config, handler, runtime).unwrap(),
            None => Transport::start(config, handler, runtime).unwrap(),
        }
    }

    pub fn serve(&mut self, me: u8, lies: bool) {
        self.serve_ends(me, lies, false, self.net.store(0).clone());
    }

    /// Serves the ends of epochs from a separate store.
    fn serve_ends(&mut self, me: u8, lies: bool, closes: bool, store: Arc<MemStore>) {
        let offers = offers(&self.net);
        let handler = Arc::new(Serves { offers, store, lies, closes, transport: OnceLock::new() });
        let runtime = self.runtime.handle().clone();
        let transport = self.transport(me, handler.clone(), &runtime);
        assert!(handler.transport.set(transport.clone()).is_ok());
        self.peers.push(transport);
    }

    pub fn join(&mut self, store: Arc<MemStore>) -> Joining {
        let events = Arc::<Queue<JoinEvent>>::default();
        let runtime = runtime();
        let transport = self.transport(3, Arc::new(Hears(events.clone())), runtime.handle());
        let (told, bans) = channel();
        let joiner = Joiner {
            store,
            transport: transport.clone(),
            events: events.clone(),
            tables: tables(),
            context: context(&self.net.genesis, 3),
            peers: 3,
            beyond_heights: 1,
            banned: Box::new(move |ban: &Ban| told.send(*ban).unwrap()),
            progress: Arc::default(),
        };
        Joining { events, bans, transport, runtime, thread: std::thread::spawn(move || joiner.run()) }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub struct Joining {
    events: Arc<Queue<JoinEvent>>,
    bans: Receiver<Ban>,
    transport: Transport,
    /// The joining node's own runtime: when it is dropped, the port is free.
    runtime: Runtime,
    thread: JoinHandle<Result<JoinOutcome, (&'static str, String)>>,
}

impl Joining {
    pub fn end(self) -> JoinOutcome {
        let joined = self.thread.join().unwrap().unwrap();
        self.runtime.block_on(self.transport.close());
        drop(self.transport);
        self.runtime.shutdown_timeout(Duration::from_secs(60));
        joined
    }
}

pub fn same_state(net: &Net, store: &MemStore) {
    let root = store.tip().unwrap().height;
    let (view, mine) = (net.store(0).view_at(root).unwrap(), store.view_at(root).unwrap());
    let walk = rustorium_storage::Walk {
        from: StateKey { account: AccountId([0; 32]), name: [0; 32] },
        account: None,
        wanted: &|_| true,
        leaves_max: usize::MAX,
        looks_max: usize::MAX,
        bytes_max: usize::MAX,
        opened_bytes_max: usize::MAX,
    };
    let leaves = view.walk(&walk).unwrap().leaves;
    assert!(leaves.len() > 8);
    assert_eq!(mine.walk(&walk).unwrap().leaves, leaves);
}

#[test]
fn a_liar_is_banned_a_stop_loses_no_part_and_an_honest_peer_serves_the_state() {
    let mut world = World::new(rooted(6));
    let store = Arc::new(MemStore::new());
    let joining = world.join(store.clone());
    // The liar's offer is true, because a false one would be refused; the state that it sends is false.
    world.serve(0, true);
    let ban = joining.bans.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(ban.peer, node_key(0).public());
    joining.events.push(JoinEvent::Stop);
    assert_eq!(joining.end(), JoinOutcome::Stopped);
    let begun = store.syncing().unwrap().expect("it was begun");
    assert_eq!((store.tip(), decode::<Snapshot>(&begun, limits::FRAME_BYTES_MAX).is_ok()), (None, true));

    world.serve(1, false);
    let joining = world.join(store.clone());
    let height = offers(&world.net).list()[0].height;
    assert_eq!(joining.end(), JoinOutcome::Filled(height));
    assert_eq!(store.syncing().unwrap(), None);
    assert_eq!(store.tip().unwrap().height, height);
    assert_eq!(store.tip().unwrap().result_root, world.net.store(0).block(height).unwrap().unwrap().result_root);
    assert_eq!((store.tree_base().unwrap(), store.kept().oldest_height), (Some(height), height));
    same_state(&world.net, &store);
}

#[test]
fn a_chain_without_snapshots_is_replayed() {
    let mut world = World::new(Net::new());
    let store = Arc::new(MemStore::new());
    let joining = world.join(store.clone());
    world.serve(0, false);
    world.serve(1, false);
    assert_eq!(joining.end(), JoinOutcome::NotNeeded);
    assert_eq!((store.tip(), store.syncing().unwrap()), (None, None));
    journal_records::tip_of(&*store, &world.net.genesis, ShardId::ROOT).unwrap();
}

#[test]
fn a_node_that_begins_with_a_snapshot_goes_on_with_the_chain_and_votes() {
    let mut net = rooted(5);
    net.stop(3);
    for account in 0..3 {
        net.submit(account);
        net.advance(60_000);
        net.nullify();
        net.advance(200_000);
    }
    let mut world = World::new(net);
    let store = Arc::new(MemStore::new());
    let joining = world.join(store.clone());
    world.serve(0, false);
    assert!(matches!(joining.end(), JoinOutcome::Filled(_)));
    let World { mut net, .. } = world;
    net.filled(3, store);
    net.advance(3_000_000);
    let (mine, theirs) = (net.store(3).tip().unwrap(), net.store(0).tip().unwrap());
    assert_eq!((mine.height, mine.digest, mine.result_root), (theirs.height, theirs.digest, theirs.result_root));
    let before = net.height(0);
    let id = net.submit(0);
    net.advance(500_000);
    net.nullify();
    net.advance(2_000_000);
    assert!(net.height(0) > before && (0..4).all(|index| net.is_final(index, &id)));
}

/// A chain in its third epoch; the first one ended with closing blocks, and node 3 was away from then on.
fn in_the_third_epoch() -> Net {
    let mut net = steps::net(5);
    steps::goes_on(&mut net, 4);
    steps::with_closing_blocks(&mut net, vec![steps::add(4)]);
    steps::goes_on(&mut net, 5);
    steps::operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(1) }]);
    root(&mut net, 5);
    net
}

#[test]
fn committees_are_followed_from_the_genesis_on_and_a_closing_block_is_no_boundary() {
    let mut world = World::new(in_the_third_epoch());
    assert!(!steps::change(&world.net, 0, 0).proof.descendants.is_empty());
    let forged = closing(steps::transition(&world.net, 0, 0));
    assert!(context(&world.net.genesis, 3).check_change(&forged).is_err());
    let store = Arc::new(MemStore::new());
    world.serve_ends(0, false, true, world.net.store(0).clone());
    world.serve(1, false);
    let joining = world.join(store.clone());
    let JoinOutcome::Filled(height) = joining.end() else { panic!("it was not filled") };
    assert_eq!(store.tip().unwrap().header.epoch, Epoch(2));
    assert_eq!(height, offers(&world.net).list()[0].height);
    for epoch in 0..2 {
        let (mine, theirs) = (store.epoch(Epoch(epoch)).unwrap().unwrap(), steps::change(&world.net, 0, epoch));
        assert_eq!((mine.boundary(), mine.validators()), (&theirs.boundary, &theirs.next));
    }
    let World { mut net, .. } = world;
    net.stop(3);
    net.filled(3, store);
    steps::goes_on(&mut net, 5);
    let (mine, theirs) = (net.store(3).tip().unwrap(), net.store(0).tip().unwrap());
    assert_eq!((mine.digest, mine.result_root), (theirs.digest, theirs.result_root));
    // The node knows the boundary of its epoch, although no block that it has contains it.
    steps::operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(2) }]);
    // Views of a leader that hasn't yet learned what it signed are passed over.
    for _ in 0..8 {
        if steps::epoch(&net, 0) == 2 {
            net.nullify();
            net.advance(2_000_000);
            net.heartbeats();
        }
    }
    assert_eq!(steps::change(&net, 3, 2).boundary, steps::change(&net, 0, 2).boundary);
    steps::goes_on(&mut net, 5);
}

#[test]
fn a_snapshot_whose_committee_nobody_shows_is_not_taken() {
    let mut world = World::new(in_the_third_epoch());
    let store = Arc::new(MemStore::new());
    for peer in 0..3 {
        world.serve_ends(peer, false, false, Arc::new(MemStore::new()));
    }
    assert_eq!(world.join(store.clone()).end(), JoinOutcome::NotNeeded);
    assert_eq!((store.tip(), store.syncing().unwrap(), store.epoch(Epoch(0)).unwrap()), (None, None, None));
}

/// Keeps the sender's type in use where no ban is expected.
#[test]
fn bans_carry_their_reason() {
    let (told, bans): (Sender<Ban>, Receiver<Ban>) = channel();
    told.send(Ban { peer: [1; 32], why: rustorium_sync::state::RefusedPart::Slots }).unwrap();
    let reason = rustorium_node::statesync::join::ban_reason(bans.recv().unwrap().why);
    assert!(reason.contains("slots that are not those of the node"), "{reason}");
}
