//! A node as its gateway sees it, over a store in memory and a verifier whose threads the test runs.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../../../shard/tests/it/chain.rs"]
pub(super) mod chain;

use super::*;
use rustorium_crypto::{Addressed, SigningKey, work_done};
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_stages::journal_records;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_storage::{AuditSink, MemStore};
use rustorium_transport::PeerAddress;
use rustorium_types::{Genesis, Outcome, Receipt, ShardId, encode};
use std::collections::VecDeque;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::thread;
use tempfile::TempDir;

struct World {
    _home: TempDir,
    genesis: Genesis,
    backend: NodeBackend,
    events: Arc<Queue<Event>>,
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

impl World {
    fn new(capacity: usize) -> Self {
        let genesis = chain::genesis();
        let context: Arc<Context> = chain::context(&genesis, 0);
        let (waiters, events) = (Arc::<Waiters>::default(), Arc::<Queue<Event>>::default());
        let store = Arc::new(MemStore::new());
        journal_records::tip_of(&*store, &genesis, ShardId::ROOT).unwrap();
        let home = TempDir::new().unwrap();
        let audit = Arc::new(AuditSink::open(home.path(), SigningKey::from_seed(&[9; 32])).unwrap());
        let address = PeerAddress::parse("10.0.0.1:26650").unwrap();
        let others = genesis.validators.iter().skip(1);
        let book = others.map(|validator| (validator.node_key, address.clone())).collect();
        let backend = NodeBackend {
            chain: ChainInfo {
                id: context.chain(),
                genesis_bytes: encode(&genesis).into(),
                genesis: Arc::new(genesis.clone()),
                shard: context.committee.shard,
                name: "test".into(),
            },
            name: "node-0".into(),
            links: Arc::new(Links::new(context.clone(), genesis.validators[0].node_key, book)),
            notices: Arc::new(Notices::open(audit, home.path().join("safety"), Arc::default()).unwrap()),
            durability: "vote",
            room: Room::new(capacity),
            store,
            verifier: Arc::new(Verifier::new(context.committee.clone(), waiters.clone(), events.clone())),
            waiters,
            gauges: Arc::default(),
            progress: Arc::default(),
            metrics: Arc::new(NodeMetrics::new(ShardId::ROOT)),
            proofs: None,
            inbox: Arc::<Inbox>::default(),
            stopping: Arc::default(),
            findings: parking_lot::RwLock::default(),
        };
        Self { _home: home, genesis, backend, events }
    }

    fn signed(&self, account: usize) -> Addressed {
        let transaction = chain::put(&self.genesis, account, 0).into_inner();
        Addressed::check(&self.backend.chain.id, transaction).unwrap()
    }

    /// Checks waiting transactions until the shard is given something.
    fn check(&self) {
        let verifier = self.backend.verifier.clone();
        let thread = thread::spawn(move || verifier.run());
        assert!(self.events.take(None, &mut VecDeque::new()));
        self.backend.verifier.stop();
        thread.join().unwrap();
    }

    /// Checks all waiting transactions, on this thread.
    fn check_all(&self) {
        while self.backend.verifier.turn() {}
    }

    fn submit(&self, transactions: Vec<Addressed>, wait: Wait) -> BoxFuture<'static, Vec<Submitted>> {
        self.backend.submit(transactions, wait, Instant::now(), &ClientSession::of(CLIENT))
    }
}

/// Returns the answers to a client that has no time left: the results so far, and the deadline for the others.
fn at_the_deadline<T>(answers: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(answers)
}

fn receipt(id: TxId) -> Receipt {
    let (sender, height) = (chain::account(0), Height(5));
    Receipt { transaction: id, sender, nonce: 0, height, index: 0, time_ms: 50, work: 1, outcome: Outcome::Ok }
}

fn codes(answers: &[Submitted]) -> Vec<&'static str> {
    let code = |answer: &Submitted| match answer {
        Submitted::Refused(refused) => refused.code,
        Submitted::TimedOut(_) => "timed out",
        Submitted::Accepted(_) | Submitted::Final(..) | Submitted::Certified(..) => "taken",
    };
    answers.iter().map(code).collect()
}

