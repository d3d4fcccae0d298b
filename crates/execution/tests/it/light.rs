//! A light client goes from committee to committee only by what the previous committee made final.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{SigningKey, block_digest};
use rustorium_execution::*;
use rustorium_types::*;

/// The client's clock, long after the chain's times.
const NOW: u64 = START_MS + 1_000_000_000;

#[test]
fn it_follows_every_epoch_and_checks_with_the_right_committee() {
    let chain = EpochChain::new(5);
    let mut light = chain.light();
    for (epoch, change) in chain.changes.iter().enumerate() {
        let (header, proof) = &chain.firsts[epoch + 1];
        let missing = ProofRefused::OtherEpoch { header: header.epoch, trusted: Epoch(epoch as u64) };
        assert_eq!(light.check_final(header, proof, NOW), Err(missing));
        assert_eq!(light.follow(&change.clone().into(), NOW), Ok(Epoch(epoch as u64 + 1)));
        assert_eq!(light.check_final(header, proof, NOW), Ok(block_digest(header)));
        let (older, its_proof) = &chain.firsts[epoch];
        assert_eq!(light.check_final(older, its_proof, NOW), Ok(block_digest(older)));
    }
    assert_eq!((light.newest().epoch, light.newest().validators.len()), (Epoch(5), 7));
}

#[test]
fn it_keeps_constant_state_and_still_reaches_old_epochs_from_its_anchor() {
    let chain = EpochChain::new(70);
    let mut light = chain.light();
    chain.changes.iter().for_each(|change| assert!(light.follow(&change.clone().into(), NOW).is_ok()));
    assert_eq!(light.newest().epoch, Epoch(70));
    let (header, proof) = &chain.firsts[3];
    assert_eq!(light.known_up_to(Epoch(3)), Some(Epoch(0)), "what lies between was forgotten");
    let missing = ProofRefused::OtherEpoch { header: Epoch(3), trusted: Epoch(0) };
    assert_eq!(light.check_final(header, proof, NOW), Err(missing));
    chain.changes[..3].iter().for_each(|change| assert!(light.follow(&change.clone().into(), NOW).is_ok()));
    assert_eq!(light.check_final(header, proof, NOW), Ok(block_digest(header)));
    assert_eq!(light.newest().epoch, Epoch(70), "and it still knows the newest");
    let (header, proof) = &chain.firsts[12];
    assert_eq!(
        light.check_final(header, proof, NOW),
        Ok(block_digest(header)),
        "of the newest 64 all but a few are there"
    );
}

#[test]
fn the_anchors_committee_retires_however_many_come_after_it() {
    let chain = EpochChain::new(70);
    let ended = chain.changes[0].boundary.time_ms;
    let period_ms = 10_000_000;
    let mut light = Light::new(Trust::genesis(&chain.genesis), Some(period_ms));
    chain
        .changes
        .iter()
        .for_each(|change| assert!(light.follow(&change.clone().into(), change.boundary.time_ms).is_ok()));
    let (header, proof) = &chain.firsts[0];
    assert_eq!(
        light.check_final(header, proof, ended + period_ms + 1),
        Err(ProofRefused::TooOld { epoch: Epoch(0), period_ms })
    );
}

#[test]
fn a_client_continues_from_a_checkpoint() {
    let chain = EpochChain::new(3);
    let mut light = chain.light();
    chain.changes[..2].iter().for_each(|change| assert!(light.follow(&change.clone().into(), NOW).is_ok()));
    let bytes = light.newest().to_checkpoint();
    let trust = Trust::from_checkpoint(&bytes).unwrap();
    assert_eq!(&trust, light.newest());
    let mut pinned = Light::new(trust.clone(), None);
    assert_eq!(pinned.follow(&chain.changes[2].clone().into(), NOW), Ok(Epoch(3)));
    let (header, proof) = &chain.firsts[1];
    let before = ProofRefused::OtherEpoch { header: Epoch(1), trusted: Epoch(2) };
    assert_eq!(pinned.check_final(header, proof, NOW), Err(before), "what was before it can't be checked from it");
    let mut other = trust;
    edit(&mut other.validators, |set| set.swap(0, 1));
    assert!(Trust::from_checkpoint(&other.to_checkpoint()).is_err());
    assert!(Trust::from_checkpoint(&bytes[1..]).is_err());
}

