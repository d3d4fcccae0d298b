//! Votes to certificates.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{Verified, verify_certificate};
use rustorium_quorum::{CertificateRefused, CertificateUse, Evidence, KeptCertificate, Tally, TallyEvent, TallySize};
use rustorium_types::VoteKind::{Finalize, Notarize, Nullify};
use rustorium_types::{
    BlockDigest, BoundedVec, Certificate, ChainId, Epoch, ShardId, SignedVote, ValidatorIndex, View, VoteKind, quorum,
};

fn bad(signer: u16) -> TallyEvent {
    TallyEvent::BadSignature(ValidatorIndex(signer))
}

#[test]
fn the_quorums_last_vote_makes_a_certificate_and_later_ones_nothing() {
    for n in [1u16, 2, 3, 4, 5, 7, 10] {
        for kind in [Notarize, Nullify, Finalize] {
            let mut tally = Tally::new(committee(n), 16);
            let need = quorum(usize::from(n)) as u16;
            for signer in 0..n {
                let events = add(&mut tally, vote(signer, kind, 5, 1));
                let expected = if signer + 1 == need { vec![(kind, 5)] } else { vec![] };
                assert_eq!(formed(&events), expected, "n {n}, {kind:?}, vote {signer}");
            }
            let made = tally.certificate(kind, View(5)).unwrap().clone().into_inner();
            assert!(verify_certificate(&committee(n).keys, made).is_some());
            assert_eq!(tally.best_finalization().is_some(), kind == Finalize);
        }
    }
}

#[test]
fn votes_on_different_blocks_do_not_add_up() {
    let mut tally = Tally::new(committee(4), 16);
    for (signer, number) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
        assert!(add(&mut tally, vote(signer, Notarize, 5, number)).is_empty());
    }
    assert!(tally.certificate(Notarize, View(5)).is_none());
}

#[test]
fn a_members_votes_are_found_also_in_certificates_of_others_making() {
    let mut tally = Tally::new(committee(4), 16);
    add(&mut tally, vote(1, Notarize, 5, 1));
    add(&mut tally, vote(2, Notarize, 6, 1));
    add(&mut tally, vote(1, Nullify, 7, 0));
    tally.add_certificate(certificate(4, &[0, 1, 2], Finalize, 8, 1), &mut Vec::new()).unwrap();
    let votes =
        |tally: &Tally| tally.votes_of(ValidatorIndex(1)).map(|v| (v.body.view.0, v.body.kind)).collect::<Vec<_>>();
    assert_eq!(votes(&tally), [(8, Finalize), (7, Nullify), (5, Notarize)]);
    assert!(tally.votes_of(ValidatorIndex(1)).all(|v| v.signer == ValidatorIndex(1)));
    assert_eq!(tally.votes_of(ValidatorIndex(3)).count(), 0);
    tally.prune_below(View(7));
    assert_eq!(votes(&tally), [(8, Finalize), (7, Nullify)]);
}

#[test]
fn the_same_vote_again_counts_once() {
    let mut tally = Tally::new(committee(4), 16);
    for _ in 0..5 {
        assert!(add(&mut tally, vote(1, Finalize, 5, 1)).is_empty());
        assert!(add(&mut tally, vote(2, Finalize, 5, 1)).is_empty());
    }
    assert_eq!(formed(&add(&mut tally, vote(3, Finalize, 5, 1))), [(Finalize, 5)]);
}

#[test]
fn liars_are_named_when_the_quorum_is_checked_and_can_vote_again() {
    let mut tally = Tally::new(committee(7), 16);
    for signer in [0, 1, 2] {
        assert!(add(&mut tally, vote(signer, Notarize, 5, 1)).is_empty());
    }
    assert!(add(&mut tally, forged(3, Notarize, 5, 1)).is_empty(), "nothing is checked before a quorum");
    assert_eq!(add(&mut tally, forged(4, Notarize, 5, 1)), [bad(3), bad(4)]);
    assert!(add(&mut tally, vote(5, Notarize, 5, 1)).is_empty());
    assert_eq!(formed(&add(&mut tally, vote(3, Notarize, 5, 1))), [(Notarize, 5)]);
    let made = tally.certificate(Notarize, View(5)).unwrap();
    assert_eq!(made.signatures.iter().map(|(signer, _)| signer.0).collect::<Vec<_>>(), [0, 1, 2, 3, 5]);
}

