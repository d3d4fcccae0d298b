//! A chain of ended epochs, each with another committee.

use super::*;
use rustorium_crypto::{SigningKey, block_digest, domain, hash_value};

const EPOCH_MS: u64 = 1_000;

pub fn key_of(epoch: u64, index: u8) -> SigningKey {
    if epoch == 0 {
        return validator_key(index);
    }
    let number = epoch * 10 + u64::from(index);
    let mut seed = [number as u8; 32];
    seed[31] = seed[31].wrapping_add((number >> 8) as u8);
    SigningKey::from_seed(&seed)
}

/// The committee of an epoch; each is one larger than the one before, up to seven.
pub fn committee(genesis: &Genesis, epoch: u64) -> ValidatorSet {
    if epoch == 0 {
        return genesis.validators.clone();
    }
    let size = 4 + epoch.min(3) as u8;
    let validator = |index| Validator {
        name: BoundedBytes::new(vec![b'a' + index]).unwrap(),
        validator_key: key_of(epoch, index).public(),
        node_key: SigningKey::from_seed(&[200 + index; 32]).public(),
        owner_key: SigningKey::from_seed(&[210 + index; 32]).public(),
        ..genesis.validators[0].clone()
    };
    BoundedVec::new((0..size).map(validator).collect()).unwrap()
}

pub fn hash_of(set: &ValidatorSet) -> Hash {
    Hash(hash_value(domain::VALIDATOR_SET, set))
}

pub fn signed(header: &Header, epoch: u64, size: usize) -> Certificate {
    let body = VoteBody {
        chain: header.chain,
        shard: header.shard,
        epoch: header.epoch,
        view: header.view,
        kind: VoteKind::Finalize,
        block: block_digest(header),
    };
    let signers = (size - quorum(size)) as u8..size as u8;
    let sign = |i: u8| {
        let vote = key_of(epoch, i).sign_vote(ValidatorIndex(u16::from(i)), body);
        (vote.signer, vote.signature)
    };
    Certificate { body, signatures: BoundedVec::new(signers.map(sign).collect()).unwrap() }
}

/// A chain of so many ended epochs: their changes, and the first block of each epoch that has one, with its proof.
pub struct EpochChain {
    pub genesis: Genesis,
    pub changes: Vec<EpochChange>,
    pub firsts: Vec<(Header, BlockProof)>,
}

impl EpochChain {
    pub fn new(epochs: u64) -> Self {
        let genesis = make_genesis(Parameters::of(Rules::V1));
        let mut last = Header {
            chain: hashes(&genesis, ShardId::ROOT).chain,
            ..rustorium_execution::genesis(&genesis, ShardId::ROOT).header
        };
        let (mut changes, mut firsts) = (Vec::new(), Vec::new());
        for epoch in 0..=epochs {
            let set = committee(&genesis, epoch);
            let next = committee(&genesis, epoch + 1);
            let (validator_set, size) = (hash_of(&set), set.len());
            let first = Header {
                epoch: Epoch(epoch),
                validator_set,
                next_validator_set: validator_set,
                end: End::GoesOn,
                ..child(&last, ResultClaim::default())
            };
            let plain = BlockProof { descendants: BoundedVec::default(), finalization: signed(&first, epoch, size) };
            firsts.push((first.clone(), plain));
            let boundary = Header {
                end: End::Boundary,
                next_validator_set: hash_of(&next),
                time_ms: first.time_ms + EPOCH_MS,
                ..child(&first, first.result)
            };
            // A closing block made it final.
            let end = End::Closing(block_digest(&boundary));
            let closing = Header { transactions: 0, end, ..child(&boundary, boundary.result) };
            let proof = BlockProof {
                finalization: signed(&closing, epoch, size),
                descendants: BoundedVec::new(vec![closing]).unwrap(),
            };
            changes.push(EpochChange { boundary: boundary.clone(), proof, next });
            last = boundary;
        }
        changes.pop();
        Self { genesis, changes, firsts }
    }

    pub fn light(&self) -> Light {
        Light::new(Trust::genesis(&self.genesis), None)
    }
}
