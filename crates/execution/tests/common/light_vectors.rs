//! The conformance vectors of the light client's trust: what it accepts and refuses, step by step.

use super::*;
use rustorium_crypto::block_digest;
use serde_json::{Value, json};

/// Name of the file in `tests/vectors`.
pub const LIGHT_VECTORS: &str = "light.json";

pub const DAY_MS: u64 = 24 * 3600 * 1000;
pub const PERIOD_MS: u64 = 30 * DAY_MS;
/// Maximum by which a header may be ahead of the client's clock, ms.
const AHEAD_MS: u64 = 60_000;
/// Number of epochs of the chain: more than a client keeps committees.
const EPOCHS: u64 = 70;
const HEIGHTS: u64 = 100;

/// A chain of day-long epochs of 100 heights; the first committee has four members, each later one has one.
pub struct LightChain {
    pub genesis: Genesis,
    pub changes: Vec<EpochChange>,
}

impl LightChain {
    pub fn new() -> Self {
        let mut chain = Self { genesis: make_genesis(Parameters::of(Rules::V1)), changes: Vec::new() };
        for epoch in 0..EPOCHS {
            let next = chain.committee(epoch + 1);
            let change = chain.end(epoch, (epoch + 1) * HEIGHTS, START_MS + (epoch + 1) * DAY_MS, next);
            chain.changes.push(change);
        }
        chain
    }

    pub fn committee(&self, epoch: u64) -> ValidatorSet {
        let mut set = committee(&self.genesis, epoch);
        if epoch > 0 {
            edit(&mut set, |set| set.truncate(1));
        }
        set
    }

    /// Returns a header of an epoch, as its committee might sign it.
    pub fn header(&self, epoch: u64, height: u64, time_ms: u64) -> Header {
        let start = rustorium_execution::genesis(&self.genesis, ShardId::ROOT).header;
        let validator_set = hash_of(&self.committee(epoch));
        Header {
            chain: hashes(&self.genesis, ShardId::ROOT).chain,
            epoch: Epoch(epoch),
            height: Height(height),
            view: View(height),
            time_ms,
            validator_set,
            next_validator_set: validator_set,
            ..start
        }
    }

    pub fn proof(&self, header: &Header) -> BlockProof {
        let epoch = header.epoch.0;
        let finalization = signed(header, epoch, self.committee(epoch).len());
        BlockProof { descendants: BoundedVec::default(), finalization }
    }

    pub fn end(&self, epoch: u64, height: u64, time_ms: u64, next: ValidatorSet) -> EpochChange {
        let boundary =
            Header { end: End::Boundary, next_validator_set: hash_of(&next), ..self.header(epoch, height, time_ms) };
        EpochChange { proof: self.proof(&boundary), boundary, next }
    }

    /// A closing block above a boundary.
    fn closing(&self, boundary: &Header) -> Header {
        let end = End::Closing(block_digest(boundary));
        let next_validator_set = boundary.next_validator_set;
        Header { end, next_validator_set, ..self.header(0, boundary.height.0 + 1, boundary.time_ms + 1) }
    }

    fn check(&self, header: &Header, now_ms: u64, gives: &str) -> Value {
        let proof = Proof::Block(Box::new(HeaderProof { header: header.clone(), proof: self.proof(header) }));
        json!({ "check": hex::encode(encode(&proof)), "now_ms": now_ms, "gives": gives })
    }
}

fn follow(change: &EpochChange, now_ms: u64, gives: &str) -> Value {
    json!({ "follow": hex::encode(encode(change)), "now_ms": now_ms, "gives": gives })
}

/// Follows the chain's changes of these epochs, each at its time.
fn follow_all(first: u64, end: u64) -> Value {
    json!({ "follow_chain": [first, end] })
}

fn case(name: &str, trust_period_ms: Option<u64>, steps: Vec<Value>) -> Value {
    json!({ "name": name, "trust_period_ms": trust_period_ms, "steps": steps })
}

fn day(number: u64) -> u64 {
    START_MS + number * DAY_MS
}