#[test]
fn a_forged_vote_does_not_keep_the_true_one_out() {
    let mut tally = Tally::new(committee(4), 16);
    assert!(add(&mut tally, forged(1, Notarize, 5, 9)).is_empty());
    assert_eq!(add(&mut tally, vote(1, Notarize, 5, 1)), [bad(1)], "checked where two votes meet");
    assert!(add(&mut tally, forged(2, Notarize, 5, 1)).is_empty());
    assert_eq!(add(&mut tally, vote(2, Notarize, 5, 1)), [bad(2)], "also on the same block");
    assert_eq!(add(&mut tally, forged(2, Notarize, 5, 3)), [bad(2)]);
    assert_eq!(formed(&add(&mut tally, vote(0, Notarize, 5, 1))), [(Notarize, 5)]);
}

#[test]
fn two_votes_on_different_blocks_are_evidence_once() {
    for (kind, name) in [
        (Notarize, Evidence::TwoNotarizes as fn(SignedVote, SignedVote) -> Evidence),
        (Finalize, Evidence::TwoFinalizes),
    ] {
        let mut tally = Tally::new(committee(4), 16);
        assert!(add(&mut tally, vote(1, kind, 5, 1)).is_empty());
        let expected = name(vote(1, kind, 5, 1), vote(1, kind, 5, 2));
        assert!(expected.convicts(&committee(4)));
        assert_eq!((expected.offender(), expected.view()), (ValidatorIndex(1), Some(View(5))));
        assert_eq!(add(&mut tally, vote(1, kind, 5, 2)), [TallyEvent::Evidence(expected)]);
        assert!(add(&mut tally, vote(1, kind, 5, 2)).is_empty());
        assert!(add(&mut tally, vote(1, kind, 5, 3)).is_empty(), "one offence is enough");
        assert!(add(&mut tally, vote(0, kind, 5, 1)).is_empty());
        assert_eq!(formed(&add(&mut tally, vote(2, kind, 5, 1))), [(kind, 5)], "the first vote counts");
    }
}

#[test]
fn nullify_beside_finalize_is_evidence_in_either_order_and_both_count() {
    let expected = Evidence::NullifyAndFinalize(vote(1, Nullify, 5, 0), vote(1, Finalize, 5, 1));
    assert!(expected.convicts(&committee(4)));
    for (first, second) in [(Nullify, Finalize), (Finalize, Nullify)] {
        let mut tally = Tally::new(committee(4), 16);
        assert!(add(&mut tally, vote(1, first, 5, 1)).is_empty());
        assert_eq!(add(&mut tally, vote(1, second, 5, 1)), [TallyEvent::Evidence(expected.clone())]);
        assert!(add(&mut tally, vote(1, second, 5, 1)).is_empty());
        add(&mut tally, vote(2, first, 5, 1));
        assert_eq!(formed(&add(&mut tally, vote(3, first, 5, 1))), [(first, 5)]);
    }
}

#[test]
fn notarize_beside_nullify_is_honest() {
    let mut tally = Tally::new(committee(4), 16);
    assert!(add(&mut tally, vote(1, Notarize, 5, 1)).is_empty());
    assert!(add(&mut tally, vote(1, Nullify, 5, 0)).is_empty());
    assert!(add(&mut tally, vote(2, Notarize, 5, 1)).is_empty());
    assert_eq!(formed(&add(&mut tally, vote(3, Notarize, 5, 1))), [(Notarize, 5)]);
}

#[test]
fn a_forged_half_is_no_evidence() {
    let mut tally = Tally::new(committee(4), 16);
    add(&mut tally, vote(1, Finalize, 5, 1));
    assert_eq!(add(&mut tally, forged(1, Nullify, 5, 0)), [bad(1)]);
    assert_eq!(add(&mut tally, forged(1, Finalize, 5, 2)), [bad(1)]);
    let forged = Evidence::TwoNotarizes(vote(1, Notarize, 5, 1), forged(1, Notarize, 5, 2));
    assert!(!forged.convicts(&committee(4)));
    let harmless = Evidence::TwoNotarizes(vote(1, Notarize, 5, 1), vote(1, Notarize, 6, 2));
    assert!(!harmless.convicts(&committee(4)), "two views");
}

