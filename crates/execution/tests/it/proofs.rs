//! A receipt's proof is accepted as made, and refused with any field changed.

use crate::common::*;
use proptest::prelude::*;
use rustorium_execution::*;
use rustorium_types::*;

/// Five receipts at height 1, two more heights executed, the root of height 3 claimed at height 4, finalized at height 5.
fn proof_of(index: usize) -> (Genesis, ReceiptProof) {
    let mut world = World::new();
    let before = world.root;
    let block: Vec<_> = (0..5).map(|nonce| world.sign_at(0, nonce, vec![put(0, &[nonce as u8], b"v")])).collect();
    let first = world.run(&block);
    let links = vec![first.link, world.run(&[]).link, world.run(&[]).link];
    let claiming = child(&world.header, ResultClaim { height: world.header.height, root: world.root });
    let tip = child(&claiming, claiming.result);
    let proof =
        BlockProof { finalization: finalize(&tip, &[0, 2, 3]), descendants: BoundedVec::new(vec![tip]).unwrap() };
    let made = prove_receipt(&first.receipts, index, before, links, claiming, proof).unwrap();
    (world.genesis, made)
}

#[test]
fn a_made_proof_is_accepted() {
    for index in 0..5 {
        let (genesis, proof) = proof_of(index);
        assert_eq!(verify_receipt(&genesis, &proof), Ok(()));
    }
}

#[test]
fn a_block_is_final_by_its_own_certificate_too() {
    let (genesis, proof) = proof_of(0);
    let own = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&proof.header, &[1, 2, 3]) };
    assert_eq!(verify_block(&genesis, &proof.header, &own), Ok(()));
}

#[test]
fn the_genesis_block_is_final_only_as_it_is() {
    let world = World::new();
    let (_, proof) = proof_of(0);
    let start = rustorium_execution::genesis(&world.genesis, ShardId::ROOT).header;
    assert_eq!(verify_block(&world.genesis, &start, &proof.proof), Ok(()));
    let other = Header { time_ms: start.time_ms + 1, ..start };
    assert_eq!(verify_block(&world.genesis, &other, &proof.proof), Err(ProofRefused::OtherGenesis));
}

#[test]
fn an_unprovable_receipt_is_a_typed_error() {
    let (_, proof) = proof_of(0);
    let (header, block) = (proof.header.clone(), proof.proof.clone());
    let none = prove_receipt(&[], 0, Hash::ZERO, vec![], header.clone(), block.clone());
    assert_eq!(none, Err(Unprovable::NoSuchReceipt { index: 0, receipts: 0 }));
    let links = vec![ResultLink::default(); RESULT_LINKS_MAX + 1];
    let long = prove_receipt(&[proof.receipt], 0, Hash::ZERO, links, header, block);
    assert_eq!(long, Err(Unprovable::TooManyLinks(RESULT_LINKS_MAX + 1)));
}

fn refusal(change: impl FnOnce(&mut ReceiptProof)) -> ProofRefused {
    let (genesis, mut proof) = proof_of(3);
    change(&mut proof);
    verify_receipt(&genesis, &proof).unwrap_err()
}

#[test]
fn every_tampered_field_of_the_receipt_is_refused() {
    let changes: [fn(&mut Receipt); 8] = [
        |r| r.transaction.0[0] ^= 1,
        |r| r.sender.0[31] ^= 1,
        |r| r.nonce += 1,
        |r| r.height.0 += 1,
        |r| r.index -= 1,
        |r| r.time_ms += 1,
        |r| r.work += 1,
        |r| r.outcome = Outcome::Failed { code: FailureCode::Precondition, operation: 0 },
    ];
    for change in changes {
        assert_eq!(refusal(|p| change(&mut p.receipt)), ProofRefused::NotInReceipts);
    }
}

#[test]
fn every_tampered_part_of_the_path_is_refused() {
    assert_eq!(refusal(|p| p.receipts += 4), ProofRefused::NotInReceipts);
    assert_eq!(refusal(|p| p.receipts = 0), ProofRefused::NotInReceipts);
    assert_eq!(refusal(|p| edit(&mut p.siblings, |s| s[0].0[0] ^= 1)), ProofRefused::NotInReceipts);
    assert_eq!(refusal(|p| edit(&mut p.siblings, |s| s.truncate(1))), ProofRefused::NotInReceipts);
    assert_eq!(refusal(|p| edit(&mut p.links, |l| l[0].receipts.0[0] ^= 1)), ProofRefused::NotInReceipts);
    assert_eq!(refusal(|p| p.previous_root.0[0] ^= 1), ProofRefused::OtherRoot);
    assert_eq!(refusal(|p| edit(&mut p.links, |l| l[0].diff.0[0] ^= 1)), ProofRefused::OtherRoot);
    assert_eq!(refusal(|p| edit(&mut p.links, |l| l[1].outbox.0[0] ^= 1)), ProofRefused::OtherRoot);
    assert_eq!(refusal(|p| edit(&mut p.links, |l| l[2].receipts.0[0] ^= 1)), ProofRefused::OtherRoot);
    assert_eq!(refusal(|p| edit(&mut p.links, |l| l.truncate(2))), ProofRefused::LinkCount { links: 2, needed: 3 });
    let below = |p: &mut ReceiptProof| {
        edit(&mut p.links, |l| l.truncate(1));
        p.header.result.height = Height(0);
    };
    assert_eq!(refusal(below), ProofRefused::LinkCount { links: 1, needed: 0 });
    let highest = |p: &mut ReceiptProof| p.header.result.height = Height(u64::MAX);
    assert_eq!(refusal(highest), ProofRefused::LinkCount { links: 3, needed: u64::MAX });
    assert_eq!(refusal(|p| p.links = BoundedVec::default()), ProofRefused::LinkCount { links: 0, needed: 1 });
}