/// Cases after the trust period: an attacker with the keys of an old committee signs headers with any time.
fn age_cases(chain: &LightChain, cases: &mut Vec<Value>) {
    let now = day(400);
    let dated_today = chain.header(0, 5, now - 1_000);
    cases.push(case(
        "A: a header of the genesis' committee, dated today, long after the period",
        Some(PERIOD_MS),
        vec![chain.check(&dated_today, now, "trust-expired")],
    ));
    let end_today = chain.end(0, 5, now - 1_000, chain.committee(1));
    cases.push(case(
        "F: an end of the genesis' epoch, dated today, long after the period",
        Some(PERIOD_MS),
        vec![follow(&end_today, now, "trust-expired")],
    ));
    let last = day(1) + PERIOD_MS;
    cases.push(case(
        "the last moment of a period, from where an epoch ends at the latest",
        Some(PERIOD_MS),
        vec![
            chain.check(&chain.header(0, 5, last - 1_000), last, "ok"),
            chain.check(&chain.header(0, 5, last - 1_000), last + 1, "trust-expired"),
            chain.check(&chain.header(0, 6, last - 1_000), last + 1, "trust-expired"),
        ],
    ));
    let early = chain.end(0, 50, START_MS + 1_000, chain.committee(1));
    let retired = START_MS + 1_000 + PERIOD_MS;
    cases.push(case(
        "the last moment of a period, from an early end",
        Some(PERIOD_MS),
        vec![
            follow(&early, START_MS + 1_000, "ok"),
            chain.check(&chain.header(0, 5, START_MS + 500), retired, "ok"),
            chain.check(&chain.header(0, 5, START_MS + 500), retired + 1, "trust-expired"),
            follow(&early, retired + 1, "trust-expired"),
        ],
    ));
    let mut known = Light::new(Trust::genesis(&chain.genesis), None);
    known.follow(&chain.changes[0].clone().into(), day(1)).unwrap();
    // A checkpoint of an earlier release, which doesn't say how long its epoch is.
    let mut pinned = case(
        "G: a checkpoint of one second ago, and checks 400 days later",
        Some(PERIOD_MS),
        vec![
            chain.check(&chain.header(1, 101, day(1) + 1_000), day(1) + 1_000, "ok"),
            chain.check(&chain.header(1, 102, day(401) - 1_000), day(401), "trust-expired"),
            chain.check(&chain.header(1, 101, day(1) + 1_000), day(401), "trust-expired"),
        ],
    );
    pinned["checkpoint"] = hex::encode(encode(known.newest())).into();
    cases.push(pinned);
    let last = day(2) + PERIOD_MS;
    let mut pinned = case(
        "G: the same from when its epoch ends at the latest",
        Some(PERIOD_MS),
        vec![
            chain.check(&chain.header(1, 101, last - 1_000), last, "ok"),
            chain.check(&chain.header(1, 101, last - 1_000), last + 1, "trust-expired"),
            follow(&chain.end(1, 200, last, chain.committee(2)), last + 1, "trust-expired"),
        ],
    );
    pinned["checkpoint"] = hex::encode(known.newest().to_checkpoint()).into();
    cases.push(pinned);
}

