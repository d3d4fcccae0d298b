//! The guard, compared with a model: no two signatures contradict each other, whatever is requested and however often
//! it restarts.

use crate::words::{CHAIN, SHARD, batch, chains, key, shown, vote};
use proptest::prelude::*;
use rustorium_signer::guard::{Lane, Mode, VIEWS_MAX};
use rustorium_signer::{Guard, JournalSummary, Record, Refusal};
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};

fn fresh() -> Guard {
    Guard::new(key().public(), chains(), [])
}

#[test]
fn votes_that_exclude_each_other_are_refused_and_the_same_one_is_not() {
    let mut guard = fresh();
    let notarize = vote(VoteKind::Notarize, 0, 4, 1);
    assert_eq!(guard.vote(&notarize, View(0)), Ok(Some(Record::Vote(notarize))));
    assert_eq!(guard.vote(&notarize, View(0)), Ok(None));
    assert!(matches!(guard.vote(&vote(VoteKind::Notarize, 0, 4, 2), View(0)), Err(Refusal::Conflict(_))));
    guard.vote(&vote(VoteKind::Nullify, 0, 4, 0), View(0)).unwrap();
    assert!(matches!(guard.vote(&vote(VoteKind::Finalize, 0, 4, 1), View(0)), Err(Refusal::Conflict(_))));
    guard.vote(&vote(VoteKind::Finalize, 0, 5, 1), View(0)).unwrap();
    assert!(matches!(guard.vote(&vote(VoteKind::Nullify, 0, 5, 0), View(0)), Err(Refusal::Conflict(_))));
    assert!(matches!(guard.vote(&vote(VoteKind::Finalize, 0, 5, 2), View(0)), Err(Refusal::Conflict(_))));
}

#[test]
fn other_chains_shards_and_epochs_that_are_over_are_refused() {
    let mut guard = fresh();
    let other = VoteBody { chain: ChainId([8; 32]), ..vote(VoteKind::Nullify, 0, 1, 0) };
    assert_eq!(guard.vote(&other, View(0)), Err(Refusal::OtherChain(ChainId([8; 32]))));
    let other = VoteBody { shard: ShardId(64), ..vote(VoteKind::Nullify, 0, 1, 0) };
    assert_eq!(guard.vote(&other, View(0)), Err(Refusal::OtherShard(ShardId(64))));
    guard.vote(&vote(VoteKind::Nullify, 2, 9, 0), View(0)).unwrap();
    assert_eq!(guard.vote(&vote(VoteKind::Nullify, 1, 10, 0), View(0)), Err(Refusal::EpochOver(Epoch(1))));
    assert_eq!(guard.batch(&batch(1, 0, 0)), Err(Refusal::EpochOver(Epoch(1))));
}

#[test]
fn settled_views_are_forgotten_and_never_signed_again() {
    let mut guard = fresh();
    guard.vote(&vote(VoteKind::Finalize, 0, 3, 1), View(0)).unwrap();
    guard.vote(&vote(VoteKind::Nullify, 0, 8, 0), View(5)).unwrap();
    let refused = Err(Refusal::Settled { view: View(3), floor: View(5) });
    assert_eq!(guard.vote(&vote(VoteKind::Nullify, 0, 3, 0), View(0)), refused);
    assert_eq!(guard.vote(&vote(VoteKind::Finalize, 0, 3, 1), View(0)), refused);
    // A node can't make the guard forget the vote that it requests.
    guard.vote(&vote(VoteKind::Finalize, 0, 9, 1), View(u64::MAX)).unwrap();
    assert!(matches!(guard.vote(&vote(VoteKind::Nullify, 0, 9, 0), View(0)), Err(Refusal::Conflict(_))));
}

#[test]
fn memory_is_bounded_and_released_views_are_never_signed_again() {
    let mut guard = fresh();
    for view in 1..=VIEWS_MAX as u64 + 10 {
        guard.vote(&vote(VoteKind::Nullify, 0, view, 0), View(0)).unwrap();
    }
    let votes = guard.records().iter().filter(|record| matches!(record, Record::Vote(_))).count();
    assert_eq!(votes, VIEWS_MAX);
    assert!(matches!(guard.vote(&vote(VoteKind::Finalize, 0, 10, 1), View(0)), Err(Refusal::Settled { .. })));
    assert!(guard.vote(&vote(VoteKind::Notarize, 0, 11, 1), View(0)).is_ok());
}

