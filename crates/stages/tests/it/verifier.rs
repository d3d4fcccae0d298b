//! Signature checks outside the shard's thread: the order of results, and the cost of a bad signature.

use crate::chain::{self, forge_signature, genesis, put, v};
use crate::forge;
use rustorium_api::{ClientSession, Submitted, SubmittedSink, Wait};
use rustorium_crypto::{Addressed, Admitted, BatchFault, work_done};
use rustorium_shard::senders::Credit;
use rustorium_shard::senders::Payer;
use rustorium_shard::{Event, FalseBatch};
use rustorium_stages::queue::Queue;
use rustorium_stages::verifier::{Submission, Verifier};
use rustorium_stages::waiters::Waiters;
use rustorium_types::*;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

type AnswerLog = Arc<Mutex<Vec<(usize, Submitted)>>>;

/// A verifier whose threads run only when they are told to.
struct Bench {
    genesis: Genesis,
    verifier: Arc<Verifier>,
    waiters: Arc<Waiters>,
    events: Arc<Queue<Event>>,
    early: VecDeque<Event>,
    told: AnswerLog,
    threads: Vec<JoinHandle<()>>,
}

impl Bench {
    fn new() -> Self {
        let (waiters, events) = (Arc::<Waiters>::default(), Arc::<Queue<Event>>::default());
        let committee = chain::context(&genesis(), 0).committee.clone();
        let verifier = Arc::new(Verifier::new(committee, waiters.clone(), events.clone()));
        let (early, told, threads) = (VecDeque::new(), AnswerLog::default(), Vec::new());
        Self { genesis: genesis(), verifier, waiters, events, early, told, threads }
    }

    fn run(&mut self, threads: usize) {
        for _ in 0..threads {
            let verifier = self.verifier.clone();
            self.threads.push(thread::spawn(move || verifier.run()));
        }
    }

    /// The next event, waited for.
    fn next(&mut self) -> Event {
        while self.early.is_empty() {
            assert!(self.events.take(None, &mut self.early));
        }
        self.early.pop_front().unwrap()
    }

    fn signed(&self, account: usize, nonce: u64) -> Transaction {
        put(&self.genesis, account, nonce).into_inner()
    }

    fn batch(&self, author: usize, transactions: &[Transaction]) -> (Batch, bytes::Bytes) {
        let batch = forge::batch(&self.genesis, author, 0, BatchDigest::ZERO, transactions);
        let bytes = encode(&batch).into();
        (batch, bytes)
    }

    fn submit(&self, transactions: Vec<Transaction>) {
        let told = self.told.clone();
        let done: SubmittedSink = Arc::new(move |index, how| told.lock().unwrap().push((index, how)));
        let visit = ClientSession::of(IpAddr::from([192, 0, 2, 1]));
        let chain = self.verifier.chain();
        let ours = transactions.into_iter().map(|transaction| Addressed::check(&chain, transaction).unwrap());
        let all = ours.enumerate().map(|(index, transaction)| Submission {
            transaction,
            wait: Wait::Final,
            index,
            until: Instant::now() + Duration::from_secs(60),
            visit: visit.clone(),
            place: None,
            done: done.clone(),
        });
        self.verifier.submissions(all.collect::<Vec<_>>().into_iter());
    }