/// Cases of a client that knows how an epoch ended.
fn end_cases(chain: &LightChain, cases: &mut Vec<Value>) {
    let now = day(2);
    let end = &chain.changes[0].boundary;
    let other = Header { speaks: 1, end: End::GoesOn, ..end.clone() };
    let mut elsewhere = chain.end(0, HEIGHTS, end.time_ms, chain.committee(9));
    cases.push(case(
        "B: headers above the known end of their epoch",
        Some(PERIOD_MS),
        vec![
            chain.check(&chain.header(0, 9_000_000_000, now), now, "ok"),
            follow_all(0, 1),
            chain.check(&chain.header(0, 9_000_000_000, now), now, "above-epoch-end"),
            chain.check(&chain.header(0, HEIGHTS + 1, now), now, "above-epoch-end"),
            chain.check(&other, now, "above-epoch-end"),
            chain.check(&chain.header(0, HEIGHTS - 1, end.time_ms), now, "above-epoch-end"),
            chain.check(&chain.header(0, HEIGHTS - 1, end.time_ms - 1), now, "ok"),
            chain.check(end, now, "ok"),
            chain.check(&chain.closing(end), now, "ok"),
            chain.check(&chain.closing(&elsewhere.boundary), now, "two-ends"),
            chain.check(&elsewhere.boundary, now, "two-ends"),
        ],
    ));
    let late = day(EPOCHS + 1);
    elsewhere = chain.end(0, 9_000_000_000, late, chain.committee(9));
    let far = chain.header(0, 9_000_000_001, late);
    let invented = chain.header(1, 9_000_000_002, late);
    cases.push(case(
        "C and D: the same after so many epochs that most are forgotten, after the period",
        Some(PERIOD_MS),
        vec![
            follow_all(0, EPOCHS),
            chain.check(&far, late, "trust-expired"),
            follow(&elsewhere, late, "trust-expired"),
            chain.check(&invented, late, "trust-expired"),
        ],
    ));
    for (name, period) in
        [("C and D: the same within the period", Some(100 * DAY_MS)), ("E: the same without a period", None)]
    {
        cases.push(case(
            name,
            period,
            vec![
                follow_all(0, EPOCHS),
                chain.check(&far, late, "above-epoch-end"),
                follow(&elsewhere, late, "two-ends"),
                chain.check(&chain.header(0, 5, START_MS + 5), late, "ok"),
                follow(&chain.changes[0], late, "ok"),
                chain.check(&chain.header(1, HEIGHTS + 1, day(1) + 5), late, "ok"),
                chain.check(&chain.header(1, 2 * HEIGHTS + 1, day(1) + 5), late, "above-epoch-end"),
            ],
        ));
    }
}

/// Cases about clocks, heights and shards.
fn bound_cases(chain: &LightChain, cases: &mut Vec<Value>) {
    let now = START_MS + 100_000;
    cases.push(case(
        "H: headers from the future",
        None,
        vec![
            chain.check(&chain.header(0, 5, now + AHEAD_MS), now, "ok"),
            chain.check(&chain.header(0, 5, now + AHEAD_MS + 1), now, "header-from-future"),
            chain.check(&chain.header(0, 5, now + 27 * 365 * DAY_MS), now, "header-from-future"),
            follow(&chain.changes[0], now, "header-from-future"),
            // A client has seen the time of a final header, so a clock that is set back to before it counts as that
            // time.
            chain.check(&chain.header(0, 5, now + AHEAD_MS), now - DAY_MS, "ok"),
            chain.check(&chain.header(0, 5, now + AHEAD_MS + 1), now - DAY_MS, "header-from-future"),
        ],
    ));
    cases.push(case(
        "headers that are no later than what is trusted",
        None,
        vec![
            chain.check(&chain.header(0, 5, START_MS), now, "below-trusted"),
            chain.check(&chain.header(0, 5, START_MS + 1), now, "ok"),
        ],
    ));
    let elsewhere = Header { shard: ShardId(1), ..chain.header(0, 5, now) };
    cases.push(case("a header of another shard", None, vec![chain.check(&elsewhere, now, "other-shard")]));
}

/// The file's text.
pub fn light_vectors() -> String {
    let chain = LightChain::new();
    let mut cases = Vec::new();
    age_cases(&chain, &mut cases);
    end_cases(&chain, &mut cases);
    bound_cases(&chain, &mut cases);
    let about = "A light client's trust: steps, each with the client's clock, and what it gives: ok or the refusal's code. \
                 It starts at the genesis, or at the checkpoint of the case. follow_chain: the chain's own changes from \
                 one epoch to before another, each at its time, all ok.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    let changes: Vec<String> = chain.changes.iter().map(|change| hex::encode(encode(change))).collect();
    let times: Vec<u64> = chain.changes.iter().map(|change| change.boundary.time_ms).collect();
    let file = json!({
        "about": about, "how": how, "version": 1, "genesis": hex::encode(encode(&chain.genesis)), "changes": changes,
        "changes_at_ms": times, "cases": cases,
    });
    format!("{file:#}\n")
}