#[test]
fn a_place_in_the_lane_takes_one_batch_which_is_given_again() {
    let mut guard = fresh();
    let signed = Batch { body: batch(0, 3, 1), signature: [9; 64] };
    assert!(matches!(guard.batch(&signed.body), Ok(Lane::Free(_))));
    guard.apply(&Record::Batch(Box::new(signed.clone())));
    assert_eq!(guard.batch(&signed.body), Ok(Lane::Again([9; 64])));
    assert_eq!(guard.batch(&batch(0, 3, 2)), Err(Refusal::OtherBatch { seq: 3, next_seq: 4 }));
    assert!(matches!(guard.batch(&batch(0, 4, 2)), Ok(Lane::Free(_))));
    let (_, newest) = guard.show(&shown(0, 0, 3, Vec::new()));
    assert_eq!(newest, Ok(Some(Box::new(signed))));
    // Lanes start again with each epoch.
    guard.vote(&vote(VoteKind::Nullify, 1, 90, 0), View(0)).unwrap();
    assert!(matches!(guard.batch(&batch(1, 0, 2)), Ok(Lane::Free(_))));
}

#[test]
fn an_old_record_is_found_by_what_the_node_shows() {
    let mine = key().sign_vote(ValidatorIndex(2), vote(VoteKind::Finalize, 0, 6, 1));
    let forged = SignedVote { signature: [1; 64], ..mine };
    let mut guard = fresh();
    assert_eq!(guard.show(&shown(0, 0, 0, vec![forged])), (Vec::new(), Ok(None)));
    let (records, refused) = guard.show(&shown(0, 0, 0, vec![mine]));
    assert_eq!((records, refused), (vec![Record::RolledBack(View(6))], Err(Refusal::RolledBack(View(6)))));
    let again = Guard::new(key().public(), chains(), guard.records());
    for mut guard in [guard, again] {
        assert_eq!(guard.vote(&vote(VoteKind::Nullify, 0, 7, 0), View(0)), Err(Refusal::RolledBack(View(6))));
        assert_eq!(guard.batch(&batch(0, 0, 0)), Err(Refusal::RolledBack(View(6))));
    }
}

#[test]
fn adopting_takes_over_what_the_node_shows_once() {
    let mine = key().sign_vote(ValidatorIndex(2), vote(VoteKind::Finalize, 3, 6, 1));
    let mut guard = Guard::new(key().public(), chains(), [Record::Adopting]);
    assert_eq!(guard.vote(&vote(VoteKind::Nullify, 3, 9, 0), View(0)), Err(Refusal::NotShown));
    let (records, newest) = guard.show(&shown(3, 4, 7, vec![mine]));
    assert_eq!((newest, guard.mode(CHAIN, SHARD)), (Ok(None), Mode::Guarding));
    let again = Guard::new(key().public(), chains(), std::iter::once(Record::Adopting).chain(records));
    for mut guard in [guard, again] {
        assert!(matches!(guard.vote(&vote(VoteKind::Nullify, 3, 6, 0), View(0)), Err(Refusal::Conflict(_))));
        assert!(matches!(guard.vote(&vote(VoteKind::Nullify, 3, 4, 0), View(0)), Err(Refusal::Settled { .. })));
        assert!(matches!(guard.batch(&batch(3, 6, 0)), Err(Refusal::OtherBatch { .. })));
        assert!(guard.vote(&vote(VoteKind::Finalize, 3, 6, 1), View(0)).is_ok());
    }
}

/// A request, or an event.
#[derive(Clone, Debug)]
enum Step {
    Vote {
        kind: u8,
        epoch: u64,
        view: u64,
        block: u8,
        settled: u64,
    },
    Batch {
        epoch: u64,
        seq: u64,
        content: u8,
    },
    Show {
        epoch: u64,
    },
    /// The process ends, before or after the disk has the change of the last request.
    Restart {
        lost: bool,
    },
    Rewrite,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let vote = (0u8..3, 0u64..3, 1u64..6, 0u8..3, 0u64..5).prop_map(|(kind, epoch, view, block, settled)| Step::Vote {
        kind,
        epoch,
        view,
        block,
        settled,
    });
    let batch = (0u64..3, 0u64..4, 0u8..3).prop_map(|(epoch, seq, content)| Step::Batch { epoch, seq, content });
    let others = prop_oneof![
        (0u64..3).prop_map(|epoch| Step::Show { epoch }),
        any::<bool>().prop_map(|lost| Step::Restart { lost }),
        Just(Step::Rewrite),
    ];
    proptest::collection::vec(prop_oneof![6 => vote, 3 => batch, 2 => others], 1..80)
}

/// All signatures that left the signer.
#[derive(Default)]
struct Signed {
    votes: BTreeMap<(Epoch, View), BTreeSet<(u8, BlockDigest)>>,
    batches: BTreeMap<(Epoch, u64), BTreeSet<BatchDigest>>,
}

impl Signed {
    fn vote(&mut self, body: &VoteBody) {
        self.votes.entry((body.epoch, body.view)).or_default().insert((body.kind as u8, body.block));
    }

