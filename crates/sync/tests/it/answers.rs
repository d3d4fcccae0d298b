//! Answers to requests, and the part of them that the requester accepts as final.

use crate::common::*;
use rustorium_crypto::block_digest;
use rustorium_sync::{ANSWER_BYTES_MAX, FinalBlocksRefused, Source, answer, check_final_blocks, check_final_chain};
use rustorium_types::limits::{FRAME_BYTES_MAX, SYNC_ITEMS_MAX};
use rustorium_types::{
    Batch, BatchDigest, Block, BlockDigest, BlockProof, BoundedVec, Certificate, ChainId, Class, Epoch, EpochChange,
    EpochTransition, Height, Message, Request, Response, ShardId, ValidatorIndex, ValidatorSet, View, VoteKind, encode,
};

/// Holds a run of blocks from height 1, finalized at every `step`th height, and a batch.
struct Held {
    blocks: Vec<Block>,
    step: usize,
    greedy: bool,
}

impl Source for Held {
    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition> {
        let boundary = self.blocks.last().filter(|_| epoch == Epoch(0))?;
        let finalization = finalization(boundary);
        let proof = BlockProof { descendants: BoundedVec::default(), finalization };
        let boundary = boundary.header.clone();
        Some(EpochChange { boundary, proof, next: ValidatorSet::default() }.into())
    }

    fn block(&self, digest: &BlockDigest) -> Option<Block> {
        self.blocks.iter().find(|block| block_digest(&block.header) == *digest).cloned()
    }

