//! Random owners, thieves, recovery accounts and clocks, beside a model of the rules of custody (V28 to V33).
//!
//! The model knows no leaves: its clock applies a change in the moment in which it is due.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::settings_hash;
use rustorium_execution::*;
use rustorium_types::*;

const OWNED: usize = 0;
const HELPERS: [usize; 2] = [1, 2];
const FRIEND: usize = 3;
const LIMIT: u64 = 20_000;

/// The authorities that may act for the account: its first key, and what owners and thieves choose.
fn authority(number: usize) -> Authority {
    [(1, &[0][..]), (2, &[20, 21, 22]), (1, &[23]), (2, &[23, 24])].map(|(least, keys)| authority_of(least, keys))
        [number]
        .clone()
}

#[derive(Clone, PartialEq, Debug)]
struct Wanted {
    keys: usize,
    delay_ms: u64,
    recovery: Option<(usize, u64, bool)>,
}

impl Wanted {
    fn settings(&self) -> AuthoritySettings {
        let by = self.recovery.and_then(|(number, delay_ms, is_final)| recovery(number, delay_ms, is_final));
        settings(&authority(self.keys), self.delay_ms, by)
    }

    fn wait_ms(&self) -> Option<u64> {
        let free = self.delay_ms == 0 && self.recovery.is_none();
        (!free).then(|| self.delay_ms.max(self.recovery.map_or(0, |(_, delay_ms, _)| delay_ms)))
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set(Wanted, bool),
    Cancel,
    /// Names the change that waits before the transaction, or this one.
    Approve(Option<(Wanted, bool)>),
    Recover(usize),
    Withdraw,
    Fail,
    /// The account lets its friend write.
    Grant,
    /// The friend writes.
    Write,
}

#[derive(Clone, Debug)]
struct Waiting {
    recovered: bool,
    to: Wanted,
    void: bool,
    due_ms: u64,
}

#[derive(Clone, Debug)]
struct Model {
    now: Wanted,
    waiting: Option<Waiting>,
    granted: bool,
}

#[derive(PartialEq, Debug)]
enum Said {
    WrongKey,
    Frozen(u64),
    Ok,
    Failed(FailureCode),
}

impl Model {
    fn tick(&mut self, now_ms: u64) {
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.due_ms <= now_ms) {
            self.apply(waiting.to, waiting.void);
        }
    }

    fn apply(&mut self, to: Wanted, void: bool) {
        (self.now, self.waiting, self.granted) = (to, None, self.granted && !void);
    }

    /// A transaction of the account, of a helper or of the friend. Whoever isn't the account acts with the own key.
    fn transaction(&mut self, sender: usize, keys: usize, acts: &[Act], now_ms: u64) -> Said {
        self.tick(now_ms);
        if sender == OWNED {
            let recovered = self.waiting.as_ref().filter(|waiting| waiting.recovered);
            if let Some(waiting) = recovered.filter(|_| self.now.recovery.is_some_and(|(.., is_final)| is_final)) {
                return Said::Frozen(waiting.due_ms);
            }
            if keys != self.now.keys {
                return Said::WrongKey;
            }
        }
        let before = self.clone();
        for act in acts {
            if let Err(code) = self.act(sender, act, now_ms) {
                *self = before;
                return Said::Failed(code);
            }
        }
        Said::Ok
    }

