//! Sponsors that seats make, change and assign (V41, V58, V63).

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);
const CHILD: usize = 9;
/// The number of the sponsor that proposal 1 makes.
const MADE: u32 = 257;

/// A chain with three seats, whose account 0 is sponsor 1, with 20,000 of 100,000 units a second.
fn world() -> World {
    let keys = [10, 11, 12].map(|number| signer(number).public()).to_vec();
    let capacity = Capacity {
        work_per_s: 100_000,
        work_burst_ms: 1_000,
        history_per_s: 1 << 40,
        quota_history_per_s: 1 << 30,
        common_ppm: 500_000,
        ..Capacity::default()
    };
    let parameters = Parameters {
        operators: BoundedVec::new(keys).unwrap(),
        operator_quorum: 2,
        capacity: Some(capacity),
        ..Parameters::default()
    };
    let sponsor = GenesisSponsor { account: account(0), work_ppm: 200_000, history_ppm: 100_000 };
    let sponsors = BoundedVec::new(vec![sponsor]).unwrap();
    let mut world = World::of(Genesis { sponsors, ..make_genesis(parameters) });
    // Otherwise a share has room for two million units.
    world.genesis.parameters.batch_work_max = 20_000;
    world
}

fn set_sponsor(number: usize, ppm: u32, until_ms: Option<u64>) -> GovernanceChange {
    GovernanceChange::SetSponsor { account: account(number), work_ppm: ppm, history_ppm: 100_000, until_ms }
}

fn assign(number: usize, sponsor: u32) -> GovernanceChange {
    GovernanceChange::AssignSponsor { account: account(number), sponsor }
}

/// Has seat 0 propose a change. Returns what came of it.
fn proposed(world: &mut World, change: &GovernanceChange) -> Result<Outcome, Skip> {
    let operation = propose(world, change.clone());
    world.seat_does(0, &alone(10), operation)
}

/// Has two seats make a change. Returns the accounts that the deciding block touched.
fn decide(world: &mut World, change: GovernanceChange) -> Vec<(AccountId, u64)> {
    let number = world.governance().next_proposal;
    assert_eq!(proposed(world, &change), OK);
    let approval = world.of_seat(1, &alone(11), vec![approve(number, &change)]);
    let execution = world.run_listed(&[approval]);
    assert_eq!(execution.receipts[0].outcome, Outcome::Ok);
    execution.touched
}

fn sponsor(world: &World, number: u32) -> SponsorRecord {
    SponsorRecord::from_bytes(&world.state[&sponsor_key(number)]).unwrap()
}

fn sponsor_of(world: &World, number: usize) -> u32 {
    world.record(account(number)).unwrap().sponsor
}

/// Tells if the account may use so many units now.
fn may_use(world: &World, number: usize, work: u64) -> bool {
    let listed = declaring(world.sign(number, vec![]), work);
    world.look(&world.next_header(), &[listed]).skipped.is_empty()
}

/// Executes a transaction with this declared work.
fn pays(world: &mut World, number: usize, operations: Vec<Operation>, work: u64) {
    let listed = declaring(world.sign(number, operations), work);
    let execution = world.run(&[listed]);
    assert_eq!(execution.receipts.iter().map(|receipt| receipt.outcome).collect::<Vec<_>>(), [Outcome::Ok]);
}

/// V58: seats make an account a sponsor, at once. Its new accounts have the same one, and pools hear of it.
#[test]
fn seats_make_a_sponsor() {
    let mut world = world();
    assert!(!may_use(&world, 1, 90_000));
    let touched = decide(&mut world, set_sponsor(1, 900_000, None));
    assert_eq!(touched, [(account(1), 0), (SystemSender::Seat(1).id(), 1)]);
    assert_eq!((sponsor_of(&world, 1), sponsor_of(&world, 2)), (MADE, COMMON));
    assert_eq!(sponsor(&world, MADE), SponsorRecord::new(account(1), 900_000, 100_000));
    assert!(may_use(&world, 1, 90_000) && !may_use(&world, 2, 90_000));
    pays(&mut world, 1, vec![create(CHILD, 3_000)], 4_000);
    assert_eq!(sponsor_of(&world, CHILD), MADE);
    assert!(sponsor(&world, MADE).work_at_us > 0, "the account drew from it");
    // Other shares of the same sponsor: no other number.
    let drawn = sponsor(&world, MADE);
    assert_eq!(decide(&mut world, set_sponsor(1, 300_000, None))[0], (account(1), 1));
    assert_eq!((sponsor_of(&world, 1), sponsor(&world, MADE)), (MADE, SponsorRecord { work_ppm: 300_000, ..drawn }));
    assert!(!may_use(&world, 1, 90_000));
}

/// V63: shares with an end are over by themselves, and the sponsor has its former ones.
#[test]
fn a_sponsors_raised_share_ends_by_itself() {
    let mut world = world();
    let until_ms = world.header.time_ms + 86_400_000;
    let former = sponsor(&world, 1);
    assert!(!may_use(&world, 0, 60_000));
    decide(&mut world, set_sponsor(0, 1_000_000, Some(until_ms - 1)));
    // A second decision moves the end, and what comes after it stays.
    decide(&mut world, set_sponsor(0, 800_000, Some(until_ms)));
    let then = AfterEnd::Shares { work_ppm: 200_000, history_ppm: 100_000 };
    let raised = SponsorRecord { work_ppm: 800_000, end: Some(SponsorEnd { until_ms, then }), ..former };
    assert_eq!((sponsor(&world, 1), sponsor_of(&world, 0)), (raised, 1));
    world.wait_until(until_ms - 1);
    assert!(may_use(&world, 0, 60_000));
    world.wait_until(until_ms);
    assert!(!may_use(&world, 0, 60_000) && may_use(&world, 0, 20_000));
    pays(&mut world, 0, vec![], 20_000);
    let SponsorRecord { work_at_us, history_at_us, .. } = sponsor(&world, 1);
    assert_eq!(sponsor(&world, 1), SponsorRecord { work_at_us, history_at_us, ..former }, "a draw writes the end down");
}

