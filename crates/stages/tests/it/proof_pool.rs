//! The pool of proofs: waiting requests are answered together, proofs are kept, and requests beyond the limit are
//! refused at once.

use crate::chain::{ACCOUNTS, N, account};
use crate::net::Net;
use crate::steps::{claim, rooted};
use rustorium_api::{BackendError, Proven};
use rustorium_execution::{AccountRecord2, ProofRefused, verify_read};
use rustorium_shard::Event;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::proofs::{ProofLimits, ProofMetrics, ProofPool};
use rustorium_stages::queue::Queue;
use rustorium_stages::rooter::{RootMetrics, Rooter};
use rustorium_state::tables::Tables;
use rustorium_storage::{HistoryStore, MemStore, Store};
use rustorium_types::{BoundedBytes, Genesis, Height, PROOF_KEYS_MAX, ShardId, StateClaim, Subject, encode};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

struct World {
    net: Net,
    pool: ProofPool,
}

static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| Arc::new(Tables::build(4).unwrap()));

/// Folds the claimed state of node 0's store into the tree's base, as a start does.
fn fold(net: &Net) {
    let (events, inbox) = (Arc::<Queue<Event>>::default(), Arc::<Inbox>::default());
    let (store, metrics) = (net.store(0).clone(), RootMetrics::new(&NodeMetrics::new(ShardId::ROOT)));
    assert!(Rooter::new(store, TABLES.clone(), &net.nodes[0].shard.ports.context, events, inbox, metrics).is_ok());
}

type Answer = Receiver<Result<Proven, BackendError>>;

impl World {
    fn with(limits: ProofLimits) -> Self {
        let mut net = rooted();
        claim(&mut net);
        let store: Arc<dyn Store> = net.store(0).clone();
        fold(&net);
        Self { pool: ProofPool::new(store, limits, ProofMetrics::default()), net }
    }

    /// Makes one more transaction final, rooted and claimed.
    fn claim_another(&mut self) {
        let before = self.net.store(0).roots();
        self.net.submit(1);
        for _ in 0..20 {
            self.net.advance(200_000);
            let height = self.net.store(0).tip().unwrap().height;
            (0..N).for_each(|index| self.net.ports(index).events.push_back(Event::ClaimWanted(height)));
            self.net.run();
            fold(&self.net);
            if self.net.store(0).roots() != before {
                return;
            }
        }
        panic!("no other root was claimed");
    }

    fn new() -> Self {
        Self::with(ProofLimits::default())
    }

    fn ask(&self, subjects: Vec<Subject>, root: Option<u64>) -> Answer {
        self.ask_until(subjects, root, Instant::now() + Duration::from_secs(3_600))
    }

    fn ask_until(&self, mut subjects: Vec<Subject>, root: Option<u64>, deadline: Instant) -> Answer {
        let (sender, answer) = channel();
        let sender = Mutex::new(sender);
        subjects.sort();
        let sink = Box::new(move |answered| drop(sender.lock().unwrap().send(answered)));
        self.pool.ask(Ipv4Addr::LOCALHOST.into(), subjects, root.map(Height), deadline, sink);
        answer
    }

    fn made(&self) -> (u64, u64) {
        self.pool.metrics().made_and_answered()
    }
}

fn record(number: usize) -> Subject {
    Subject::Account(account(number))
}

fn value(number: usize, key: &[u8]) -> Subject {
    Subject::Value(account(number), BoundedBytes::new(key.to_vec()).unwrap())
}

fn checked(genesis: &Genesis, answer: &Answer) -> Proven {
    let proven = answer.try_recv().unwrap().unwrap();
    let shown = verify_read(genesis, &proven.proof).unwrap();
    assert_eq!((shown.height, shown.root), (proven.at.height, proven.state_root));
    proven
}

fn refused(answer: &Answer) -> BackendError {
    answer.try_recv().unwrap().unwrap_err()
}

#[test]
fn waiting_requests_share_one_proof_and_each_gets_its_own_part() {
    let world = World::new();
    let answers: Vec<Answer> = (0..ACCOUNTS).map(|number| world.ask(vec![record(number)], None)).collect();
    let absent = world.ask(vec![value(3, b"none"), record(3)], None);
    world.pool.run_once();
    assert_eq!(world.made(), (1, ACCOUNTS as u64 + 1));
    for (number, answer) in answers.iter().enumerate() {
        let proven = checked(&world.net.genesis, answer);
        assert_eq!((proven.proof.entries.len(), proven.proof.others.len()), (1, ACCOUNTS));
        let (subject, held) = &proven.proof.entries[0];
        assert_eq!(*subject, record(number));
        assert!(AccountRecord2::from_bytes(held.as_ref().unwrap().as_slice()).is_ok());
    }
    let proven = checked(&world.net.genesis, &absent);
    assert!(proven.proof.entries[1].1.is_none() && proven.proof.entries[0].1.is_some());
    let tip = world.net.store(0).links(Height(1), Height(1)).unwrap();
    assert_eq!((proven.at.height, proven.at.root), (Height(1), tip[0].result_root));
}

