//! No validator can choose whose transactions come first in a block (R50). A validator that sees all batches in the
//! clear, and chooses the time of its own batch, gets no better place than a random one.

use crate::common::*;
use rustorium_execution::order;
use rustorium_types::*;

const TRIES: u64 = 3_000;

fn header(rules: Rules, view: u64, proposer: usize) -> Header {
    let base = World::with(Parameters::of(rules)).header;
    Header { view: View(view), proposer: ValidatorIndex(proposer as u16), ..base }
}

/// Returns the claim of the parent of a view's block. The claimed height was executed before anybody proposed the
/// block.
fn claimed(view: u64) -> Hash {
    Hash(rustorium_crypto::hash(b"claimed", &[&(view / 3).to_le_bytes()]))
}

/// Returns how often `a` comes before `b`, and in how many views that matters according to `counts`.
fn before(rules: Rules, n: usize, (a, b): (usize, usize), counts: impl Fn(usize) -> bool) -> (u64, u64) {
    let base = header(rules, 0, 0);
    let (mut wins, mut tries) = (0, 0);
    for view in 1..=TRIES {
        let proposer = (view % n as u64) as usize;
        if counts(proposer) {
            let header = Header { view: View(view), proposer: ValidatorIndex(proposer as u16), ..base.clone() };
            let lanes = order(&header, &claimed(view), n);
            let place = |lane| lanes.iter().position(|each| *each == lane).unwrap();
            wins += u64::from(place(a) < place(b));
            tries += 1;
        }
    }
    (wins, tries)
}

/// Returns true if `wins` of `tries` is within four deviations of half.
fn is_half((wins, tries): (u64, u64)) -> bool {
    (2 * wins).abs_diff(tries).pow(2) <= 16 * tries
}

#[test]
fn a_front_runner_has_no_advantage_as_leader() {
    for n in [4, 7, 16] {
        let (runner, victim) = (1, 3);
        let leads = |proposer| proposer == runner;
        let (wins, tries) = before(Rules::V2, n, (runner, victim), leads);
        assert!(tries > 180, "{n}");
        assert_eq!(wins, 0, "n = {n}: of {tries} views that it leads; its own lane is the last");
        assert!(is_half(before(Rules::V2, n, (runner, victim), |_| true)), "n = {n}: over all views");
    }
}

#[test]
fn no_lane_precedes_another_more_often_than_by_chance_whatever_their_places() {
    for n in [4, 7, 16] {
        for a in 0..n {
            let b = (a + 1) % n;
            let found = before(Rules::V2, n, (a, b), |proposer| proposer != a && proposer != b);
            assert!(is_half(found), "n = {n}, lanes {a} and {b}: {found:?}");
        }
    }
}

#[test]
fn each_of_epoch_view_and_claimed_root_changes_the_order_and_nothing_else_of_a_header_does() {
    let (base, root) = (header(Rules::V2, 5, 5), claimed(5));
    let orders = |headers: Vec<(Header, Hash)>| -> Vec<Vec<usize>> {
        headers.iter().map(|(header, root)| order(header, root, 31)).collect()
    };
    let same = orders(vec![
        (base.clone(), root),
        (Header { time_ms: 9, parent: BlockDigest([1; 32]), payload_root: Hash([2; 32]), ..base.clone() }, root),
        (Header { result: ResultClaim { height: Height(1), root: Hash([3; 32]) }, ..base.clone() }, root),
    ]);
    assert!(same.iter().all(|lanes| *lanes == same[0]), "its leader can grind none of these");
    let other = orders(vec![
        (Header { epoch: base.epoch.next(), ..base.clone() }, root),
        (Header { view: base.view.next(), ..base.clone() }, root),
        (base, Hash([4; 32])),
    ]);
    assert!(other.iter().all(|lanes| *lanes != same[0]));
}

#[test]
fn version_one_keeps_its_order() {
    // The front-runner of the review, in each view that it leads.
    let (wins, tries) = before(Rules::V1, 4, (1, 3), |proposer| proposer == 1);
    assert_eq!(wins, tries);
}
