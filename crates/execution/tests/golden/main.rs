//! Golden replays of version 1: chains that exist depend on each root and each receipt, so none may ever change.
//!
//! The chain is drawn from a seed and has every kind of operation, every reason to fail and every reason to be skipped.
//! `just golden-replay` replays all of it, a million transactions; the test replays its beginning.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod operations;
#[allow(dead_code)]
#[path = "../it/pool.rs"]
mod pool;
mod random;
mod replay;
mod start;
mod vectors;

use replay::Replay;
use std::collections::BTreeSet;
use vectors::Vectors;

/// Transactions after which the file has a checkpoint.
const CHECKPOINTS: [usize; 12] =
    [128, 512, 2_048, 4_096, 8_192, 16_384, 65_536, 131_072, 262_144, 524_288, 786_432, 1_000_000];
/// Transactions that the quick form replays.
const QUICK: usize = 9_000;

/// Version 1 has operations 0 to 15, conditions 0 to 3 of operation 3, failures 0 to 30 and skips 0 to 7.
fn everything() -> BTreeSet<String> {
    let named = |kind: &'static str, count: usize| (0..count).map(move |number| format!("{kind} {number}"));
    let kinds = [("operation", 16), ("condition", 4), ("failure", 31), ("skip", 8)];
    kinds.into_iter().flat_map(|(kind, count)| named(kind, count)).collect()
}

#[test]
fn version_one_executes_as_it_always_did() {
    let form = std::env::var("RUSTORIUM_GOLDEN").ok();
    if form.as_deref() == Some("write") {
        write();
    }
    let vectors = Vectors::read();
    let last = if form.as_deref() == Some("long") { usize::MAX } else { QUICK };
    let mut replay = Replay::new(&vectors);
    assert_eq!(replay.world.header.chain, vectors.chain, "the genesis has another id");
    for wanted in vectors.checkpoints.iter().filter(|wanted| wanted.transactions <= last) {
        let reached = replay.reach(wanted.transactions);
        assert_eq!(reached, *wanted, "version 1 has changed since the checkpoint before");
    }
    let missing: Vec<_> = everything().difference(&replay.seen).cloned().collect();
    assert!(missing.is_empty(), "the replay never had {missing:?}");
}

fn write() {
    let mut vectors = Vectors::make();
    let mut replay = Replay::new(&vectors);
    vectors.checkpoints = CHECKPOINTS.iter().map(|count| replay.reach(*count)).collect();
    vectors.write();
}