#[test]
fn a_proof_is_reused_until_there_is_a_newer_root() {
    let mut world = World::new();
    let first = world.ask(vec![record(0), record(1)], None);
    world.pool.run_once();
    checked(&world.net.genesis, &first);
    for subjects in [vec![record(0), record(1)], vec![record(1)]] {
        checked(&world.net.genesis, &world.ask(subjects, None));
    }
    assert!(world.ask(vec![record(0), record(2)], None).try_recv().is_err(), "one of them isn't there");
    world.pool.run_once();
    assert_eq!(world.made(), (2, 2));
    world.claim_another();
    let newer = world.ask(vec![record(0)], None);
    assert!(newer.try_recv().is_err(), "the older root's proof is none of the newest");
    world.pool.run_once();
    let older = world.ask(vec![record(0)], Some(1));
    let (newer, older) = (newer.try_recv().unwrap().unwrap(), older.try_recv().unwrap().unwrap());
    assert!(newer.at.height > older.at.height);
    assert_eq!(older.at.height, Height(1));
    for proven in [&newer, &older] {
        assert!(verify_read(&world.net.genesis, &proven.proof).is_ok());
    }
    let mut mixed = newer.proof.clone();
    mixed.state = older.proof.state.clone();
    assert!(matches!(
        verify_read(&world.net.genesis, &mixed),
        Err(ProofRefused::State(_) | ProofRefused::OtherValue(_))
    ));
}

#[test]
fn a_proof_at_an_old_root_is_made_from_the_state_at_that_root() {
    let mut world = World::new();
    world.claim_another();
    let subjects = || (0..ACCOUNTS).map(record).collect::<Vec<_>>();
    let old = world.ask(subjects(), Some(1));
    let new = world.ask(subjects(), None);
    world.pool.run_once();
    let (old, new) = (checked(&world.net.genesis, &old), checked(&world.net.genesis, &new));
    let nonces = |proven: &Proven| -> u64 {
        let records = proven.proof.entries.iter().map(|(_, held)| held.as_ref().unwrap());
        records.map(|held| AccountRecord2::from_bytes(held.as_slice()).unwrap().nonce).sum()
    };
    assert_eq!((nonces(&old), nonces(&new)), (1, 2));
    assert_eq!(world.made().0, 2, "one for each root");
}

#[test]
fn unkept_roots_name_the_nearest_and_an_empty_store_has_none() {
    let world = World::new();
    let answer = world.ask(vec![record(0)], Some(77));
    world.pool.run_once();
    assert_eq!(refused(&answer), BackendError::ProofPruned { height: Height(77), nearest: Some(Height(1)) });
    let empty = ProofPool::new(Arc::new(MemStore::new()), ProofLimits::default(), ProofMetrics::default());
    let (newest, none) = (Height(0), Height(0));
    assert_eq!(empty.claimed(None).unwrap_err(), BackendError::NotProvenYet { from: none, newest });
    let pruned = BackendError::ProofPruned { height: Height(4), nearest: None };
    assert_eq!(empty.claimed(Some(Height(4))).unwrap_err(), pruned);
}

#[test]
fn the_claim_is_found_with_its_header_and_certificate() {
    let world = World::new();
    let claimed = world.pool.claimed(None).unwrap();
    let StateClaim::Rooted { height, root, .. } = claimed.header.state else { panic!("it claims one") };
    assert_eq!((height, root), (claimed.height, claimed.state_root));
    assert_eq!(claimed.header.height, Height(2));
    assert!(rustorium_execution::verify_block(&world.net.genesis, &claimed.header, &claimed.proof).is_ok());
}

#[test]
fn a_full_pool_says_so_at_once_and_a_late_answer_is_not_made() {
    let world = World::with(ProofLimits { asks_max: 2, keys_max: 3, ..ProofLimits::default() });
    let one = world.ask(vec![record(0)], None);
    let three = world.ask(vec![record(1), record(2), record(3)], None);
    assert!(matches!(refused(&three), BackendError::Busy { retry_after_ms: 1.. }), "too many keys");
    let two = world.ask(vec![record(1)], None);
    assert!(matches!(refused(&world.ask(vec![record(2)], None)), BackendError::Busy { .. }), "too many questions");
    world.pool.run_once();
    checked(&world.net.genesis, &one);
    checked(&world.net.genesis, &two);
    let whole = world.ask((0..ACCOUNTS).map(record).collect(), None);
    world.pool.run_once();
    assert_eq!(checked(&world.net.genesis, &whole).proof.entries.len(), ACCOUNTS, "an empty pool takes any");
    let made = world.made();
    let late = world.ask_until(vec![value(0, b"late")], None, Instant::now());
    world.pool.run_once();
    assert!(matches!(refused(&late), BackendError::Busy { .. }));
    assert_eq!(world.made(), made);
}