    fn batch(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<Batch> {
        let batch = batch(lane.0, 5);
        (rustorium_crypto::batch_digest(&batch.body) == *digest).then_some(batch)
    }

    fn batches(&self, lane: ValidatorIndex, first: u64, end: u64) -> Vec<Batch> {
        (first..end.min(9)).map(|seq| batch(lane.0, seq)).collect()
    }

    fn certificates(&self, first: View, last: View) -> Vec<Certificate> {
        let views = if self.greedy { first.0..=first.0 + 999 } else { first.0..=last.0 };
        views.map(|view| certificate(view, BlockDigest([1; 32])).into_inner()).collect()
    }

    fn final_blocks(&self, first: Height, count: u32) -> (Vec<Block>, Option<Certificate>) {
        let from = first.0 as usize - 1;
        let finalized = |end: &usize| end.is_multiple_of(self.step);
        let exact = (from + 1..=(from + count as usize).min(self.blocks.len())).rev().find(finalized);
        let Some(end) = exact.or_else(|| (from + 1..=self.blocks.len()).find(finalized)) else { return (vec![], None) };
        (self.blocks[from..end].to_vec(), Some(finalization(&self.blocks[end - 1])))
    }
}

fn held(count: usize, bytes: usize, step: usize) -> Held {
    Held { blocks: run(count, bytes), step, greedy: false }
}

fn fits(response: &Response) {
    let frame = Message::Response { id: u64::MAX, response: response.clone() }.to_frame();
    assert!(frame.len() <= FRAME_BYTES_MAX);
    assert!(Message::from_frame(Class::Sync, &frame).is_ok());
}

#[test]
fn an_epochs_end_is_served_if_it_is_stored() {
    let source = held(3, 10, 1);
    let answered = answer(&source, &Request::EpochEnd(Epoch(0)));
    fits(&answered);
    assert!(matches!(answered, Response::EpochEnd(change) if *change.boundary() == source.blocks[2].header));
    assert_eq!(answer(&source, &Request::EpochEnd(Epoch(1))), Response::NotHeld);
}

fn final_blocks(source: &Held, first: u64, count: u32) -> (Vec<Block>, Certificate) {
    let response = answer(source, &Request::FinalBlocks { first: Height(first), count });
    fits(&response);
    let Response::FinalBlocks { blocks, finalization: Some(finalization) } = response else { panic!("{response:?}") };
    (blocks.into_vec(), finalization)
}

#[test]
fn held_things_are_served_and_others_are_not() {
    let source = held(2, 1, 1);
    let digest = block_digest(&source.blocks[1].header);
    let block = Response::Block(Box::new(source.blocks[1].clone()));
    assert_eq!(answer(&source, &Request::Block(digest)), block);
    assert_eq!(answer(&source, &Request::Block(BlockDigest::ZERO)), Response::NotHeld);
    let (lane, digest) = (ValidatorIndex(2), rustorium_crypto::batch_digest(&batch(2, 5).body));
    assert_eq!(answer(&source, &Request::Batch { lane, digest }), Response::Batch(Box::new(batch(2, 5))));
    let digest = BatchDigest::ZERO;
    assert_eq!(answer(&source, &Request::Batch { lane, digest }), Response::NotHeld);
    assert_eq!(answer(&source, &Request::FinalBlocks { first: Height(3), count: 1 }), Response::NotHeld);
}

#[test]
fn certificates_are_bounded_in_views_and_items() {
    for greedy in [false, true] {
        let source = Held { greedy, ..held(0, 0, 1) };
        let ask = |first, last| answer(&source, &Request::Certificates { first: View(first), last: View(last) });
        assert_eq!(ask(5, 4), Response::NotHeld);
        let response = ask(5, u64::MAX);
        fits(&response);
        let Response::Certificates(list) = response else { panic!() };
        assert_eq!((list.len(), list[0].body.view), (SYNC_ITEMS_MAX, View(5)));
    }
}

#[test]
fn a_served_range_is_valid_for_any_count_and_finalized_heights() {
    for step in [1, 3, 7] {
        let source = held(21, 10, step);
        for (first, count) in [(1, 1), (1, 5), (4, 2), (20, 100), (21, 0), (1, u32::MAX)] {
            let (blocks, finalization) = final_blocks(&source, first, count);
            let parent = first.checked_sub(2).map_or_else(genesis, |at| source.blocks[at as usize].header.clone());
            let chain = check_final_chain(&parent, &blocks, &finalization, &keys(), &[]).unwrap();
            assert!(chain.complete >= 1 && chain.complete <= (count as usize).clamp(1, SYNC_ITEMS_MAX));
            assert_eq!(blocks[..chain.complete], source.blocks[first as usize - 1..][..chain.complete]);
            assert_eq!(*chain.digests.last().unwrap(), chain.finalization.body.block);
        }
    }
}

#[test]
fn blocks_beyond_a_frame_are_sent_as_headers_that_reach_the_certificate() {
    let source = held(100, 60_000, 100);
    let (blocks, finalization) = final_blocks(&source, 1, 100);
    assert_eq!(blocks.len(), 100);
    let chain = check_final_chain(&genesis(), &blocks, &finalization, &keys(), &[]).unwrap();
    assert!(chain.complete * 60_000 > ANSWER_BYTES_MAX - 200_000 && chain.complete < 100, "{}", chain.complete);
    assert!(blocks[chain.complete..].iter().all(|block| block.inline.is_empty()));
    assert_eq!(check_final_blocks(&blocks, &finalization, &block_digest(&genesis()), &keys(), &[]), Ok(chain));
}

#[test]
fn one_block_over_a_frame_is_not_held() {
    let mut source = held(1, 1, 1);
    let many = vec![transaction(60_000); 80];
    source.blocks = vec![child(&genesis(), many)];
    assert!(encode(&source.blocks[0]).len() > FRAME_BYTES_MAX);
    let digest = block_digest(&source.blocks[0].header);
    assert_eq!(answer(&source, &Request::Block(digest)), Response::NotHeld);
}

#[test]
fn broken_runs_are_refused_with_the_reason() {
    let blocks = run(5, 10);
    let good = finalization(&blocks[4]);
    let from = block_digest(&genesis());
    let refused = |blocks: &[Block], certificate: &Certificate| {
        let plain = check_final_blocks(blocks, certificate, &from, &keys(), &[]).unwrap_err();
        assert_eq!(check_final_chain(&genesis(), blocks, certificate, &keys(), &[]), Err(plain.clone()));
        assert!(!plain.to_string().is_empty());
        plain
    };
    assert!(check_final_blocks(&blocks, &good, &from, &keys(), &[]).is_ok());
    assert_eq!(refused(&[], &good), FinalBlocksRefused::Empty);
    assert_eq!(refused(&blocks[1..], &good), FinalBlocksRefused::Broken { height: Height(2) });
    let gap = [&blocks[..2], &blocks[3..]].concat();
    assert_eq!(refused(&gap, &good), FinalBlocksRefused::Broken { height: Height(4) });
    let not_final = FinalBlocksRefused::NotFinalized { height: Height(4) };
    assert_eq!(refused(&blocks[..4], &good), not_final, "the certificate is of a later block");
    let last = block_digest(&blocks[4].header);
    let notarization = certificate_of(VoteKind::Notarize, blocks[4].header.view.0, last).into_inner();
    let not_final = FinalBlocksRefused::NotFinalized { height: Height(5) };
    assert_eq!(refused(&blocks, &notarization), not_final, "a notarization is never finality");
    for change in [
        |c: &mut Certificate| c.body.view = View(99),
        |c: &mut Certificate| c.body.chain = ChainId([9; 32]),
        |c: &mut Certificate| c.body.shard = ShardId(9),
        |c: &mut Certificate| c.body.epoch = Epoch(9),
    ] {
        let mut other = good.clone();
        change(&mut other);
        assert_eq!(refused(&blocks, &other), not_final);
    }
    let mut forged = good.signatures.clone().into_vec();
    forged[1].1[3] ^= 1;
    let forged = Certificate { body: good.body, signatures: BoundedVec::new(forged).unwrap() };
    assert_eq!(refused(&blocks, &forged), FinalBlocksRefused::Certificate);
    let strangers: Vec<_> = (10..14).map(|index| key(index).public()).collect();
    let other_keys = check_final_blocks(&blocks, &good, &from, &strangers, &[]);
    assert_eq!(other_keys, Err(FinalBlocksRefused::Certificate));
}

#[test]
fn altered_transactions_count_as_incomplete() {
    let mut blocks = run(5, 10);
    let good = finalization(&blocks[4]);
    blocks[2].inline = BoundedVec::new(vec![transaction(11)]).unwrap();
    assert_eq!(check_final_chain(&genesis(), &blocks, &good, &keys(), &[]).unwrap().complete, 2);
    blocks[0].inline = BoundedVec::default();
    let refused = check_final_chain(&genesis(), &blocks, &good, &keys(), &[]);
    assert_eq!(refused, Err(FinalBlocksRefused::Payload { height: Height(1) }));
}

#[test]
fn a_header_that_lies_about_its_parent_is_refused() {
    for change in [
        |block: &mut Block| block.header.height = Height(9),
        |block: &mut Block| block.header.parent_view = View(1),
        |block: &mut Block| block.header.view = View(0),
        |block: &mut Block| block.header.shard = ShardId(3),
    ] {
        let mut blocks = run(2, 1);
        change(&mut blocks[1]);
        let certificate = finalization(&blocks[1]);
        let refused = check_final_chain(&genesis(), &blocks, &certificate, &keys(), &[]);
        assert!(matches!(refused, Err(FinalBlocksRefused::Broken { .. })), "{refused:?}");
        assert!(check_final_chain(&genesis(), &blocks[..1], &finalization(&blocks[0]), &keys(), &[]).is_ok());
    }
}