#[test]
fn each_item_is_answered_in_its_place_and_an_ended_wait_is_forgotten() {
    let world = World::new(100);
    let transactions: Vec<_> = (0..3).map(|account| world.signed(account)).collect();
    let ids: Vec<TxId> = transactions.iter().map(|transaction| chain::id_of(transaction)).collect();
    let answers = world.submit(transactions, Wait::Final);
    world.check();
    world.backend.waiters.executed(Height(5), &[receipt(ids[2])]);
    world.backend.waiters.refused(&ids[0], &Refused::new("expired", "too late"));
    assert_eq!(world.backend.transaction(&ids[1]).unwrap(), TransactionStatus::Pending);
    let answers = at_the_deadline(answers);
    assert_eq!(codes(&answers), ["expired", "timed out", "taken"]);
    assert!(matches!(&answers[1], Submitted::TimedOut(id) if *id == ids[1]));
    assert!(matches!(&answers[2], Submitted::Final(id, receipt) if *id == ids[2] && receipt.height == Height(5)));
    assert!(world.backend.waiters.is_empty());
    assert_eq!(world.backend.transaction(&ids[1]).unwrap(), TransactionStatus::Unknown);
}

#[test]
fn an_id_is_hashed_once_and_a_signature_checked_once_on_the_way_into_the_pool() {
    let world = World::new(100);
    let transactions: Vec<_> = (0..3).map(|account| world.signed(account)).collect();
    let before = work_done();
    let answers = world.submit(transactions, Wait::Final);
    world.check_all();
    let work = work_done().since(before);
    assert_eq!((work.ids, work.singles + work.grouped), (3, 3));
    assert_eq!(codes(&at_the_deadline(answers)), ["timed out"; 3]);
}

type AnswerLog = Arc<Mutex<Vec<(usize, Submitted)>>>;

fn listener() -> (AnswerLog, SubmittedSink) {
    let answered = AnswerLog::default();
    let told = answered.clone();
    (answered, Arc::new(move |index, how| told.lock().unwrap().push((index, how))))
}

#[test]
fn a_full_node_refuses_at_once_and_says_when_to_come_back() {
    let world = World::new(3);
    let (answered, sink) = listener();
    // A group that finds room is accepted as a whole, so the limit can be exceeded by the size of a group at most.
    let waits = world.submit((0..4).map(|account| world.signed(account)).collect(), Wait::Final);
    assert_eq!((world.backend.busy(Some(CLIENT)), world.backend.verifier.unverified()), (Some(RETRY_AFTER_MS), 4));
    let visit = ClientSession::of(CLIENT);
    world.backend.submit_streaming(vec![world.signed(5), world.signed(6)], Wait::Final, &visit, sink);
    let answered = answered.lock().unwrap();
    for (place, (index, how)) in answered.iter().enumerate() {
        let Submitted::Refused(refused) = how else { panic!("{how:?}") };
        assert_eq!((*index, refused.busy, refused.retry_after_ms), (place, true, Some(RETRY_AFTER_MS)));
    }
    assert_eq!((answered.len(), world.backend.metrics.busy.get()), (2, 2));
    // A checked transaction still counts for as long as somebody waits for it.
    world.check();
    assert_eq!((world.backend.verifier.unverified(), world.backend.waiters.len()), (0, 4));
    assert!(world.backend.busy(Some(CLIENT)).is_some());
    let gone = Refused::new("expired", "too late");
    (0..2).for_each(|account| world.backend.waiters.refused(&chain::id_of(&world.signed(account)), &gone));
    assert_eq!(world.backend.busy(Some(CLIENT)), None);
    drop(waits);
    assert_eq!(
        (world.backend.waiters.len(), world.backend.room.taken()),
        (0, 0),
        "a request that is dropped waits no more"
    );
}

#[test]
fn a_room_that_one_client_fills_is_full_for_that_client_alone() {
    let world = World::new(4);
    let (answered, sink) = listener();
    let (many, few) = (ClientSession::of(CLIENT), ClientSession::of(OTHER));
    world.backend.submit_streaming((0..4).map(|n| world.signed(n)).collect(), Wait::Final, &many, sink.clone());
    assert!(world.backend.busy(Some(CLIENT)).is_some());
    assert_eq!((world.backend.busy(Some(OTHER)), world.backend.busy(None)), (None, None), "others find room");
    world.backend.submit_streaming(vec![world.signed(5), world.signed(6), world.signed(7)], Wait::Final, &few, sink);
    assert_eq!(answered.lock().unwrap().len(), 1, "and no more than their share");
    world.check();
    world.backend.left(&many);
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (2, 2));
    assert_eq!(world.backend.busy(Some(CLIENT)), None);
}

/// Before the fix, one signed transaction that is never executed, sent again and again, made every node refuse
/// everything.
#[test]
fn copies_of_one_transaction_share_a_place_and_go_with_their_session() {
    let world = World::new(16);
    let (answered, sink) = listener();
    let visit = ClientSession::of(CLIENT);
    for _ in 0..40 {
        world.backend.submit_streaming(vec![world.signed(0); 10], Wait::Final, &visit, sink.clone());
        world.check_all();
    }
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (1, 1));
    let told = answered.lock().unwrap().len();
    assert!((380..400).contains(&told), "all but the newest know that the end is open: {told}");
    assert!(answered.lock().unwrap().iter().all(|(_, how)| matches!(how, Submitted::TimedOut(_))));
    world.backend.left(&visit);
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (0, 0));
    // A transaction that is checked after the end of its session waits for nothing.
    world.backend.submit_streaming(vec![world.signed(1)], Wait::Final, &visit, sink);
    world.check_all();
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (0, 0));
}