/// A checkpoint of an earlier release doesn't contain the length of epochs.
#[test]
fn an_older_checkpoint_is_still_one_and_its_committee_counts_from_its_start() {
    let chain = EpochChain::new(1);
    let trust = Trust::genesis(&chain.genesis);
    let older = Trust::from_checkpoint(&encode(&trust)).unwrap();
    assert_eq!(older, Trust { epoch_ms: None, ..trust.clone() });
    assert_eq!((older.to_checkpoint(), trust.to_checkpoint().len()), (encode(&trust), encode(&trust).len() + 8));
    let light = Light::new(older, Some(5_000));
    assert!(light.check_trust(START_MS + 5_000).is_ok());
    assert!(light.check_trust(START_MS + 5_001).is_err());
}

#[test]
fn a_checkpoint_with_another_shard_map_is_refused() {
    let trust = Trust { shard_map: Hash([7; 32]), ..Trust::genesis(&EpochChain::new(0).genesis) };
    assert!(Trust::from_checkpoint(&trust.to_checkpoint()).is_err());
}

/// No epoch change of the trusted shard leads to a header of another shard, so the client requests none.
#[test]
fn a_header_of_another_shard_is_refused_before_its_committee_is_looked_for() {
    let chain = LightChain::new();
    let trust = Trust::genesis(&chain.genesis);
    let (own, mut light) = (trust.charter.shard, Light::new(trust.clone(), None));
    let other = ShardId(own.0 + 1);
    let here = chain.header(3, 305, START_MS + 3 * DAY_MS + 5);
    let elsewhere = Header { shard: other, ..here.clone() };
    assert_eq!(light.missing(&here), Ok(Some((Epoch(0), Epoch(3)))));
    assert_eq!(light.missing(&elsewhere), Err(ProofRefused::OtherShard { header: other, expected: own }));
    assert_eq!(light.missing(&genesis(&chain.genesis, ShardId::ROOT).header), Ok(None));
    let first = Header { shard: other, ..chain.header(0, 5, START_MS + 5) };
    let refused = Err(ProofRefused::OtherShard { header: other, expected: own });
    assert_eq!(light.check_final(&first, &chain.proof(&first), NOW), refused);
    // A client that trusts the other shard's committee trusts no header of this shard.
    let mut there = Light::new(Trust { charter: Charter::whole(other), ..trust }, None);
    assert_eq!(there.check_final(&first, &chain.proof(&first), NOW), Ok(block_digest(&first)));
    let first = chain.header(0, 5, START_MS + 5);
    let refused = Err(ProofRefused::OtherShard { header: own, expected: other });
    assert_eq!(there.check_final(&first, &chain.proof(&first), NOW), refused);
}

/// The client knows the end of an epoch for longer than it keeps the committee.
#[test]
fn a_committee_that_was_forgotten_comes_back_with_its_end() {
    let chain = LightChain::new();
    let mut light = Light::new(Trust::genesis(&chain.genesis), None);
    for change in &chain.changes {
        light.follow(&change.clone().into(), change.boundary.time_ms).unwrap();
    }
    assert_eq!((light.newest().epoch, light.known_up_to(Epoch(3))), (Epoch(70), Some(Epoch(0))));
    let now = chain.changes[69].boundary.time_ms;
    chain.changes[..3].iter().for_each(|change| assert!(light.follow(&change.clone().into(), now).is_ok()));
    let end = chain.changes[3].boundary.clone();
    let header = chain.header(3, end.height.0 + 1, end.time_ms + 1);
    let above = ProofRefused::AboveEnd { epoch: Epoch(3), height: header.height, end: end.height };
    assert_eq!(light.check_final(&header, &chain.proof(&header), now), Err(above));
    let other = chain.end(3, 400, end.time_ms, chain.committee(9));
    assert_eq!(light.follow(&other.clone().into(), now), Err(ProofRefused::TwoEnds(Epoch(3))));
    assert_eq!(light.follow(&chain.changes[3].clone().into(), now), Ok(Epoch(4)));
}

