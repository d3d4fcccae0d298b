//! Ends of epochs of version 2, and the end of version 1.

use super::*;
use rustorium_crypto::{parameters_hash, set_hash, term_hash};

pub fn second() -> Genesis {
    make_genesis(Parameters::of(Rules::V2))
}

pub fn start(made: &Genesis) -> Header {
    Header { chain: hashes(made, ShardId::ROOT).chain, ..genesis(made, ShardId::ROOT).header }
}

/// Returns how the first epoch of a chain ended, with another committee. `edit` changes what the quorum signs.
pub fn ended(made: &Genesis, edit: impl FnOnce(&mut TermChange)) -> TermChange {
    let start = start(made);
    let validators = committee(made, 1);
    let boundary = Header { end: End::Boundary, ..child(&start, ResultClaim::default()) };
    let finalization = signed(&boundary, 0, 4);
    let mut change = TermChange {
        boundary,
        proof: BlockProof { descendants: BoundedVec::default(), finalization },
        term: next_term(&term_of(&start, &made.parameters), set_hash(&validators)),
        validators,
        parameters: None,
    };
    edit(&mut change);
    change.boundary.next_validator_set = term_hash(&change.term);
    change.proof.finalization = signed(&change.boundary, 0, 4);
    change
}

/// A chain of version 1 whose operators 0 to 2 put their activations, and how its first epoch ended.
pub fn activated() -> (Genesis, ReadChain, FirstTerm) {
    let operators = BoundedVec::new((0..3).map(|number| signer(number).public()).collect()).unwrap();
    let parameters = Parameters { operators, operator_quorum: 2, ..Parameters::of(Rules::V1) };
    let mut world = World::with(parameters.clone());
    let set = set_hash(&world.genesis.validators);
    let chain = hashes(&world.genesis, ShardId::ROOT).chain;
    let body = plan_activation(&parameters, (chain, Epoch(0)), set, None).unwrap();
    let puts = (0..3).map(|number| {
        let value = signer(number).sign_activation(body.clone()).to_bytes();
        world.sign_at(number, 0, vec![put(number, ACTIVATION_KEY, &value)])
    });
    let puts: Vec<_> = puts.collect();
    world.run(&puts);
    let mut reads = ReadChain::above(world);
    reads.header.end = End::Boundary;
    reads.proof.finalization = signed(&reads.header, 0, 4);
    let activation = reads.prove(vec![value_of(0, ACTIVATION_KEY), value_of(2, ACTIVATION_KEY)], Vec::new());
    let genesis = reads.world.genesis.clone();
    let change =
        EpochChange { boundary: reads.header.clone(), proof: reads.proof.clone(), next: genesis.validators.clone() };
    (genesis, reads, FirstTerm { change, parameters, activation })
}

pub fn first_of(first: &FirstTerm) -> EpochTransition {
    EpochTransition::First(Box::new(first.clone()))
}

/// A header of epoch 1 above such an end, and its proof by the committee of `epoch`.
pub fn after(end: &Header, trust: &Trust, keys: u64) -> (Header, BlockProof) {
    let header = Header {
        version: trust.version,
        epoch: trust.epoch,
        validator_set: trust.validator_set,
        next_validator_set: trust.validator_set,
        parameters: trust.parameters,
        shard_map: trust.shard_map,
        end: End::GoesOn,
        ..child(end, ResultClaim::default())
    };
    let finalization = signed(&header, keys, trust.validators.len());
    (header, BlockProof { descendants: BoundedVec::default(), finalization })
}

pub fn bytes_of(parameters: &Parameters) -> Option<BoundedBytes<4096>> {
    BoundedBytes::new(encode(parameters)).ok()
}

/// Sets new parameters that begin with the next term, with the old committee.
pub fn with_parameters(change: &mut TermChange, made: &Genesis, new: &Parameters) {
    change.validators = made.validators.clone();
    change.term.validators = set_hash(&change.validators);
    (change.term.parameters, change.term.change) = (parameters_hash(new), Change::Parameters);
    change.parameters = bytes_of(new);
}