#[test]
fn f_plus_one_nullifies_are_reported_once_and_verified() {
    let mut tally = Tally::new(committee(7), 16);
    assert!(add(&mut tally, vote(1, Nullify, 5, 0)).is_empty());
    assert!(add(&mut tally, vote(2, Nullify, 5, 0)).is_empty());
    assert_eq!(add(&mut tally, forged(3, Nullify, 5, 0)), [bad(3)]);
    assert_eq!(add(&mut tally, vote(4, Nullify, 5, 0)), [TallyEvent::NullifiesSeen(View(5))]);
    assert!(add(&mut tally, vote(5, Nullify, 5, 0)).is_empty());
    assert_eq!(formed(&add(&mut tally, vote(6, Nullify, 5, 0))), [(Nullify, 5)]);
}

#[test]
fn strangers_votes_are_dropped() {
    let mut tally = Tally::new(committee(4), 16);
    let mut dropped = |change: fn(&mut SignedVote)| {
        let mut vote = vote(1, Notarize, 5, 1);
        change(&mut vote);
        vote.signature = key(1).sign_vote(vote.signer, vote.body).signature;
        // If these votes were counted, they would be evidence against each other.
        assert!(add(&mut tally, vote).is_empty());
    };
    dropped(|vote| vote.body.chain = ChainId([9; 32]));
    dropped(|vote| vote.body.shard = ShardId(9));
    dropped(|vote| vote.body.epoch = Epoch(9));
    dropped(|vote| vote.signer = ValidatorIndex(4));
    dropped(|vote| vote.body.block = BlockDigest::ZERO);
    dropped(|vote| vote.body.kind = Nullify);
    dropped(|vote| vote.body.view = View(17));
    assert!(add(&mut tally, vote(1, Notarize, 5, 2)).is_empty());
    assert!(tally.votes_of(ValidatorIndex(1)).all(|vote| vote.body.view == View(5)), "nothing of them is kept");
}

#[test]
fn a_vote_of_another_epoch_keeps_no_true_one_out() {
    let mut tally = Tally::new(committee(4), 16);
    let mut other = vote(1, Notarize, 5, 1);
    other.body.epoch = Epoch(4);
    other.signature = key(1).sign_vote(other.signer, other.body).signature;
    for vote in [other, vote(1, Notarize, 5, 1), vote(2, Notarize, 5, 1)] {
        assert!(add(&mut tally, vote).is_empty());
    }
    assert_eq!(formed(&add(&mut tally, vote(3, Notarize, 5, 1))), [(Notarize, 5)]);
}

#[test]
fn own_votes_count_without_a_check() {
    let mut tally = Tally::new(committee(4), 16);
    let mut out = Vec::new();
    tally.add_own_vote(checked(0, Notarize, 5, 1), &mut out);
    add(&mut tally, vote(1, Notarize, 5, 1));
    assert!(out.is_empty());
    assert_eq!(formed(&add(&mut tally, vote(2, Notarize, 5, 1))), [(Notarize, 5)]);
}

#[test]
fn certificates_are_taken_once_and_known_ones_are_not_checked() {
    let mut tally = Tally::new(committee(4), 16);
    let mut out = Vec::new();
    let good = certificate(4, &[0, 1, 2], Notarize, 5, 1);
    tally.add_certificate(good.clone(), &mut out).unwrap();
    assert_eq!(formed(&out), [(Notarize, 5)]);
    out.clear();
    let mut signatures = good.signatures.clone().into_vec();
    signatures[0].1[0] ^= 1;
    let forged = Certificate { body: good.body, signatures: BoundedVec::new(signatures).unwrap() };
    assert_eq!(tally.add_certificate(forged, &mut out), Ok(()), "a duplicate is dropped unread");
    assert!(out.is_empty());
    assert!(add(&mut tally, vote(3, Notarize, 5, 1)).is_empty());
}

