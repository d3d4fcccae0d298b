//! Conformance vectors of quotas: what accounts and their sponsors have left after each of many transactions.

use super::*;
use serde_json::{Value, json};

/// The file, in `tests/vectors`.
pub const QUOTA_VECTORS: &str = "quota.json";

/// Steps of each case.
const STEPS: usize = 200;
/// The account that a sponsor's account makes.
const CHILD: usize = 9;

/// Numbers that look random and are the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Returns a time between two blocks: often none or little, sometimes a leap of the clock.
    fn gap_ms(&mut self) -> u64 {
        match self.below(20) {
            0..4 => 0,
            4..12 => self.below(20),
            12..18 => self.below(2_000),
            18 => self.below(1_000_000),
            _ => self.below(1_000_000_000_000),
        }
    }
}

/// A chain on which account 0 is sponsor 1, and has made another account.
pub fn sponsored(quota_work_per_s: u64, quota_work_max: u64, capacity: Capacity) -> World {
    let parameters = Parameters { quota_work_per_s, quota_work_max, capacity: Some(capacity), ..Parameters::default() };
    let sponsor = GenesisSponsor { account: account(0), work_ppm: 200_000, history_ppm: 100_000 };
    let mut world =
        World::of(Genesis { sponsors: BoundedVec::new(vec![sponsor]).unwrap(), ..make_genesis(parameters) });
    let create = declaring(world.sign(0, vec![create(CHILD, 3_000)]), 4_000);
    assert_eq!(world.run(&[create]).receipts.len(), 1, "the sponsor's account has its full credit");
    world
}

/// The transaction with another declared work.
pub fn declaring(mut transaction: Transaction1, work: u64) -> Transaction1 {
    transaction.body.work_limit = work;
    transaction
}

fn leaf(world: &World, key: StateKey) -> Value {
    world.state.get(&key).map_or(Value::Null, |bytes| json!(hex::encode(bytes)))
}

fn case(name: &str, seed: u64, rate: (u64, u64), capacity: Capacity) -> Value {
    case_of(sponsored(rate.0, rate.1, capacity), name, seed, rate, capacity)
}

/// A case in which the sponsor's shares are four times as large, and end after a minute.
fn ending(name: &str, seed: u64, rate: (u64, u64), capacity: Capacity) -> Value {
    let mut world = sponsored(rate.0, rate.1, capacity);
    let leaf = world.state.get_mut(&sponsor_key(1)).unwrap();
    let held = SponsorRecord::from_bytes(leaf).unwrap();
    let SponsorRecord { work_ppm, history_ppm, .. } = held;
    let (until_ms, then) = (world.header.time_ms + 60_000, AfterEnd::Shares { work_ppm, history_ppm });
    let end = Some(SponsorEnd { until_ms, then });
    *leaf = SponsorRecord { work_ppm: 4 * work_ppm, history_ppm: 4 * history_ppm, end, ..held }.to_bytes();
    case_of(world, name, seed, rate, capacity)
}

fn case_of(mut world: World, name: &str, seed: u64, rate: (u64, u64), capacity: Capacity) -> Value {
    let mut numbers = Numbers(seed);
    let people = [0, 1, 2, CHILD];
    let record = |world: &World, number| leaf(world, account_key(account(number)));
    let begins = people.map(|number| record(&world, number));
    let common = leaf(&world, sponsor_key(COMMON));
    let sponsor = leaf(&world, sponsor_key(1));
    let steps: Vec<Value> = (0..STEPS)
        .map(|_| {
            world.header.time_ms += numbers.gap_ms();
            let (who, bytes) = (numbers.below(4) as usize, numbers.below(3_000) as usize);
            let signed = world.sign(people[who], vec![put(people[who], b"k", &vec![7; bytes])]);
            let signed = declaring(signed, numbers.below(2 * rate.1));
            let transaction = Transaction::V1(signed);
            let (work, history) = (declared_work(Rules::V2, &transaction), history_of(&transaction));
            let done = world.run_listed(&[transaction]);
            let skip = done.skipped.first().map(|(_, skip)| match skip {
                Skip::WorkTooSmall { left, ready_at_ms } => json!(["work", left, ready_at_ms]),
                Skip::HistoryTooSmall { left, ready_at_ms } => json!(["history", left, ready_at_ms]),
                other => panic!("{other:?}"),
            });
            let drawn = if matches!(people[who], 0 | CHILD) { 1 } else { COMMON };
            json!({
                "time_ms": world.header.time_ms, "account": who, "work": work, "history": history, "skip": skip,
                "record": record(&world, people[who]), "sponsor": leaf(&world, sponsor_key(drawn)),
            })
        })
        .collect();
    json!({
        "name": name, "quota_work_per_s": rate.0, "quota_work_max": rate.1,
        "batch_work_max": world.genesis.parameters.batch_work_max, "capacity": capacity, "records": begins,
        "sponsors": [common, sponsor], "steps": steps,
    })
}

/// Makes the file.
pub fn quota_vectors() -> String {
    let tight = Capacity {
        quota_history_max: 40_000,
        quota_history_per_s: 3_000,
        work_per_s: 90_000,
        history_per_s: 20_000,
        work_burst_ms: 2_000,
        history_burst_ms: 5_000,
        common_ppm: 300_000,
    };
    let cases = [
        case("accounts that their sponsors hold back", 1, (20_000, 60_000), tight),
        case(
            "accounts whose own pace holds them back",
            2,
            (3_001, 20_000),
            Capacity { work_per_s: 10_000_000, ..tight },
        ),
        case("the default capacity", 3, (1_000_000_000, 1_000_000_000_000), Capacity::default()),
        case("a unit takes longer than a second to grow", 4, (1, 9_000), Capacity { quota_history_per_s: 1, ..tight }),
        ending("a sponsor's raised shares end", 5, (20_000, 60_000), tight),
    ];
    let about = "Quotas of work and history: after each transaction the sender's record and its sponsor's leaf.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!("{:#}\n", json!({ "about": about, "how": how, "version": 1, "cases": cases }))
}