    fn check(&self) {
        for (place, cast) in &self.votes {
            let of = |kind: VoteKind| cast.iter().filter(|(other, _)| *other == kind as u8).count();
            assert!(of(VoteKind::Notarize) <= 1 && of(VoteKind::Finalize) <= 1, "{place:?}: {cast:?}");
            assert!(of(VoteKind::Finalize) == 0 || of(VoteKind::Nullify) == 0, "{place:?}: {cast:?}");
        }
        assert!(self.batches.values().all(|contents| contents.len() == 1), "{:?}", self.batches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_two_signatures_contradict_each_other(steps in steps()) {
        let (mut guard, mut disk, mut signed) = (fresh(), Vec::<Record>::new(), Signed::default());
        // The record after the last request, and the signature that it would have returned.
        for step in steps {
            match step {
                Step::Vote { kind, epoch, view, block, settled } => {
                    let kind = [VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize][usize::from(kind)];
                    let body = vote(kind, epoch, view, block);
                    if let Ok(record) = guard.vote(&body, View(settled)) {
                        disk.extend(record);
                        signed.vote(&body);
                        prop_assert_eq!(guard.vote(&body, View(0)), Ok(None));
                    }
                }
                Step::Batch { epoch, seq, content } => {
                    let body = batch(epoch, seq, content);
                    if let Ok(lane) = guard.batch(&body) {
                        if let Lane::Free(_) = lane {
                            let record = Record::Batch(Box::new(Batch { body: body.clone(), signature: [content; 64] }));
                            guard.apply(&record);
                            disk.push(record);
                        }
                        signed.batches.entry((body.epoch, seq)).or_default().insert(body.previous);
                    }
                }
                Step::Show { epoch } => disk.extend(guard.show(&shown(epoch, 0, 0, Vec::new())).0),
                Step::Restart { lost } => {
                    if lost {
                        // One more request, which neither disk nor node ever learns of.
                        let _ = guard.vote(&vote(VoteKind::Finalize, 1, 3, 2), View(0));
                    }
                    guard = Guard::new(key().public(), chains(), disk.clone());
                }
                Step::Rewrite => {
                    disk = guard.records();
                    let again = Guard::new(key().public(), chains(), disk.clone());
                    prop_assert_eq!(again.records(), disk.clone());
                    prop_assert_eq!(again.scopes().collect::<Vec<_>>(), guard.scopes().collect::<Vec<_>>());
                }
            }
            signed.check();
        }
    }
}

#[test]
fn shards_are_guarded_apart() {
    let mut guard = fresh();
    guard.vote(&vote(VoteKind::Finalize, 5, 4, 1), View(0)).unwrap();
    let other = VoteBody { shard: ShardId(1), ..vote(VoteKind::Nullify, 0, 4, 0) };
    assert!(guard.vote(&other, View(0)).is_ok());
    let scopes: Vec<_> = guard.scopes().map(|(chain, shard, epoch, ..)| (chain, shard, epoch)).collect();
    assert_eq!(scopes, [(CHAIN, SHARD, Epoch(5)), (CHAIN, ShardId(1), Epoch(0))]);
}

#[test]
fn each_shard_is_adopted_by_itself() {
    let lost = |shard| {
        let body = VoteBody { shard: ShardId(shard), ..vote(VoteKind::Finalize, 1, 6, 1) };
        key().sign_vote(ValidatorIndex(2), body)
    };
    let journal = |shard, votes| JournalSummary { shard: ShardId(shard), ..shown(1, 4, 3, votes) };
    let mut guard = Guard::new(key().public(), chains(), [Record::Adopting]);
    assert_eq!(guard.show(&journal(0, vec![lost(0)])).1, Ok(None));
    let again = Guard::new(key().public(), chains(), guard.records());
    for mut guard in [guard, again] {
        assert_eq!(guard.mode(CHAIN, ShardId(1)), Mode::Adopting);
        let other = VoteBody { shard: ShardId(1), ..vote(VoteKind::Nullify, 1, 9, 0) };
        assert_eq!(guard.vote(&other, View(0)), Err(Refusal::NotShown));
        assert_eq!(guard.show(&journal(1, vec![lost(1)])).1, Ok(None));
        for shard in [0, 1] {
            let against = VoteBody { shard: ShardId(shard), ..vote(VoteKind::Nullify, 1, 6, 0) };
            assert!(matches!(guard.vote(&against, View(0)), Err(Refusal::Conflict(_))));
            // Believed once: a vote that the key signed since then must be in the record.
            let newer = VoteBody { shard: ShardId(shard), ..vote(VoteKind::Finalize, 1, 8, 1) };
            let (_, newest) = guard.clone().show(&journal(shard, vec![key().sign_vote(ValidatorIndex(2), newer)]));
            assert_eq!(newest, Err(Refusal::RolledBack(View(8))));
        }
    }
}