    fn admitted(&mut self) -> Vec<(AccountId, u64)> {
        match self.next() {
            Event::Transactions { transactions, from_client: true } => {
                let body = |one: &Admitted| (*one.transaction().sender(), one.transaction().nonce());
                transactions.iter().map(body).collect()
            }
            _ => panic!("not clients' transactions"),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.verifier.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn forged(mut transaction: Transaction) -> Transaction {
    forge_signature(&mut transaction);
    transaction
}

#[test]
fn one_of_several_waiting_copies_is_checked_and_each_gets_the_result() {
    let mut bench = Bench::new();
    let (good, other) = (bench.signed(0, 0), bench.signed(1, 0));
    let same_body = forged(good.clone());
    let mut all = vec![good.clone(); 100];
    all.extend([other.clone(), same_body.clone(), good, same_body, other]);
    bench.submit(all);
    assert!(bench.verifier.turn());
    let sender = |account: usize| (*bench.signed(account, 0).sender(), 0);
    let expected = vec![sender(0), sender(1)];
    assert_eq!(bench.admitted(), expected, "a copy is admitted once");
    let told = bench.told.lock().unwrap();
    let refused = told.iter().filter(|(_, how)| matches!(how, Submitted::Refused(why) if why.code == "bad-signature"));
    assert_eq!(refused.map(|(index, _)| *index).collect::<Vec<_>>(), [101, 103]);
    assert_eq!(told.len(), 2 + (101 - 8), "of good copies the last eight wait for the end");
    drop(told);
    assert_eq!(bench.verifier.unverified(), 0);
}

#[test]
fn groups_are_bounded_and_keep_a_senders_order_on_several_threads() {
    let mut bench = Bench::new();
    let transactions: Vec<_> = (0..900).map(|nonce| bench.signed(0, nonce)).collect();
    bench.submit(transactions);
    assert_eq!(bench.verifier.unverified(), 900);
    bench.run(3);
    let mut nonces = Vec::new();
    while nonces.len() < 900 {
        let group = bench.admitted();
        assert!(group.len() <= 256, "{} together", group.len());
        nonces.extend(group.into_iter().map(|(_, nonce)| nonce));
    }
    assert!(nonces.into_iter().eq(0..900));
    assert_eq!((bench.verifier.unverified(), bench.waiters.len()), (0, 900));
}

#[test]
fn a_bad_signature_among_good_ones_is_refused_alone() {
    let mut bench = Bench::new();
    let mut transactions: Vec<_> = (0..7).map(|account| bench.signed(account, 0)).collect();
    let ids: Vec<TxId> = transactions.iter().map(chain::id_of).collect();
    transactions[4] = forged(transactions[4].clone());
    bench.submit(transactions);
    bench.run(1);
    let senders: Vec<_> = bench.admitted().into_iter().map(|(sender, _)| sender).collect();
    assert_eq!(senders, [0, 1, 2, 3, 5, 6].map(chain::account));
    match &bench.told.lock().unwrap()[..] {
        [(4, Submitted::Refused(refused))] => assert_eq!((refused.code, refused.busy), ("bad-signature", false)),
        other => panic!("{other:?}"),
    }
    assert!(ids.iter().enumerate().all(|(index, id)| bench.waiters.holds(id) == (index != 4)));
    assert_eq!(bench.verifier.unverified(), 0);
}

#[test]
fn a_bad_group_keeps_the_order_of_those_around_it() {
    let mut bench = Bench::new();
    let bad: Vec<_> = (0..256).map(|nonce| forged(bench.signed(1, nonce))).collect();
    let good = vec![bench.signed(0, 0)];
    bench.submit(bad);
    bench.submit(good);
    bench.run(2);
    assert!(bench.admitted().is_empty(), "its place is kept");
    assert_eq!(bench.admitted(), [(chain::account(0), 0)]);
    assert_eq!(bench.told.lock().unwrap().len(), 256);
}

#[test]
fn work_for_consensus_goes_before_work_for_clients() {
    let mut bench = Bench::new();
    let transactions: Vec<_> = (0..300).map(|nonce| bench.signed(0, nonce)).collect();
    bench.submit(transactions);
    let (batch, bytes) = bench.batch(3, &[bench.signed(1, 0)]);
    bench.verifier.batch(v(3), batch, bytes, false, Credit::default());
    let forwarded = vec![bench.signed(2, 0), forged(bench.signed(2, 1))];
    bench.verifier.forwarded(Payer::Member(v(2)), forwarded, Credit::default());
    bench.run(1);
    assert!(matches!(bench.next(), Event::BatchChecked { checked: Ok(_), .. }));
    assert_eq!((bench.admitted().len(), bench.admitted().len()), (256, 44));
    match bench.next() {
        Event::Transactions { transactions, from_client: false } => assert_eq!(transactions.len(), 1, "the good one"),
        _ => panic!("not what was forwarded"),
    }
}

/// Of a member that isn't charged: its batches hold, and it sends them without end.
#[test]
fn clients_get_as_much_as_one_of_four_members_while_batches_wait() {
    let mut bench = Bench::new();
    for number in 0..12 {
        let transactions: Vec<_> = (0..256).map(|nonce| bench.signed(1, 1_000 * number + nonce)).collect();
        let (batch, bytes) = bench.batch(3, &transactions);
        bench.verifier.batch(v(3), batch, bytes, false, Credit::default());
    }
    let checked = |bench: &mut Bench| {
        assert!(bench.verifier.turn());
        match bench.next() {
            Event::BatchChecked { .. } => 'b',
            Event::Transactions { from_client: true, .. } => 'c',
            _ => panic!("neither a batch nor clients' transactions"),
        }
    };
    bench.submit((0..600).map(|nonce| bench.signed(0, nonce)).collect());
    let order: String = (0..12).map(|_| checked(&mut bench)).collect();
    assert_eq!(order, "bbbcbbbcbbbc");
    // Nobody waited for the last of them: whoever comes now is served at once.
    let rest: String = (0..2).map(|_| checked(&mut bench)).collect();
    bench.submit(vec![bench.signed(2, 0)]);
    assert_eq!(rest + &checked(&mut bench).to_string(), "bbb");
    assert!(!bench.verifier.turn() || bench.verifier.is_idle());
}

#[test]
fn what_a_cut_off_member_sent_unasked_is_dropped_unchecked() {
    let mut bench = Bench::new();
    let batches: Vec<_> = (0..3).map(|nonce| bench.batch(3, &[bench.signed(1, nonce)])).collect();
    for (batch, bytes) in &batches[..2] {
        bench.verifier.batch(v(3), batch.clone(), bytes.clone(), false, Credit::default());
    }
    let (batch, bytes) = batches[2].clone();
    bench.verifier.batch(v(3), batch, bytes, true, Credit::default());
    let (batch, bytes) = bench.batch(2, &[bench.signed(2, 0)]);
    bench.verifier.batch(v(2), batch, bytes, false, Credit::default());
    bench.verifier.forwarded(Payer::Member(v(3)), vec![bench.signed(4, 0)], Credit::default());
    bench.verifier.drop_of(v(3));
    let mut peers = Vec::new();
    while bench.verifier.turn() {
        let Event::BatchChecked { peer, wanted, .. } = bench.next() else { panic!("it was forwarded") };
        peers.push((peer, wanted));
    }
    assert_eq!(peers, [(v(3), true), (v(2), false)], "what a block needs is still checked");
    // The same batch is checked if it comes again.
    let (batch, bytes) = batches[0].clone();
    bench.verifier.batch(v(3), batch, bytes, false, Credit::default());
    assert!(bench.verifier.turn());
}

/// All other nodes refuse a batch with such a transaction, so nobody could list anything of this node's lane any more.
#[test]
fn a_forwarded_transaction_of_another_chain_never_reaches_the_pool() {
    let mut bench = Bench::new();
    let mut elsewhere = bench.genesis.clone();
    elsewhere.time_ms += 1;
    let foreign = put(&elsewhere, 0, 0).into_inner();
    bench.verifier.forwarded(Payer::Member(v(2)), vec![foreign, bench.signed(1, 0)], Credit::default());
    assert!(bench.verifier.turn());
    let Event::Transactions { transactions, from_client: false } = bench.next() else { panic!("nothing forwarded") };
    assert_eq!(transactions.len(), 1, "its signature holds, and it is for another chain");
}

/// Returns the signatures that the verifier's next turn checks, and the ids that it hashes.
fn work_of_a_turn(bench: &Bench) -> (u64, u64) {
    let before = work_done();
    assert!(bench.verifier.turn());
    let work = work_done().since(before);
    (work.singles + work.grouped, work.ids)
}

/// A node verifies its clients' transactions, and then the batch of another validator that lists them.
#[test]
fn a_checked_transaction_is_not_checked_again_in_a_batch() {
    let mut bench = Bench::new();
    let came: Vec<_> = (0..3).map(|account| bench.signed(account, 0)).collect();
    bench.submit(came.clone());
    assert_eq!(work_of_a_turn(&bench), (3, 3));
    assert_eq!(bench.admitted().len(), 3);
    bench.verifier.forwarded(Payer::Member(v(2)), came[..2].to_vec(), Credit::default());
    assert_eq!(work_of_a_turn(&bench), (0, 2));
    assert!(matches!(bench.next(), Event::Transactions { transactions, .. } if transactions.len() == 2));
    let all = [came.clone(), vec![bench.signed(3, 0)]].concat();
    let (batch, bytes) = bench.batch(1, &all);
    bench.verifier.batch(v(1), batch, bytes, false, Credit::default());
    assert_eq!(work_of_a_turn(&bench), (2, 4), "the author's signature, and that of the one that is new");
    let Event::BatchChecked { checked: Ok(checked), .. } = bench.next() else { panic!("the batch is good") };
    assert_eq!(checked.ids, all.iter().map(chain::id_of).collect::<Vec<_>>());
    let (batch, bytes) = bench.batch(2, &[came[0].clone(), forged(came[1].clone())]);
    bench.verifier.batch(v(2), batch, bytes, false, Credit::default());
    assert!(bench.verifier.turn());
    let Event::BatchChecked { checked: Err(found), .. } = bench.next() else { panic!("an id covers no signature") };
    assert_eq!(found.fault, Some(BatchFault::Transaction));
}

/// V20: clients' groups end with the transaction that brings their signatures to 256.
#[test]
fn a_group_of_clients_transactions_is_bounded_by_signatures() {
    let bench = Bench::new();
    let eight = |nonce| chain::second(&bench.genesis, 0, &[1, 2, 3, 4, 5, 6, 7], nonce);
    bench.submit((0..40).map(eight).collect());
    assert_eq!(work_of_a_turn(&bench), (32 * 8, 32));
    assert_eq!(work_of_a_turn(&bench), (8 * 8, 8));
    assert!(bench.verifier.is_idle());
}

#[test]
fn batches_are_checked_together_and_only_the_bad_one_is_bad() {
    let mut bench = Bench::new();
    let mut others_signature = bench.batch(2, &[bench.signed(5, 0)]);
    others_signature.0.signature[1] ^= 1;
    let batches = [
        (0, bench.batch(0, &[bench.signed(0, 0)])),
        (1, bench.batch(1, &[bench.signed(1, 0), forged(bench.signed(2, 0))])),
        (2, others_signature),
        (3, bench.batch(3, &[bench.signed(3, 0)])),
    ];
    for (from, (batch, bytes)) in batches.clone() {
        bench.verifier.batch(v(from), batch, bytes, from == 3, Credit::default());
    }
    bench.run(1);
    let [first, second, third, asked_for] = batches;
    for (from, (batch, sent)) in [asked_for, first, second, third] {
        let Event::BatchChecked { peer, checked, bytes, wanted } = bench.next() else { panic!("not a batch") };
        assert_eq!((peer, &bytes, wanted), (v(from), &sent, from == 3));
        let fault = if from == 1 { BatchFault::Transaction } else { BatchFault::Author };
        let found = FalseBatch { epoch: Epoch(0), author: v(from), fault: Some(fault) };
        let expected = if from == 0 || from == 3 { Ok(batch) } else { Err(found) };
        assert_eq!(checked.map(|checked| (*checked.batch).clone()), expected);
    }
}

/// R38: otherwise one member's batches, cheap to make and expensive to check, delay everybody's.
#[test]
fn one_members_flood_does_not_delay_another_members_batch() {
    let mut bench = Bench::new();
    for seq in 0..24 {
        let transactions: Vec<_> = (0..64).map(|nonce| bench.signed(1, seq * 64 + nonce)).collect();
        let batch = forge::batch(&bench.genesis, 1, seq, BatchDigest::ZERO, &transactions);
        let bytes = encode(&batch).into();
        bench.verifier.batch(v(1), batch, bytes, false, Credit::default());
    }
    let (batch, bytes) = bench.batch(3, &[bench.signed(3, 0)]);
    bench.verifier.batch(v(3), batch, bytes, false, Credit::default());
    bench.run(1);
    let place = (0..25).position(|_| matches!(bench.next(), Event::BatchChecked { peer, .. } if peer == v(3)));
    assert!(place.is_some_and(|place| place < 3), "{place:?}");
}

#[test]
fn a_batch_without_a_known_author_is_dropped() {
    let mut bench = Bench::new();
    let (mut batch, bytes) = bench.batch(0, &[bench.signed(0, 0)]);
    batch.body.author = v(chain::N);
    bench.verifier.batch(v(1), batch, bytes, false, Credit::default());
    let (batch, bytes) = bench.batch(1, &[bench.signed(1, 0)]);
    bench.verifier.batch(v(2), batch, bytes, false, Credit::default());
    bench.run(1);
    assert!(matches!(bench.next(), Event::BatchChecked { peer, .. } if peer == v(2)));
}

#[test]
fn a_copy_of_a_batch_that_waits_is_checked_once_unless_it_was_asked_for() {
    let mut bench = Bench::new();
    let (batch, bytes) = bench.batch(0, &[bench.signed(0, 0)]);
    for (from, wanted) in [(1, false), (2, false), (3, true)] {
        bench.verifier.batch(v(from), batch.clone(), bytes.clone(), wanted, Credit::default());
    }
    bench.run(1);
    let mut peers = Vec::new();
    for _ in 0..2 {
        let Event::BatchChecked { peer, .. } = bench.next() else { panic!("not a batch") };
        peers.push(peer);
    }
    assert_eq!(peers, [v(3), v(1)], "what was asked for comes first");
}

#[test]
fn inline_transactions_are_good_together_or_not_at_all() {
    let mut bench = Bench::new();
    let context = chain::context(&bench.genesis, 0);
    for good in [true, false] {
        let last = if good { bench.signed(1, 0) } else { forged(bench.signed(1, 0)) };
        let mut block = forge::child(&context, &context.genesis_header, 1);
        block.inline = BoundedVec::new(vec![bench.signed(0, 0), last]).unwrap();
        bench.verifier.inline(BlockDigest([u8::from(good); 32]), Arc::new(block));
    }
    bench.run(1);
    for good in [true, false] {
        match bench.next() {
            Event::InlineChecked { digest, good: found } => {
                assert_eq!((digest, found), (BlockDigest([u8::from(good); 32]), good));
            }
            _ => panic!("not an inline check"),
        }
    }
}

#[test]
fn stopping_does_not_wait_for_what_is_queued() {
    let mut bench = Bench::new();
    let transactions: Vec<_> = (0..300).map(|nonce| bench.signed(0, nonce)).collect();
    bench.submit(transactions);
    bench.verifier.stop();
    bench.run(2);
    bench.threads.drain(..).for_each(|thread| thread.join().unwrap());
    assert_eq!(bench.verifier.unverified(), 300);
}
