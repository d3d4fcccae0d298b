//! A committee with its keys.
#![allow(dead_code)]

use rustorium_crypto::{SigningKey, Verified, certify, verify_vote};
use rustorium_quorum::{Committee, Tally, TallyEvent};
use rustorium_types::{
    BlockDigest, Certificate, ChainId, Epoch, ShardId, SignedVote, ValidatorIndex, View, VoteBody, VoteKind,
};
use std::sync::Arc;

pub const SCOPE: (ChainId, ShardId, Epoch) = (ChainId([1; 32]), ShardId(2), Epoch(3));

pub fn key(index: u16) -> SigningKey {
    SigningKey::from_seed(&[index as u8; 32])
}

pub fn committee(n: u16) -> Arc<Committee> {
    let keys = (0..n).map(|index| key(index).public()).collect();
    let (chain, shard, epoch) = SCOPE;
    Arc::new(Committee { chain, shard, epoch, me: Some(ValidatorIndex(0)), keys })
}

pub fn block(number: u8) -> BlockDigest {
    BlockDigest([number; 32])
}

/// A vote's body; `number` names the block and is ignored for a nullify.
pub fn body(kind: VoteKind, view: u64, number: u8) -> VoteBody {
    let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { block(number) };
    let (chain, shard, epoch) = SCOPE;
    VoteBody { chain, shard, epoch, view: View(view), kind, block }
}

pub fn vote(signer: u16, kind: VoteKind, view: u64, number: u8) -> SignedVote {
    key(signer).sign_vote(ValidatorIndex(signer), body(kind, view, number))
}

pub fn forged(signer: u16, kind: VoteKind, view: u64, number: u8) -> SignedVote {
    let mut vote = vote(signer, kind, view, number);
    vote.signature[5] ^= 1;
    vote
}

pub fn checked(signer: u16, kind: VoteKind, view: u64, number: u8) -> Verified<SignedVote> {
    verify_vote(&key(signer).public(), vote(signer, kind, view, number)).unwrap()
}

/// A certificate of a committee of `n` by these signers.
pub fn certificate(n: u16, signers: &[u16], kind: VoteKind, view: u64, number: u8) -> Certificate {
    let votes: Vec<_> = signers.iter().map(|signer| checked(*signer, kind, view, number)).collect();
    certify(usize::from(n), &votes).unwrap().into_inner()
}

pub fn add(tally: &mut Tally, vote: SignedVote) -> Vec<TallyEvent> {
    let mut out = Vec::new();
    tally.add_vote(vote, &mut out);
    out
}

pub fn formed(events: &[TallyEvent]) -> Vec<(VoteKind, u64)> {
    let one = |event: &TallyEvent| match event {
        TallyEvent::Formed(certificate) => Some((certificate.body.kind, certificate.body.view.0)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}