/// V63: a sponsor that was made for a time stands for nobody afterwards: its accounts draw from the one that the account had.
#[test]
fn a_sponsor_for_a_time_hands_its_accounts_back() {
    let mut world = world();
    decide(&mut world, assign(1, 1));
    let until_ms = world.header.time_ms + 86_400_000;
    decide(&mut world, set_sponsor(1, 900_000, Some(until_ms)));
    let made = MADE + 1;
    let then = AfterEnd::Sponsor(1);
    assert_eq!((sponsor_of(&world, 1), sponsor(&world, made).end), (made, Some(SponsorEnd { until_ms, then })));
    pays(&mut world, 1, vec![create(CHILD, 3_000)], 4_000);
    decide(&mut world, assign(2, made));
    // One that is made for an account of it doesn't hand on to it: it has an end.
    decide(&mut world, set_sponsor(2, 400_000, Some(until_ms)));
    assert_eq!(sponsor(&world, sponsor_of(&world, 2)).end.unwrap().then, AfterEnd::Sponsor(1));
    world.wait_until(until_ms - 1);
    assert!(may_use(&world, CHILD, 60_000));
    world.wait_until(until_ms);
    for number in [1, 2, CHILD] {
        assert!(!may_use(&world, number, 60_000) && may_use(&world, number, 20_000), "{number}");
    }
    let before = (sponsor(&world, 1), sponsor(&world, made));
    pays(&mut world, CHILD, vec![], 20_000);
    assert!(sponsor(&world, 1).work_at_us > before.0.work_at_us);
    assert_eq!((sponsor(&world, made), sponsor_of(&world, CHILD)), (before.1, made));
    // Nobody is assigned to it any more, and another decision gives it shares again.
    assert_eq!(proposed(&mut world, &assign(3, made)), failed(FailureCode::NoSuchSponsor));
    decide(&mut world, set_sponsor(1, 500_000, None));
    assert_eq!((sponsor_of(&world, 1), sponsor(&world, made).end), (made, None));
    assert!(may_use(&world, CHILD, 20_001));
}

/// V58: an account goes to another sponsor, and back to the common one. What it drew stays its own.
#[test]
fn seats_assign_an_account_to_another_sponsor() {
    let mut world = world();
    pays(&mut world, 2, vec![put(2, b"k", b"v")], 1_100);
    let before = world.record(account(2)).unwrap();
    let nonce = before.nonce;
    assert_eq!(decide(&mut world, assign(2, 1))[0], (account(2), nonce));
    assert_eq!(world.record(account(2)), Some(AccountRecord2 { sponsor: 1, ..before }));
    let drawn = sponsor(&world, 1).work_at_us;
    pays(&mut world, 2, vec![], 10_000);
    assert!(sponsor(&world, 1).work_at_us > drawn);
    decide(&mut world, assign(2, COMMON));
    assert_eq!(sponsor_of(&world, 2), COMMON);
    // An account that stands for others may go, and they stay; then it is no sponsor.
    decide(&mut world, assign(0, COMMON));
    decide(&mut world, set_sponsor(0, 300_000, None));
    assert_eq!(sponsor_of(&world, 0), 256 + world.governance().next_proposal as u32 - 1);
}

/// V44: the result is checked when it is proposed, and when it is approved last.
#[test]
fn a_change_of_sponsors_that_is_not_possible_is_refused() {
    let mut world = world();
    let now_ms = world.header.time_ms;
    let nobody = AccountId([7; 32]);
    for (change, code) in [
        (set_sponsor(CHILD, 1, None), FailureCode::NoSuchAccount),
        (
            GovernanceChange::SetSponsor { account: SYSTEM_ACCOUNT, work_ppm: 1, history_ppm: 1, until_ms: None },
            FailureCode::NoSuchAccount,
        ),
        (set_sponsor(1, 0, None), FailureCode::BadParameters),
        (set_sponsor(1, WHOLE_PPM + 1, None), FailureCode::BadParameters),
        (
            GovernanceChange::SetSponsor { account: account(1), work_ppm: 1, history_ppm: 0, until_ms: None },
            FailureCode::BadParameters,
        ),
        (set_sponsor(1, 1, Some(now_ms)), FailureCode::BadTime),
        (set_sponsor(1, 1, Some(now_ms + SPONSOR_MS_MAX + 100_000)), FailureCode::BadTime),
        (assign(1, 2), FailureCode::NoSuchSponsor),
        (assign(1, u32::MAX), FailureCode::NoSuchSponsor),
        (GovernanceChange::AssignSponsor { account: nobody, sponsor: 1 }, FailureCode::NoSuchAccount),
        (
            GovernanceChange::AssignSponsor { account: SystemSender::Seat(0).id(), sponsor: 1 },
            FailureCode::NoSuchAccount,
        ),
    ] {
        assert_eq!(proposed(&mut world, &change), failed(code), "{change:?}");
    }
    let change = set_sponsor(1, WHOLE_PPM, Some(now_ms + 60_000));
    assert_eq!(proposed(&mut world, &change), OK);
    world.wait_until(now_ms + 60_000);
    assert_eq!(world.seat_does(1, &alone(11), approve(1, &change)), failed(FailureCode::BadTime));
    assert_eq!(sponsor_of(&world, 1), COMMON);
}
