//! From executed heights to state roots, without a thread: what is rooted ahead, and what is folded into the base when.

use crate::chain::{context, genesis};
use rustorium_shard::periods::RootedPeriod;
use rustorium_stages::rooting::{RootJob, Rooting};
use rustorium_state::tables::Tables;
use rustorium_state::tree::MemKv;
use rustorium_state::workers::Serial;
use rustorium_types::{AccountId, Hash, Header, Height, Parameters, StateClaim, StateKey};
use std::sync::Arc;

const PERIOD_MS: u64 = 1_000;

fn rooting(tables: &Arc<Tables>) -> Rooting<MemKv, Serial> {
    Rooting::new(tables.clone(), Serial, parameters(), MemKv::default(), Height(0))
}

fn parameters() -> Arc<Parameters> {
    Arc::new(Parameters { root_period_ms: PERIOD_MS, ..Parameters::default() })
}

/// Returns a height with one transaction, which sets its own key, at this time after the first height.
fn job(height: u64, after_ms: u64) -> RootJob {
    job_of(1, height, after_ms)
}

/// Same as `job`, with this many keys.
fn job_of(keys: u64, height: u64, after_ms: u64) -> RootJob {
    let start = context(&genesis(), 0).genesis_header.clone();
    let time_ms = start.time_ms + after_ms;
    let header = Header { height: Height(height), time_ms, transactions: 1, ..start };
    let key = |n: u64| {
        let mut name = [7; 32];
        name[..8].copy_from_slice(&n.to_le_bytes());
        StateKey { account: AccountId([height as u8; 32]), name }
    };
    let diff = (0..keys).map(|n| (key(n), Some(Hash([height as u8; 32])))).collect();
    RootJob { header, diff, parameters: parameters() }
}

fn ends(rooted: Option<RootedPeriod>) -> (u64, Hash) {
    let rooted = rooted.expect("a period is over");
    (rooted.period.end.0, rooted.root)
}

#[test]
fn a_root_ahead_is_that_of_its_period_only_while_nothing_follows() {
    let tables = Arc::new(Tables::build(4).unwrap());
    let (mut ahead, mut plain) = (rooting(&tables), rooting(&tables));
    for rooting in [&mut ahead, &mut plain] {
        assert_eq!(rooting.take(job(1, 0)).unwrap(), None);
    }
    let of_one = ends(ahead.root_ahead().unwrap());
    for rooting in [&mut ahead, &mut plain] {
        assert_eq!(rooting.take(job(2, 1)).unwrap(), None);
    }
    let of_two = ends(plain.take(job(3, PERIOD_MS)).unwrap());
    assert_eq!(ends(ahead.take(job(3, PERIOD_MS)).unwrap()), of_two);
    assert_eq!((of_one.0, of_two.0), (1, 2));
    assert_ne!(of_one.1, of_two.1);
    // If nothing follows, the root ahead is the period's.
    let of_three = ends(ahead.root_ahead().unwrap());
    assert_eq!(ends(ahead.take(job(4, 2 * PERIOD_MS)).unwrap()), of_three);
    assert_eq!(ends(plain.take(job(4, 2 * PERIOD_MS)).unwrap()), of_three);
}

#[test]
fn an_expensive_root_waits_longer_for_a_block_that_would_make_it_useless() {
    let mut rooting = rooting(&Arc::new(Tables::build(4).unwrap()));
    rooting.take(job(1, 0)).unwrap();
    let cheap = rooting.quiet();
    rooting.take(job_of(5_000, 2, 1)).unwrap();
    assert!(rooting.quiet() >= 10 * cheap, "{:?} after {cheap:?}", rooting.quiet());
    // The period is over: its changes are rooted.
    rooting.take(job(3, PERIOD_MS)).unwrap();
    assert_eq!(rooting.quiet(), cheap);
}

#[test]
fn only_claims_of_final_headers_are_folded_into_the_base() {
    let mut rooting = rooting(&Arc::new(Tables::build(4).unwrap()));
    assert_eq!(rooting.take(job(1, 0)).unwrap(), None);
    let roots = [2, 3].map(|height| ends(rooting.take(job(height, (height - 1) * PERIOD_MS)).unwrap()));
    let claiming = |at: usize| Header {
        state: StateClaim::Rooted { height: Height(roots[at].0), first: Height(1), root: roots[at].1 },
        ..job(4, 0).header
    };
    assert!(rooting.fold(&job(4, 0).header).is_none(), "nothing is claimed yet");
    for (at, (height, root)) in roots.iter().enumerate() {
        let fold = rooting.fold(&claiming(at)).expect("a root that isn't in the base yet");
        assert_eq!((fold.height.0, fold.top.commitment.encode()), (*height, root.0));
        rooting.folded(fold.height);
        assert!(rooting.fold(&claiming(at)).is_none(), "it is in the base");
    }
}