    fn act(&mut self, sender: usize, act: &Act, now_ms: u64) -> Result<(), FailureCode> {
        let helper = self.now.recovery.filter(|(number, ..)| *number == sender);
        let nothing = Err(FailureCode::NothingPending);
        match act {
            // A helper's own settings are another account's: `transactions` lets the account alone change its own.
            Act::Set(to, void) => match self.now.wait_ms() {
                None => self.apply(to.clone(), *void),
                Some(wait_ms) => {
                    let (due_ms, to) = (now_ms + wait_ms, to.clone());
                    self.waiting = Some(Waiting { recovered: false, to, void: *void, due_ms });
                }
            },
            Act::Cancel => return self.waiting.take().map_or(nothing, |_| Ok(())),
            Act::Approve(named) => {
                helper.ok_or(FailureCode::NotRecovery)?;
                match self.waiting.clone().filter(|waiting| !waiting.recovered) {
                    Some(waiting) if *named == Some((waiting.to.clone(), waiting.void)) => {
                        self.apply(waiting.to, waiting.void);
                    }
                    _ => return nothing,
                }
            }
            Act::Recover(keys) => {
                let (_, delay_ms, _) = helper.ok_or(FailureCode::NotRecovery)?;
                let to = Wanted { keys: *keys, ..self.now.clone() };
                self.waiting = Some(Waiting { recovered: true, to, void: true, due_ms: now_ms + delay_ms });
            }
            Act::Withdraw => {
                helper.ok_or(FailureCode::NotRecovery)?;
                return self.waiting.take_if(|waiting| waiting.recovered).map_or(nothing, |_| Ok(()));
            }
            Act::Fail => return Err(FailureCode::NoSuchKey),
            Act::Grant => self.granted = true,
            Act::Write => return if self.granted { Ok(()) } else { Err(FailureCode::NotAllowed) },
        }
        Ok(())
    }
}

/// Names the change that waits in an approval that names none.
fn named(model: &Model, act: &Act) -> Act {
    let waits = || model.waiting.as_ref().map(|waiting| (waiting.to.clone(), waiting.void));
    match act {
        Act::Approve(named) => Act::Approve(named.clone().or_else(waits)),
        act => act.clone(),
    }
}

fn operation(act: &Act) -> Operation2 {
    let owned = account(OWNED);
    match act {
        Act::Set(to, void_grants) => Operation2::SetAuthority { settings: to.settings(), void_grants: *void_grants },
        Act::Cancel => Operation2::CancelAuthority,
        Act::Approve(named) => {
            let change = named.as_ref().map_or(Hash::ZERO, |(to, void)| settings_hash(&to.settings(), *void));
            Operation2::ApproveAuthority { account: owned, change }
        }
        Act::Recover(keys) => recover(OWNED, &authority(*keys)),
        Act::Withdraw => Operation2::WithdrawRecovery { account: owned },
        Act::Fail => Operation2::Delete { namespace: None, key: key(b"none") },
        Act::Grant => {
            let prefixes = BoundedVec::new(vec![key(b"shared")]).unwrap();
            Operation2::Grant { to: account(FRIEND), rights: Rights::ALL, prefixes, until_ms: None }
        }
        Act::Write => Operation2::Put { namespace: Some(owned), key: key(b"shared"), value: Value::default() },
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let recovery = (prop::sample::select(HELPERS.to_vec()), 1..50u64, any::<bool>());
    let recovery = recovery.prop_map(|(number, hours, is_final)| (number, hours * HOUR_MS, is_final));
    let delay = prop_oneof![Just(0), Just(1), Just(HOUR_MS), Just(2 * DAY_MS)];
    (0..4usize, delay, prop::option::weighted(0.7, recovery)).prop_map(|(keys, delay_ms, recovery)| Wanted {
        keys,
        delay_ms,
        recovery,
    })
}

/// A sender, the keys that sign if it is the account, and what it does.
fn transaction() -> impl Strategy<Value = (usize, usize, Vec<Act>)> {
    let own = prop_oneof![
        4 => (wanted(), any::<bool>()).prop_map(|(to, void)| Act::Set(to, void)),
        1 => Just(Act::Cancel),
        1 => Just(Act::Grant),
        1 => Just(Act::Fail),
    ];
    let help = prop_oneof![
        3 => (0..4usize).prop_map(Act::Recover),
        2 => Just(Act::Approve(None)),
        1 => (wanted(), any::<bool>()).prop_map(|named| Act::Approve(Some(named))),
        1 => Just(Act::Withdraw),
        1 => Just(Act::Fail),
    ];
    prop_oneof![
        4 => (Just(OWNED), 0..4usize, prop::collection::vec(own, 0..3)),
        3 => (prop::sample::select(HELPERS.to_vec()), Just(0), prop::collection::vec(help, 1..3)),
        1 => (Just(FRIEND), Just(0), Just(vec![Act::Write])),
    ]
}

/// Time before a block.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(10), 2 => Just(HOUR_MS / 2), 2 => Just(HOUR_MS), 1 => Just(DAY_MS), 1 => 1..60 * HOUR_MS]
}