#[test]
fn every_tampered_field_of_the_header_is_refused() {
    type Change = fn(&mut Header);
    let changes: [(Change, ProofRefused); 20] = [
        (|h| h.version += 1, ProofRefused::OtherVersion { header: 3, trusted: 2 }),
        (|h| h.chain.0[0] ^= 1, ProofRefused::OtherChain),
        (|h| h.shard.0 += 1, ProofRefused::OtherShard { header: ShardId(1), expected: ShardId(0) }),
        (|h| h.epoch.0 += 1, ProofRefused::OtherEpoch { header: Epoch(1), trusted: Epoch(0) }),
        (|h| h.view.0 += 1, ProofRefused::NotAChain(0)),
        (|h| h.height.0 += 1, ProofRefused::NotAChain(0)),
        (|h| h.parent.0[0] ^= 1, ProofRefused::NotAChain(0)),
        (|h| h.parent_view.0 += 1, ProofRefused::NotAChain(0)),
        (|h| h.proposer.0 += 1, ProofRefused::NotAChain(0)),
        (|h| h.time_ms += 1, ProofRefused::NotAChain(0)),
        (|h| h.payload_root.0[0] ^= 1, ProofRefused::NotAChain(0)),
        (|h| edit(&mut h.cursors, |c| c[0].next_seq += 1), ProofRefused::NotAChain(0)),
        (|h| h.transactions += 1, ProofRefused::NotAChain(0)),
        (|h| h.declared_work += 1, ProofRefused::NotAChain(0)),
        (|h| h.speaks += 1, ProofRefused::NotAChain(0)),
        (|h| h.validator_set.0[0] ^= 1, ProofRefused::OtherSettings),
        (|h| h.next_validator_set.0[0] ^= 1, ProofRefused::NotAChain(0)),
        (|h| h.parameters.0[0] ^= 1, ProofRefused::OtherSettings),
        (|h| h.result.root.0[0] ^= 1, ProofRefused::OtherRoot),
        (|h| h.result.height.0 += 1, ProofRefused::LinkCount { links: 3, needed: 4 }),
    ];
    for (change, expected) in changes {
        assert_eq!(refusal(|p| change(&mut p.header)), expected);
    }
    assert_eq!(refusal(|p| p.header.shard_map.0[0] ^= 1), ProofRefused::OtherSettings);
    let rooted = StateClaim::Rooted { height: Height(1), first: Height(0), root: Hash::ZERO };
    assert_eq!(refusal(|p| p.header.state = rooted), ProofRefused::NotAChain(0));
}

#[test]
fn every_tampered_part_of_the_block_proof_is_refused() {
    let other_block = ProofRefused::OtherBlock;
    assert_eq!(refusal(|p| p.proof.descendants = BoundedVec::default()), other_block);
    assert_eq!(refusal(|p| edit(&mut p.proof.descendants, |d| d[0].speaks += 1)), other_block);
    assert_eq!(refusal(|p| edit(&mut p.proof.descendants, |d| d.push(d[0].clone()))), ProofRefused::NotAChain(1));
    assert_eq!(refusal(|p| edit(&mut p.proof.descendants, |d| d[0].height.0 += 1)), ProofRefused::NotAChain(0));
    assert_eq!(refusal(|p| p.proof.finalization.body.chain.0[0] ^= 1), other_block);
    assert_eq!(refusal(|p| p.proof.finalization.body.shard.0 += 1), other_block);
    assert_eq!(refusal(|p| p.proof.finalization.body.epoch.0 += 1), other_block);
    assert_eq!(refusal(|p| p.proof.finalization.body.view.0 += 1), other_block);
    assert_eq!(refusal(|p| p.proof.finalization.body.block.0[0] ^= 1), other_block);
    let notarize = |p: &mut ReceiptProof| {
        let body = VoteBody { kind: VoteKind::Notarize, ..p.proof.finalization.body };
        p.proof.finalization = certificate(body, &[0, 1, 2, 3]);
    };
    assert_eq!(refusal(notarize), other_block);
    let bad = ProofRefused::BadCertificate;
    let signatures = |change: fn(&mut Vec<(ValidatorIndex, Signature)>)| {
        refusal(|p| edit(&mut p.proof.finalization.signatures, change))
    };
    assert_eq!(signatures(|s| s[1].1[5] ^= 1), bad);
    assert_eq!(signatures(|s| s.truncate(2)), bad);
    assert_eq!(signatures(|s| s[2] = s[1]), bad);
    assert_eq!(signatures(|s| s.swap(0, 1)), bad);
    assert_eq!(signatures(|s| s[0].0 = ValidatorIndex(1)), bad);
    assert_eq!(signatures(|s| s[2].0 = ValidatorIndex(9)), bad);
}

#[test]
fn a_proof_of_another_chain_is_refused() {
    let (mut genesis, proof) = proof_of(0);
    genesis.time_ms += 1;
    assert_eq!(verify_receipt(&genesis, &proof), Err(ProofRefused::OtherChain));
}

#[test]
fn a_receipt_proof_goes_with_one_number_of_receipts() {
    for index in 0..5 {
        let (genesis, proof) = proof_of(index);
        for receipts in (0..40).chain([1 << 20, u32::MAX]) {
            let changed = ReceiptProof { receipts, ..proof.clone() };
            assert_eq!(verify_receipt(&genesis, &changed).is_ok(), receipts == proof.receipts, "{receipts} at {index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_of_an_encoded_proof_is_accepted(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (genesis, proof) = proof_of(2);
        let mut bytes = encode(&proof);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<ReceiptProof>(&bytes, bytes.len()) {
            prop_assert!(verify_receipt(&genesis, &changed).is_err(), "byte {at}");
        }
    }
}