#[test]
fn bad_certificates_are_refused_with_the_reason() {
    let mut tally = Tally::new(committee(4), 16);
    let mut refused = |change: fn(&mut Certificate)| {
        let mut certificate = certificate(4, &[0, 1, 2], Finalize, 5, 1);
        change(&mut certificate);
        let mut out = Vec::new();
        let refused = tally.add_certificate(certificate, &mut out).unwrap_err();
        assert!(out.is_empty() && !refused.to_string().is_empty());
        refused
    };
    fn edit(certificate: &mut Certificate, change: fn(&mut Vec<(ValidatorIndex, [u8; 64])>)) {
        let mut signatures = certificate.signatures.clone().into_vec();
        change(&mut signatures);
        certificate.signatures = BoundedVec::new(signatures).unwrap();
    }
    assert_eq!(refused(|c| c.body.chain = ChainId([9; 32])), CertificateRefused::OtherChain);
    assert_eq!(refused(|c| c.body.shard = ShardId(9)), CertificateRefused::OtherChain);
    let other = CertificateRefused::OtherEpoch { got: Epoch(9), want: Epoch(3) };
    assert_eq!(refused(|c| c.body.epoch = Epoch(9)), other);
    assert_eq!(refused(|c| c.body.block = BlockDigest::ZERO), CertificateRefused::BlockMismatch);
    assert_eq!(refused(|c| c.body.kind = Nullify), CertificateRefused::BlockMismatch);
    assert_eq!(refused(|c| c.body.view = View(6)), CertificateRefused::Signature);
    let few = CertificateRefused::BelowQuorum { got: 2, need: 3 };
    assert_eq!(refused(|c| edit(c, |s| s.truncate(2))), few);
    assert_eq!(refused(|c| edit(c, |s| s.swap(0, 1))), CertificateRefused::Signers);
    assert_eq!(refused(|c| edit(c, |s| s[1] = s[0])), CertificateRefused::Signers);
    assert_eq!(refused(|c| edit(c, |s| s[2].0 = ValidatorIndex(4))), CertificateRefused::Signers);
    assert_eq!(refused(|c| edit(c, |s| s[2].1[9] ^= 1)), CertificateRefused::Signature);
}

#[test]
fn a_certificates_votes_are_compared_with_those_held() {
    let mut tally = Tally::new(committee(4), 16);
    add(&mut tally, vote(1, Notarize, 5, 2));
    add(&mut tally, vote(2, Nullify, 5, 0));
    let mut out = Vec::new();
    tally.add_certificate(certificate(4, &[0, 1, 2], Notarize, 5, 1), &mut out).unwrap();
    let expected = Evidence::TwoNotarizes(vote(1, Notarize, 5, 2), vote(1, Notarize, 5, 1));
    assert_eq!(out[0], TallyEvent::Evidence(expected));
    assert_eq!((out.len(), formed(&out)), (2, vec![(Notarize, 5)]));
    out.clear();
    tally.add_certificate(certificate(4, &[0, 2, 3], Notarize, 5, 3), &mut out).unwrap();
    assert_eq!(out.len(), 2, "a second certificate proves two more liars: {out:?}");
    assert!(out.iter().all(|event| matches!(event, TallyEvent::Evidence(Evidence::TwoNotarizes(..)))));
    assert_eq!(tally.certificate(Notarize, View(5)).unwrap().body.block, block(1), "the first one stays");
}

fn kept(tally: &Tally, first: u64, last: u64) -> Vec<u64> {
    let view = |kept| match kept {
        KeptCertificate::Whole(certificate) => certificate.body.view.0,
        KeptCertificate::At(position) => position - 1000,
    };
    tally.kept_between(View(first), View(last)).map(view).collect()
}

#[test]
fn certificates_of_all_views_above_the_last_final_one_are_kept_and_taken() {
    let mut tally = Tally::new(committee(4), 8);
    let mut out = Vec::new();
    tally.add_certificate(certificate(4, &[0, 1, 2], Finalize, 3, 1), &mut out).unwrap();
    for view in (4..100).filter(|view| *view != 10) {
        tally.add_certificate(certificate(4, &[0, 1, 2], Nullify, view, 0), &mut out).unwrap();
    }
    assert_eq!(kept(&tally, 0, 200), (3..100).filter(|view| *view != 10).collect::<Vec<_>>());
    assert_eq!(kept(&tally, 50, 52), [50, 51, 52]);
    assert_eq!(kept(&tally, 52, 50), [0; 0]);
    out.clear();
    tally.add_certificate(certificate(4, &[0, 1, 2], Nullify, 10, 0), &mut out).unwrap();
    assert_eq!(formed(&out), [(Nullify, 10)], "however far below the newest one");
    out.clear();
    tally.add_certificate(certificate(4, &[0, 1, 2], Notarize, 2, 1), &mut out).unwrap();
    assert!(out.is_empty(), "what a finalization is above is of no use");
    tally.add_certificate(certificate(4, &[0, 1, 2], Finalize, 9, 1), &mut out).unwrap();
    assert_eq!((formed(&out), tally.best_finalization().unwrap().body.view), (vec![(Finalize, 9)], View(9)));
    tally.prune_below(View(98));
    tally.prune_below(View(20));
    assert_eq!(kept(&tally, 0, 200), [9, 98, 99], "the best finalization stays");
    assert_eq!(tally.certificate(Finalize, View(9)), tally.best_finalization());
    assert!(
        add(&mut tally, vote(1, Notarize, 97, 1)).is_empty() && add(&mut tally, vote(1, Notarize, 97, 2)).is_empty()
    );
}