#[test]
fn requests_are_collected_up_to_a_number_of_keys_and_large_ones_wait_behind_small_ones() {
    let world = World::with(ProofLimits { gathered_keys_max: 4, ..ProofLimits::default() });
    let large = world.ask((0..ACCOUNTS).map(record).collect(), None);
    let small: Vec<Answer> = (0..6).map(|number| world.ask(vec![record(number)], None)).collect();
    let same = world.ask(vec![record(5)], None);
    world.pool.run_once();
    assert_eq!(world.made(), (3, 8));
    assert!(checked(&world.net.genesis, &large).proof.others.is_empty());
    for answer in small.iter().chain([&same]) {
        assert!(checked(&world.net.genesis, answer).proof.others.len() <= 3);
    }
}

#[test]
fn a_client_that_fills_the_pool_neither_keeps_others_out_nor_waiting() {
    let world = World::with(ProofLimits { gathered_keys_max: 4, keys_max: 64, ..ProofLimits::default() });
    let order = Arc::new(Mutex::new(Vec::new()));
    let ask = |last: u8, keys: usize| {
        let mut subjects: Vec<Subject> = (0..keys).map(|n| value(n % ACCOUNTS, &[last, n as u8])).collect();
        subjects.sort();
        let order = order.clone();
        let done = move |answer: Result<Proven, BackendError>| order.lock().unwrap().push((last, answer.is_ok()));
        let deadline = Instant::now() + Duration::from_secs(3_600);
        world.pool.ask(IpAddr::from([192, 0, 2, last]), subjects, None, deadline, Box::new(done));
    };
    (0..5).for_each(|_| ask(1, 16));
    assert_eq!(std::mem::take(&mut *order.lock().unwrap()), [(1, false)], "four are all of its keys");
    (0..3).for_each(|_| ask(2, 1));
    ask(3, 8);
    world.pool.run_once();
    let answered = std::mem::take(&mut *order.lock().unwrap());
    assert!(answered.iter().all(|(_, good)| *good), "{answered:?}");
    let place = |last: u8| answered.iter().rposition(|(of, _)| *of == last).unwrap();
    assert!(place(2) <= 4 && place(3) <= 4, "each has its turn: {answered:?}");
}

#[test]
fn a_proof_of_as_many_keys_as_can_be_is_made_and_checked() {
    let world = World::new();
    let subjects: Vec<Subject> = (0..PROOF_KEYS_MAX).map(|n| value(n % ACCOUNTS, &n.to_le_bytes())).collect();
    let answer = world.ask(subjects, None);
    world.pool.run_once();
    let proven = checked(&world.net.genesis, &answer);
    assert_eq!(proven.proof.entries.len(), PROOF_KEYS_MAX);
    assert!(proven.proof.entries.iter().all(|(_, held)| held.is_none()));
    assert!(encode(&*proven.proof).len() < 1024 * 1024);
}

#[test]
fn a_request_for_one_key_does_not_get_the_proof_of_many() {
    let world = World::with(ProofLimits { gathered_keys_max: 4, ..ProofLimits::default() });
    let all = || (0..ACCOUNTS).map(record).collect::<Vec<_>>();
    let many = world.ask(all(), None);
    world.pool.run_once();
    checked(&world.net.genesis, &many);
    let one = world.ask(vec![record(0)], None);
    world.pool.run_once();
    assert!(checked(&world.net.genesis, &one).proof.others.is_empty());
    for again in [world.ask(all(), None), world.ask(vec![record(0)], None)] {
        checked(&world.net.genesis, &again);
    }
    assert_eq!(world.made().0, 2, "both are kept");
}

#[test]
fn the_pools_thread_answers_until_the_pool_is_closed() {
    let world = World::new();
    std::thread::scope(|scope| {
        scope.spawn(|| world.pool.run());
        let proven = world.ask(vec![record(0)], None).recv().unwrap().unwrap();
        assert!(verify_read(&world.net.genesis, &proven.proof).is_ok());
        world.pool.close();
    });
    assert!(world.ask(vec![value(0, b"after")], None).recv().is_err(), "the sink is dropped: nothing comes any more");
}