/// Two headers prove the contradiction to any client that trusts the committee, and name the members who signed both.
#[test]
fn two_final_headers_that_contradict_each_other_are_evidence() {
    let chain = LightChain::new();
    let light = Light::new(Trust::genesis(&chain.genesis), None);
    let signed = |header: Header| HeaderProof { proof: chain.proof(&header), header };
    let block = |height, speaks| signed(Header { speaks, ..chain.header(0, height, START_MS + 5) });
    let end = |height, next| signed(chain.end(0, height, START_MS + 5, chain.committee(next)).boundary);
    let both = light.check_conflict(&block(5, 0), &block(5, 1)).unwrap();
    assert_eq!(both.iter().map(|(place, _)| place.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(both[0].1, chain.genesis.validators[1]);
    for (first, second) in
        [(end(5, 1), end(5, 2)), (end(5, 1), end(7, 1)), (end(5, 1), block(5, 0)), (end(5, 1), block(6, 0))]
    {
        assert!(light.check_conflict(&first, &second).is_ok());
        assert!(light.check_conflict(&second, &first).is_ok());
    }
    for (first, second) in [(block(5, 0), block(5, 0)), (block(5, 0), block(6, 1)), (end(5, 1), block(4, 0))] {
        assert_eq!(light.check_conflict(&first, &second), Err(ProofRefused::NoConflict));
        assert_eq!(light.check_conflict(&second, &first), Err(ProofRefused::NoConflict));
    }
    let mut unsigned = block(5, 1);
    edit(&mut unsigned.proof.finalization.signatures, |signatures| signatures.truncate(2));
    assert_eq!(light.check_conflict(&block(5, 0), &unsigned), Err(ProofRefused::BadCertificate));
}

#[test]
fn a_client_continues_in_another_process_with_its_whole_state() {
    let chain = LightChain::new();
    let mut light = Light::new(Trust::genesis(&chain.genesis), None);
    for change in &chain.changes {
        light.follow(&change.clone().into(), change.boundary.time_ms).unwrap();
    }
    let bytes = light.to_bytes();
    let mut again = Light::from_bytes(&bytes, None).unwrap();
    assert_eq!((again.to_bytes(), again.newest()), (bytes.clone(), light.newest()));
    let now = chain.changes[69].boundary.time_ms;
    let other = chain.end(0, 100, chain.changes[0].boundary.time_ms, chain.committee(9));
    assert_eq!(again.follow(&other.clone().into(), now), Err(ProofRefused::TwoEnds(Epoch(0))));
    chain.changes[..5].iter().for_each(|change| assert!(again.follow(&change.clone().into(), now).is_ok()));
    let long_after = now + DAY_MS + PERIOD_MS;
    assert!(Light::from_bytes(&bytes, Some(PERIOD_MS)).unwrap().check_trust(long_after).is_ok());
    assert!(Light::from_bytes(&bytes, Some(PERIOD_MS)).unwrap().check_trust(long_after + 1).is_err());
    assert!(Light::from_bytes(&bytes[..bytes.len() - 1], None).is_err());
    assert!(Light::from_bytes(&[], None).is_err());
}

#[test]
fn a_trust_state_of_two_chains_or_with_another_committee_is_refused() {
    let chain = EpochChain::new(1);
    let mut light = chain.light();
    light.follow(&chain.changes[0].clone().into(), NOW).unwrap();
    let bytes = light.to_bytes();
    let whole = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        Light::from_bytes(&bytes, None)
    };
    // The chain's id is the first field of the anchor, so these states are of another chain.
    assert!(whole(0).is_err());
    // A committee's keys are hashed.
    let key = chain.changes[0].next[2].validator_key;
    let at = bytes.windows(32).position(|window| window == key).unwrap();
    assert!(whole(at).is_err());
}

#[test]
fn the_signed_ends_of_kept_committees_are_at_hand() {
    let chain = EpochChain::new(2);
    let mut light = chain.light();
    chain.changes.iter().for_each(|change| assert!(light.follow(&change.clone().into(), NOW).is_ok()));
    let end = light.signed_end(Epoch(1)).unwrap().clone();
    assert_eq!(light.check_final(&end.header, &end.proof, NOW), Ok(light.newest().digest));
    assert!(light.signed_end(Epoch(2)).is_none());
}

/// A block below the trusted one belongs to no epoch in which the trusted committee decides.
#[test]
fn no_other_block_at_or_below_the_trusted_one_is_taken_from_its_committee() {
    let chain = EpochChain::new(2);
    let mut light = chain.light();
    chain.changes.iter().for_each(|change| assert!(light.follow(&change.clone().into(), NOW).is_ok()));
    let (trust, (header, _)) = (light.newest(), &chain.firsts[2]);
    let checked = |height: Height| {
        let header = Header { height, ..header.clone() };
        let finalization = signed(&header, trust.epoch.0, trust.validators.len());
        trust.check_final(&header, &BlockProof { descendants: BoundedVec::default(), finalization })
    };
    assert!(checked(trust.height.next()).is_ok());
    for height in [trust.height, Height(trust.height.0 - 1), Height(1)] {
        assert_eq!(checked(height), Err(ProofRefused::Below(height)));
    }
}

#[test]
fn long_retired_committees_prove_nothing() {
    let chain = EpochChain::new(3);
    let ended = chain.changes[0].boundary.time_ms;
    let mut light = Light::new(Trust::genesis(&chain.genesis), Some(5_000));
    let too_old = ProofRefused::TooOld { epoch: Epoch(0), period_ms: 5_000 };
    assert_eq!(light.follow(&chain.changes[0].clone().into(), ended + 5_001), Err(too_old.clone()));
    assert_eq!(light.follow(&chain.changes[0].clone().into(), ended + 5_000), Ok(Epoch(1)));
    let (header, proof) = &chain.firsts[0];
    assert!(light.check_final(header, proof, ended + 5_000).is_ok());
    assert_eq!(light.check_final(header, proof, ended + 5_001), Err(too_old));
    let (header, proof) = &chain.firsts[1];
    let retires = ended + chain.genesis.parameters.epoch_ms;
    assert!(light.check_final(header, proof, retires + 5_000).is_ok(), "the newest committee may have retired by now");
    let too_old = ProofRefused::TooOld { epoch: Epoch(1), period_ms: 5_000 };
    assert_eq!(light.check_final(header, proof, retires + 5_001), Err(too_old.clone()));
    assert_eq!((light.check_trust(retires + 5_000), light.check_trust(retires + 5_001)), (Ok(()), Err(too_old)));
}

fn refused(change: impl FnOnce(&mut EpochChange)) -> ProofRefused {
    let chain = EpochChain::new(2);
    let mut light = chain.light();
    let mut changed = chain.changes[0].clone();
    change(&mut changed);
    let refused = light.follow(&changed.clone().into(), NOW).unwrap_err();
    assert_eq!(light.newest(), &Trust::genesis(&chain.genesis), "nothing has changed");
    refused
}

#[test]
fn no_other_committee_is_accepted() {
    assert_eq!(refused(|c| edit(&mut c.next, |set| set.swap(0, 1))), ProofRefused::OtherCommittee);
    assert_eq!(refused(|c| edit(&mut c.next, |set| set.truncate(3))), ProofRefused::OtherCommittee);
    assert_eq!(refused(|c| c.boundary.end = End::GoesOn), ProofRefused::NotAnEnd(Height(2)));
    let own = |c: &mut EpochChange| {
        edit(&mut c.next, |set| set.swap(0, 1));
        c.boundary.next_validator_set = hash_of(&c.next);
    };
    assert_eq!(refused(own), ProofRefused::NotAChain(0));
    let by_the_next = |c: &mut EpochChange| {
        c.proof.descendants = BoundedVec::default();
        c.proof.finalization = signed(&c.boundary, 1, 4);
    };
    assert_eq!(refused(by_the_next), ProofRefused::BadCertificate);
    let payload_after_the_end = |c: &mut EpochChange| {
        edit(&mut c.proof.descendants, |headers| headers[0].transactions = 1);
        c.proof.finalization = signed(&c.proof.descendants[0], 0, 4);
    };
    assert_eq!(refused(payload_after_the_end), ProofRefused::NotAChain(0));
    let above_another_end = |c: &mut EpochChange| {
        edit(&mut c.proof.descendants, |headers| headers[0].end = End::Closing(BlockDigest([9; 32])));
        c.proof.finalization = signed(&c.proof.descendants[0], 0, 4);
    };
    assert_eq!(refused(above_another_end), ProofRefused::NotAChain(0));
    let later = EpochChain::new(2).changes[1].clone();
    let missing = ProofRefused::OtherEpoch { header: Epoch(1), trusted: Epoch(0) };
    assert_eq!(refused(|c| *c = later), missing);
}

#[test]
fn a_closing_block_is_not_taken_for_the_boundary() {
    let chain = EpochChain::new(1);
    let good = &chain.changes[0];
    let closing = good.proof.descendants[0].clone();
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: good.proof.finalization.clone() };
    assert!(Trust::genesis(&chain.genesis).check_final(&closing, &proof).is_ok(), "it is final, and ends the epoch");
    assert_eq!(closing.next_validator_set, good.boundary.next_validator_set);
    let change = EpochChange { boundary: closing, proof, next: good.next.clone() };
    assert_eq!(chain.light().follow(&change.clone().into(), NOW), Err(ProofRefused::NotTheFirstEnd(Height(3))));
}