#[test]
fn old_certificates_leave_memory_for_their_places_in_the_journal() {
    let bytes = 88 + 3 * 66;
    let mut tally = Tally::new(committee(4), 8).keeping_whole(10 * bytes, 4);
    let mut out = Vec::new();
    tally.add_certificate(certificate(4, &[0, 1, 2], Notarize, 1, 1), &mut out).unwrap();
    tally.journaled(Notarize, View(1), 1001);
    for view in 2..51 {
        tally.add_certificate(certificate(4, &[0, 1, 2], Nullify, view, 0), &mut out).unwrap();
        tally.journaled(Nullify, View(view), 1000 + view);
    }
    assert_eq!(tally.size(), TallySize { certified_views: 50, whole: 10, whole_bytes: 10 * bytes, voted_views: 9 });
    let places: Vec<bool> =
        tally.kept_between(View(1), View(50)).map(|kept| matches!(kept, KeptCertificate::At(_))).collect();
    assert_eq!(places, [vec![true; 40], vec![false; 10]].concat());
    assert_eq!(kept(&tally, 1, 50), (1..51).collect::<Vec<_>>());
    assert_eq!(tally.certificate(Notarize, View(1)).unwrap().body.view, View(1), "a parent is carried whole");
    assert_eq!(tally.notarizations_above(View(0)).count(), 1);
    assert!(tally.certificate(Nullify, View(2)).is_none() && tally.has(Nullify, View(2)));
    tally.journaled(Nullify, View(2), 1902);
    assert_eq!(kept(&tally, 2, 2), [902], "the journal copied it");
    out.clear();
    tally.add_certificate(certificate(4, &[1, 2, 3], Nullify, 2, 0), &mut out).unwrap();
    assert!(out.is_empty(), "it is known all the same");
    tally.journaled(Nullify, View(60), 5);
    assert!(!tally.has(Nullify, View(60)), "a place makes no certificate");
}

#[test]
fn the_newest_stay_whole_however_large_they_are_and_all_without_a_place() {
    let mut tally = Tally::new(committee(4), 8).keeping_whole(1, 5);
    let mut out = Vec::new();
    for view in 1..20 {
        tally.add_certificate(certificate(4, &[0, 1, 2], Nullify, view, 0), &mut out).unwrap();
    }
    assert_eq!(tally.size().whole, 19);
    for view in (1..20).rev() {
        tally.journaled(Nullify, View(view), 1000 + view);
    }
    assert_eq!(tally.size().whole, 5);
}

#[test]
fn below_the_window_votes_count_for_views_without_a_certificate_alone() {
    let mut tally = Tally::new(committee(4), 4);
    let mut out = Vec::new();
    for view in 1..=40 {
        add(&mut tally, vote(1, Nullify, view, 0));
        add(&mut tally, vote(2, Nullify, view, 0));
        // Every third view has no certificate.
        if view % 3 != 0 {
            tally.add_certificate(certificate(4, &[0, 2, 3], Nullify, view, 0), &mut out).unwrap();
        }
    }
    assert!(tally.size().voted_views <= 4 + 4 + 1, "{:?}", tally.size());
    assert!(add(&mut tally, vote(3, Nullify, 6, 0)).is_empty(), "the votes of the oldest views are gone");
    assert_eq!(formed(&add(&mut tally, vote(3, Nullify, 33, 0))), [(Nullify, 33)]);
    assert!(
        add(&mut tally, vote(3, Notarize, 32, 1)).is_empty() && add(&mut tally, vote(3, Notarize, 32, 2)).is_empty()
    );
}