/// Otherwise requests that end at once would each leave a wait behind for as long as their transactions live.
#[test]
fn a_request_that_ends_before_its_check_waits_for_nothing() {
    let world = World::new(16);
    let answers = world.submit(vec![world.signed(0)], Wait::Final);
    assert_eq!(codes(&at_the_deadline(answers)), ["timed out"]);
    world.check_all();
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (0, 0));
}

#[test]
fn a_wait_ends_by_the_clock_whether_or_not_blocks_come() {
    let world = World::new(16);
    let (answered, sink) = listener();
    let visit = ClientSession::of(CLIENT);
    world.backend.submit_streaming(vec![world.signed(0)], Wait::Final, &visit, sink);
    world.check_all();
    let now = std::time::Instant::now();
    world.backend.waiters.sweep(now);
    assert_eq!(world.backend.waiters.len(), 1);
    world.backend.waiters.sweep(now + WAIT_MAX);
    assert!(matches!(answered.lock().unwrap().as_slice(), [(0, Submitted::TimedOut(_))]), "how it ends is open");
    assert_eq!((world.backend.waiters.len(), world.backend.room.taken()), (0, 0));
}

#[test]
fn readiness_names_what_is_missing() {
    let world = World::new(1);
    let why = || world.backend.status().ready.unwrap_err();
    assert!(why().contains("hasn't begun"), "{}", why());
    world.backend.inbox.drain(1).unwrap();
    world.backend.links.set(&world.genesis.validators[2].node_key, true);
    assert!(why().contains("only 2 of the 3"), "{}", why());
    assert!(why().contains("can't reach b at 10.0.0.1:26650, d at"), "{}", why());
    world.backend.links.set(&world.genesis.validators[1].node_key, true);
    assert!(why().contains("catching up"), "{}", why());
    world.backend.gauges.synced.store(true, Ordering::Relaxed);
    let status = world.backend.status();
    assert_eq!((status.ready, status.peers_up, status.unreachable), (Ok(()), 2, vec!["d".to_owned()]));
    world.backend.inbox.fail("disk-full", "the disk is full: free space");
    assert_eq!(why(), "the disk is full: free space");
    world.backend.stopping.store(true, Ordering::Relaxed);
    assert_eq!(why(), "the node is stopping");
}

fn finding(code: &str, severity: Severity) -> Finding {
    let (evidence, advice) = ("it was seen".to_owned(), "do this".to_owned());
    Finding { code: code.to_owned(), severity, evidence, advice, since_ms: 7 }
}

#[test]
fn findings_are_shown_and_make_a_node_not_ready() {
    let world = World::new(1);
    let backend = &world.backend;
    backend.inbox.drain(1).unwrap();
    (0..4).for_each(|index| backend.links.set(&world.genesis.validators[index].node_key, true));
    backend.gauges.synced.store(true, Ordering::Relaxed);
    assert_eq!(backend.status().ready, Ok(()));
    let suspicion = BTreeMap::from([("node-1".to_owned(), 0.5)]);
    backend.tell_health(vec![finding("disk-slow", Severity::Degraded)], &suspicion);
    assert_eq!(backend.status().ready, Ok(()), "it is slower, and serves");
    let found = vec![finding("disk-slow", Severity::Degraded), finding("store-corrupt", Severity::NotReady)];
    backend.tell_health(found.clone(), &suspicion);
    let status = backend.status();
    assert_eq!(status.ready, Err("store-corrupt: it was seen; do this".to_owned()));
    assert_eq!(status.findings, found);
    let metrics = backend.metrics();
    for line in [
        r#"rustorium_node_finding{code="store-corrupt"} 1"#,
        r#"rustorium_node_peer_suspicion{shard="0",peer="node-1"} 0.5"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in {metrics}");
    }
    backend.tell_health(Vec::new(), &BTreeMap::new());
    assert_eq!(backend.status().ready, Ok(()));
    let metrics = backend.metrics();
    for line in
        [r#"rustorium_node_finding{code="store-corrupt"} 0"#, "rustorium_node_findings 0", "rustorium_node_ready 1"]
    {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in {metrics}");
    }
    assert!(!metrics.contains("rustorium_node_peer_suspicion{"));
}