#[test]
fn an_epoch_of_one_block_ends_above_the_boundary_before_it() {
    let chain = EpochChain::new(1);
    let mut light = chain.light();
    light.follow(&chain.changes[0].clone().into(), NOW).unwrap();
    let next = committee(&chain.genesis, 2);
    let (header, size) = (chain.firsts[1].0.clone(), chain.changes[0].next.len());
    let boundary = Header { end: End::Boundary, next_validator_set: hash_of(&next), ..header };
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: signed(&boundary, 1, size) };
    assert_eq!(light.follow(&EpochChange { boundary, proof, next }.into(), NOW), Ok(Epoch(2)));
}

#[test]
fn two_different_ends_of_one_epoch_are_reported() {
    let chain = EpochChain::new(1);
    let mut light = chain.light();
    light.follow(&chain.changes[0].clone().into(), NOW).unwrap();
    let mut other = chain.changes[0].clone();
    other.boundary.time_ms += 1;
    other.proof = BlockProof { descendants: BoundedVec::default(), finalization: signed(&other.boundary, 0, 4) };
    assert_eq!(light.follow(&other.clone().into(), NOW), Err(ProofRefused::TwoEnds(Epoch(0))));
    assert_eq!(light.follow(&chain.changes[0].clone().into(), NOW), Ok(Epoch(1)), "the same again is no other");
}