#[test]
fn a_members_newest_vote_is_shown_however_old_it_is() {
    let mut tally = Tally::new(committee(4), 4);
    let mut out = Vec::new();
    add(&mut tally, vote(1, Nullify, 2, 0));
    add(&mut tally, vote(1, Notarize, 3, 1));
    for view in 2..60 {
        tally.add_certificate(certificate(4, &[0, 2, 3], Nullify, view, 0), &mut out).unwrap();
    }
    let votes =
        |tally: &Tally| tally.votes_of(ValidatorIndex(1)).map(|v| (v.body.view.0, v.body.kind)).collect::<Vec<_>>();
    assert_eq!(votes(&tally), [(3, Notarize)]);
    tally.prune_below(View(10));
    assert_eq!(votes(&tally), []);
}

#[test]
fn a_certificate_is_judged_without_its_signatures_and_taken_after_them() {
    let mut tally = Tally::new(committee(4), 8);
    let mut out = Vec::new();
    let good = certificate(4, &[0, 1, 2], Notarize, 5, 1);
    assert_eq!(tally.judge(&good), Ok(CertificateUse::ToCheck));
    let mut false_one = good.clone();
    false_one.body.view = View(6);
    assert_eq!(tally.judge(&false_one), Ok(CertificateUse::ToCheck), "no signature is looked at");
    let checked = verify_certificate(&committee(4).keys, good.clone()).unwrap();
    tally.take(checked.clone(), &mut out);
    assert_eq!((formed(&out), tally.judge(&good)), (vec![(Notarize, 5)], Ok(CertificateUse::Known)));
    out.clear();
    tally.take(checked, &mut out);
    assert!(out.is_empty(), "two checks of one certificate may be under way");
    let few = certificate(7, &[0, 1, 2, 3, 4], Nullify, 7, 0);
    assert!(matches!(tally.judge(&few), Err(CertificateRefused::Signers)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In any order of good, repeated and forged votes, every certificate is valid, and there is one exactly if a
    /// quorum's good votes came.
    #[test]
    fn certificates_are_valid_and_appear_when_a_quorum_voted(
        steps in proptest::collection::vec((0u16..7, 0u8..3, 1u64..3, 1u8..3, 0u8..5), 0..60)
    ) {
        let kinds = [Notarize, Nullify, Finalize];
        let mut tally = Tally::new(committee(7), 16);
        let mut good: std::collections::BTreeMap<(u16, VoteKind, u64), std::collections::BTreeSet<u8>> = Default::default();
        let mut out = Vec::new();
        for (signer, kind, view, number, lie) in steps {
            let kind = kinds[usize::from(kind)];
            if lie == 0 {
                tally.add_vote(forged(signer, kind, view, number), &mut out);
            } else {
                let number = if kind == Nullify { 0 } else { number };
                good.entry((signer, kind, view)).or_default().insert(number);
                tally.add_vote(vote(signer, kind, view, number), &mut out);
            }
        }
        for event in &out {
            match event {
                TallyEvent::Formed(made) => {
                    prop_assert!(verify_certificate(&committee(7).keys, Verified::into_inner(made.clone())).is_some());
                    prop_assert_eq!(tally.certificate(made.body.kind, made.body.view), Some(made));
                }
                TallyEvent::Evidence(evidence) => {
                    prop_assert!(evidence.convicts(&committee(7)));
                    let view = evidence.view().unwrap().0;
                    let of = |kind| good.get(&(evidence.offender().0, kind, view)).map_or(0, |numbers| numbers.len());
                    prop_assert!(of(Notarize) > 1 || of(Finalize) > 1 || (of(Nullify) > 0 && of(Finalize) > 0));
                }
                _ => {}
            }
        }
        // If enough members voted for one block alone, there is a certificate.
        for kind in kinds {
            for view in 1..3 {
                for number in 0..3 {
                    let single = std::collections::BTreeSet::from([number]);
                    let votes = (0..7).filter(|signer| good.get(&(*signer, kind, view)) == Some(&single)).count();
                    prop_assert!(votes < quorum(7) || tally.certificate(kind, View(view)).is_some());
                }
            }
        }
    }
}
