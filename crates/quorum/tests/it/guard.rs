//! The vote-once guard, compared with a model that remembers everything.

use crate::common::*;
use proptest::prelude::*;
use rustorium_quorum::{VoteConflict, VoteGuard};
use rustorium_types::VoteKind::{Finalize, Notarize, Nullify};
use rustorium_types::{BlockDigest, Epoch, View, VoteBody};

fn guard(votes: &[VoteBody]) -> VoteGuard {
    let mut guard = VoteGuard::new();
    votes.iter().for_each(|vote| guard.record(vote));
    guard
}

#[test]
fn exclusive_votes_are_refused_in_either_order_and_resends_are_not() {
    let (view, voted) = (View(5), block(1));
    let (notarize, nullify, finalize) = (body(Notarize, 5, 1), body(Nullify, 5, 0), body(Finalize, 5, 1));
    for vote in [notarize, nullify, finalize] {
        assert_eq!(guard(&[]).check(&vote), Ok(()));
        assert_eq!(guard(&[vote]).check(&vote), Ok(()), "the same again");
    }
    assert_eq!(guard(&[notarize]).check(&body(Notarize, 5, 2)), Err(VoteConflict::OtherNotarize { view, voted }));
    assert_eq!(guard(&[finalize]).check(&body(Finalize, 5, 2)), Err(VoteConflict::OtherFinalize { view, voted }));
    assert_eq!(guard(&[finalize]).check(&nullify), Err(VoteConflict::NullifyAfterFinalize { view }));
    assert_eq!(guard(&[nullify]).check(&finalize), Err(VoteConflict::FinalizeAfterNullify { view }));
    assert_eq!(guard(&[notarize]).check(&nullify), Ok(()), "notarize and nullify may share a view");
    assert_eq!(guard(&[nullify]).check(&notarize), Ok(()));
    assert_eq!(guard(&[notarize]).check(&body(Notarize, 6, 2)), Ok(()), "another view is another matter");
}

#[test]
fn forgotten_views_other_scopes_and_malformed_votes_are_refused() {
    let mut guard = guard(&[body(Notarize, 5, 1), body(Nullify, 9, 0)]);
    guard.prune_below(View(8));
    guard.prune_below(View(3));
    let forgotten = VoteConflict::Forgotten { view: View(5), floor: View(8) };
    assert_eq!(guard.check(&body(Notarize, 5, 1)), Err(forgotten), "even the same vote: it is not remembered");
    assert!(guard.check(&body(Finalize, 9, 1)).is_err(), "what is above stays");
    let mut other = body(Notarize, 9, 1);
    other.epoch = Epoch(7);
    assert_eq!(guard.check(&other), Err(VoteConflict::OtherScope));
    let mut nameless = body(Notarize, 9, 1);
    nameless.block = BlockDigest::ZERO;
    assert_eq!(guard.check(&nameless), Err(VoteConflict::BlockMismatch));
}

#[test]
fn a_guard_covers_recorded_votes_and_those_below_its_floor() {
    let mut guard = guard(&[body(Notarize, 9, 1), body(Finalize, 9, 1), body(Nullify, 12, 0)]);
    for vote in [body(Notarize, 9, 1), body(Finalize, 9, 1), body(Nullify, 12, 0)] {
        assert!(guard.accounts_for(&vote));
    }
    for vote in [body(Notarize, 9, 2), body(Finalize, 9, 2), body(Nullify, 9, 0), body(Notarize, 12, 1)] {
        assert!(!guard.accounts_for(&vote), "{vote:?}");
    }
    assert!(!guard.accounts_for(&body(Notarize, 3, 1)), "nothing is forgotten yet");
    guard.prune_below(View(9));
    assert!(guard.accounts_for(&body(Notarize, 3, 1)));
    assert!(!guard.accounts_for(&body(Notarize, 9, 2)));
    assert!(!VoteGuard::new().accounts_for(&body(Nullify, 1, 0)));
}

proptest! {
    /// Whatever is requested, the allowed votes never exclude each other.
    #[test]
    fn allowed_votes_are_consistent(steps in proptest::collection::vec((0u8..3, 1u64..5, 1u8..4, 0u64..12), 0..80)) {
        let mut guard = VoteGuard::new();
        let mut out: Vec<VoteBody> = Vec::new();
        for (kind, view, number, prune) in steps {
            let vote = body([Notarize, Nullify, Finalize][usize::from(kind)], view, number);
            if guard.check(&vote).is_ok() {
                guard.record(&vote);
                out.push(vote);
            }
            if prune < 5 {
                guard.prune_below(View(prune));
            }
        }
        for (index, a) in out.iter().enumerate() {
            for b in out[index..].iter().filter(|b| b.view == a.view) {
                let same_kind = a.kind == b.kind && a.block != b.block;
                let both = matches!((a.kind, b.kind), (Nullify, Finalize) | (Finalize, Nullify));
                prop_assert!(!same_kind && !both, "{:?} and {:?}", a, b);
            }
        }
    }
}