#[test]
fn a_known_header_needs_no_second_look_and_a_changed_one_gets_it() {
    let chain = EpochChain::new(1);
    let mut light = chain.light();
    let (header, proof) = &chain.firsts[0];
    let none = BlockProof { descendants: BoundedVec::default(), finalization: proof.finalization.clone() };
    light.check_final(header, &none, NOW).unwrap();
    let mut empty = none;
    edit(&mut empty.finalization.signatures, Vec::clear);
    assert!(light.check_final(header, &empty, NOW).is_ok());
    light.forget_checked();
    assert_eq!(light.check_final(header, &empty, NOW), Err(ProofRefused::BadCertificate));
    light.check_final(header, proof, NOW).unwrap();
    let other = Header { speaks: 1, ..header.clone() };
    assert_eq!(light.check_final(&other, proof, NOW), Err(ProofRefused::OtherBlock));
}

fn labels(light: &Light, digest: BlockDigest) -> Option<(Vec<String>, usize)> {
    light.signers(digest).map(|signers| (signers.labels, signers.validators))
}

#[test]
fn the_signers_of_a_header_are_those_whose_signatures_were_checked() {
    let chain = EpochChain::new(1);
    let mut light = chain.light();
    let (header, proof) = &chain.firsts[0];
    let digest = block_digest(header);
    assert_eq!(labels(&light, digest), None);
    light.check_final(header, proof, NOW).unwrap();
    let three = Some((vec!["b".to_owned(), "c".to_owned(), "d".to_owned()], 4));
    assert_eq!(labels(&light, digest), three);
    // The header is known, so the signatures of this certificate are not looked at.
    let mut others = proof.clone();
    edit(&mut others.finalization.signatures, |signatures| signatures[0].0 = ValidatorIndex(0));
    light.check_final(header, &others, NOW).unwrap();
    assert_eq!(labels(&light, digest), three);
    light.forget_checked();
    assert_eq!(light.check_final(header, &others, NOW), Err(ProofRefused::BadCertificate));
    assert_eq!(labels(&light, digest), None);
    // Nobody's signature is needed for the block that is trusted to begin with.
    let start = rustorium_execution::genesis(&chain.genesis, ShardId::ROOT);
    light.check_final(&start.header, proof, NOW).unwrap();
    assert_eq!(labels(&light, start.digest), None);
}