fn run(world: &mut World, model: &mut Model, block: &[(usize, usize, Vec<Act>)]) {
    let now_ms = world.next_header().time_ms;
    let mut nonces: Vec<u64> = (0..ACCOUNTS).map(|number| world.record(account(number)).unwrap().nonce).collect();
    let (mut listed, mut expected) = (Vec::new(), Vec::new());
    for (sender, keys, acts) in block {
        let by = if *sender == OWNED { authority(*keys) } else { one(*sender) };
        model.tick(now_ms);
        let acts: Vec<Act> = acts.iter().map(|act| named(model, act)).collect();
        let operations = acts.iter().map(operation).collect();
        let Transaction::V2(made) = world.by(*sender, nonces[*sender], &by, operations) else { unreachable!() };
        let body = TransactionBody2 { work_limit: LIMIT, ..made.body().clone() };
        listed.push(Transaction2::new(body, made.signatures().to_vec()).unwrap().into());
        let said = model.transaction(*sender, *keys, &acts, now_ms);
        nonces[*sender] += u64::from(matches!(said, Said::Ok | Said::Failed(_)));
        expected.push(said);
    }
    let execution = world.run_listed(&listed);
    let (mut receipts, mut skipped) = (execution.receipts.iter(), execution.skipped.iter());
    for (expected, transaction) in expected.into_iter().zip(&listed) {
        let is_skip = matches!(expected, Said::WrongKey | Said::Frozen(_));
        let said = match is_skip {
            true => match skipped.next().unwrap().1 {
                Skip::WrongKey => Said::WrongKey,
                Skip::Frozen { until_ms } => Said::Frozen(until_ms),
                other => unreachable!("{other}"),
            },
            false => match receipts.next().unwrap().outcome {
                Outcome::Ok => Said::Ok,
                Outcome::Failed { code, .. } => Said::Failed(code),
            },
        };
        assert_eq!(said, expected, "{transaction:?}");
    }
}

/// Checks that the leaves say the same as the model, whether a change was written down or not.
fn compare(world: &World, model: &mut Model) {
    let now_ms = world.header.time_ms;
    model.tick(now_ms);
    let record = world.record(account(OWNED)).unwrap();
    let custody = world.custody(OWNED);
    let waits = custody.as_ref().is_some_and(|custody| custody.pending.is_some());
    let state = match (&custody, waits) {
        (None, _) => CustodyState::Absent,
        (Some(_), false) => CustodyState::Settled,
        (Some(_), true) => CustodyState::Pending,
    };
    assert_eq!(record.custody, state);
    let next = custody.as_ref().and_then(NextSigner::of);
    let due = next.filter(|next| next.due_ms <= now_ms);
    let acting = due.map_or(record.signer, |next| next.signer);
    assert_eq!(acting, rustorium_crypto::signer(&authority(model.now.keys)));
    if let Some(waiting) = &model.waiting {
        let next = next.unwrap();
        let frozen = waiting.recovered && model.now.recovery.unwrap().2;
        assert_eq!((next.due_ms, next.is_frozen), (waiting.due_ms, frozen));
        assert_eq!(next.signer, rustorium_crypto::signer(&authority(waiting.to.keys)));
    } else if next.is_some() {
        assert!(due.is_some(), "a change waits that the model doesn't know");
    }
    if let (Some(custody), None) = (custody, due) {
        assert_eq!(custody.settings, model.now.settings());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn keys_and_recoveries_do_what_the_model_does(
        blocks in prop::collection::vec((pause(), prop::collection::vec(transaction(), 1..5)), 1..16),
    ) {
        let mut world = World::new();
        let everyone: Vec<AccountId> = (0..ACCOUNTS).map(account).collect();
        let total = world.storage_total(&everyone);
        let now = Wanted { keys: 0, delay_ms: 0, recovery: None };
        let mut model = Model { now, waiting: None, granted: false };
        for (pause_ms, block) in blocks {
            world.header.time_ms += pause_ms;
            run(&mut world, &mut model, &block);
            compare(&world, &mut model);
            prop_assert_eq!(world.storage_total(&everyone), total);
        }
    }
}