#[test]
fn the_owners_of_validators_are_not_called_validators() {
    let chain = EpochChain::new(1);
    let boundary = Header { end: End::Boundary, transactions: 0, ..chain.firsts[0].0.clone() };
    let owner = |place: u8| SigningKey::from_seed(&[120 + place; 32]);
    let by = |sign: &dyn Fn(u8) -> SigningKey| {
        let mut finalization = signed(&boundary, 0, 4);
        let body = finalization.body;
        let vote = |place: u8| {
            let vote = sign(place).sign_vote(ValidatorIndex(u16::from(place)), body);
            (vote.signer, vote.signature)
        };
        edit(&mut finalization.signatures, |all| *all = (0..3).map(vote).collect());
        BlockProof { descendants: BoundedVec::default(), finalization }
    };
    for (owners, proof) in [(true, by(&owner)), (false, by(&validator_key))] {
        let mut light = chain.light();
        let digest = light.check_final(&boundary, &proof, NOW).unwrap();
        let signers = light.signers(digest).unwrap();
        assert_eq!((signers.by_owners, signers.labels.len()), (owners, 3));
    }
}

#[test]
fn a_label_stands_for_one_validator_and_holds_nothing_that_a_terminal_acts_on() {
    let mut genesis = EpochChain::new(1).genesis;
    let names: [&[u8]; 4] = [b"same", b"same", b"\x1b[31mred", b"one, two"];
    edit(&mut genesis.validators, |all| {
        for (validator, name) in all.iter_mut().zip(names) {
            validator.name = BoundedBytes::new(name.to_vec()).unwrap();
        }
    });
    let start = rustorium_execution::genesis(&genesis, ShardId::ROOT);
    let header =
        Header { chain: hashes(&genesis, ShardId::ROOT).chain, ..child(&start.header, ResultClaim::default()) };
    let finalization = finalize(&header, &[0, 1, 2, 3]);
    let mut light = Light::new(Trust::genesis(&genesis), None);
    let proof = BlockProof { descendants: BoundedVec::default(), finalization };
    let digest = light.check_final(&header, &proof, NOW).unwrap();
    let key = |place: u8| hex::encode(&validator_key(place).public()[..8]);
    let expected = vec![format!("same {}", key(0)), format!("same {}", key(1)), key(2), key(3)];
    assert_eq!(labels(&light, digest), Some((expected, 4)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_of_a_change_is_accepted(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let chain = EpochChain::new(1);
        let mut bytes = encode(&chain.changes[0]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<EpochChange>(&bytes, PROOF_BYTES_MAX) {
            prop_assert!(chain.light().follow(&changed.clone().into(), NOW).is_err(), "byte {at}");
        }
    }
}
